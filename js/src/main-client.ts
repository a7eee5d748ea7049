/**
 * The server's API for programs, as `binderprogress/client`. Importing this touches no DOM.
 */
export {
  ApiError,
  cancel,
  getState,
  type LaunchState,
  type Links,
  readEvent,
  startLaunch,
  type Started,
  watch,
  type WatchCallbacks,
} from "./wire/client";
export type { Curve, LaunchEvent, Phase } from "./wire/event";
export { curveAt, isTerminal, ProgressModel } from "./session/progress";
export { serverUrl } from "./element/jupyter-server-url";
