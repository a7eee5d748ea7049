/**
 * The element's class, the client and the progress model, as `binderprogress`. Importing this
 * registers nothing; `binderprogress/define` does.
 */
export { BinderProgressElement } from "./element/element";
export type { BinderProgressEventMap, ProgressDetail } from "./element/element-events";
export * from "./main-client";
export type { Failure } from "./session/session";
