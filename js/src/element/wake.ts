/**
 * Reconnects at once when the page wakes up, instead of after the pause between two attempts.
 */
import { wake } from "../wire/reconnect";

export { wake };

// The computer is in a network again.
addEventListener("online", wake);
// The page is shown again, maybe after the computer slept.
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") wake();
});
// The browser lets the page go on, which it had stopped.
document.addEventListener("resume", wake);
// The page comes back from the browser's cache of pages that were left. All its connections are cut.
addEventListener("pageshow", ({ persisted }) => {
  if (persisted) wake();
});
