// Registers `<binder-progress>`. This server's own pages load it from here, because the file has a hash in its
// name. Nothing is exported, so the file is as small as it can be.
import { BinderProgressElement } from "./element";

// A page may load the script twice.
if (!customElements.get("binder-progress")) {
  customElements.define("binder-progress", BinderProgressElement);
}
