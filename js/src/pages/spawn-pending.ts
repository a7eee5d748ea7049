// The script of JupyterHub's spawn_pending.html: the element shows the Hub's own progress stream.
import "./spawn-pending.css";
import { ApiError } from "../wire/client";
import type {} from "../element/element-events";
import { followSpawn } from "./hub-spawn";
import type { Source } from "../session/session";

const element = document.querySelector("binder-progress")!;
const { homeUrl = "", progressUrl = "", spawnUrl = "", xsrf = "" } = element.dataset;
const headers = { "X-XSRFToken": xsrf };
let [followed, stopping] = [false, false];

/** Stop the server; then there is nothing more to show of it than in the Hub's list of servers. */
async function cancel(): Promise<void> {
  // The address of the stream is that of the server, and one more word.
  const { pathname } = new URL(progressUrl, location.href);
  const server = pathname.replace(/\/progress$/, "");
  stopping = true;
  const { ok, status } = await fetch(server, { method: "DELETE", headers });
  stopping = ok;
  if (!ok) throw new ApiError(`The server answered with status ${status}.`, status, "");
  location.replace(homeUrl);
}

const source: Source = (tell) => {
  // To try again is to ask the Hub for a server again, in its own page.
  if (followed) location.assign(spawnUrl);
  followed = true;
  return { stop: followSpawn({ url: progressUrl, headers, ...tell }), cancel };
};

element.addEventListener("ready", () => {
  // The Hub then leads to the server, or to where somebody wanted to go. It may say the same of one
  // that is being stopped.
  if (!stopping) location.reload();
});

void import("../element/define").then(() => element.follow(source));
