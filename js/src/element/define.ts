// Registers `<binder-progress>`: `<script type="module" src="…/static/binder-progress.js">`.
import { BinderProgressElement } from "./element";

export { BinderProgressElement };
export type { BinderProgressEventMap, ProgressDetail } from "./element-events";

// A page may load the script twice.
if (!customElements.get("binder-progress")) {
  customElements.define("binder-progress", BinderProgressElement);
}
