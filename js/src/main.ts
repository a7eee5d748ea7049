/**
 * The package `binderprogress`: the element's class, the client and the progress model. Importing it
 * does not register the element, `binderprogress/define` does.
 */
export { BinderProgressElement } from "./element/element";
export type { BinderProgressEventMap, ProgressDetail } from "./element/element-events";
export * from "./main-client";
export type { Failure } from "./session/outcome";
