/**
 * The module `binderprogress/client`: a client of the server's API. Importing it needs no DOM.
 */
export {
  ApiError,
  cancel,
  getState,
  type LaunchState,
  type Links,
  startLaunch,
  type Started,
} from "./wire/client";
export { readEvent, watch, type WatchCallbacks } from "./wire/watch";
export type { Curve, LaunchEvent, Phase } from "./wire/event";
export { curveAt, isTerminal, ProgressModel } from "./session/progress";
export { jupyterServerUrl } from "./element/jupyter-server-url";
