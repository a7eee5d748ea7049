// Registers `<binder-progress>`: `<script type="module" src="…/static/binder-progress.js">`.
import "./register";

// From here, so that browsers load this file at the same time as `register.ts`.
export { BinderProgressElement } from "./element";
export type { BinderProgressEventMap, ProgressDetail } from "./element-events";
