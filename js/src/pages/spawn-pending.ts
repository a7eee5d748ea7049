// The script of JupyterHub's spawn_pending.html: the element shows JupyterHub's progress stream.
import "./spawn-pending.css";
import { ApiError } from "../wire/client";
import type {} from "../element/element-events";
import { followSpawn } from "./hub-spawn";
import type { LaunchSource } from "../session/session";

const element = document.querySelector("binder-progress")!;
const { homeUrl = "", progressUrl = "", spawnUrl = "", xsrf = "" } = element.dataset;
const headers = { "X-XSRFToken": xsrf };
let [isRetry, isStopping] = [false, false];

/** Stop the server, and show JupyterHub's home page. */
async function cancel(): Promise<void> {
  // The address of the stream is the address of the server and `/progress`.
  const { pathname } = new URL(progressUrl, location.href);
  const server = pathname.replace(/\/progress$/, "");
  isStopping = true;
  const { ok, status } = await fetch(server, { method: "DELETE", headers });
  isStopping = ok;
  if (!ok) throw new ApiError(`The server answered with status ${status}.`, status, "");
  location.replace(homeUrl);
}

const source: LaunchSource = (callbacks) => {
  // A retry requests a server again, on JupyterHub's own page.
  if (isRetry) location.assign(spawnUrl);
  isRetry = true;
  return { stop: followSpawn({ url: progressUrl, headers, ...callbacks }), cancel };
};

element.addEventListener("ready", () => {
  // JupyterHub redirects to the server, or to the page that was requested. A server that is being
  // stopped may be reported as ready, too.
  if (!isStopping) location.reload();
});

void import("../element/register").then(() => element.follow(source));
