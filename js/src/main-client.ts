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
} from "./client";
export type { Curve, LaunchEvent, Phase } from "./event";
export { curveAt, isTerminal, ProgressModel } from "./progress";
export { serverUrl } from "./server-url";
