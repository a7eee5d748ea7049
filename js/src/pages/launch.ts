// The script of launch.html: keeps the id of the launch in the page's address.
import "./launch.css";
import type {} from "../element/element-events";
import { withoutTicket } from "./ticket";

const element = document.querySelector("binder-progress")!;
const fragment = new URLSearchParams(location.hash.slice(1));

const launched = fragment.get("launch");
if (launched && !isStartedHere(launched)) {
  // Attack: a link to the attacker's own launch of a trusted repository, with a modified server.
  document.querySelector('[data-part="not-ours"]')?.removeAttribute("hidden");
  element.setAttribute("open", "none");
}

// Set attributes before the element is defined: without `launch`, it would start another launch.
for (const name of ["launch", "line"]) {
  const value = fragment.get(name);
  if (value) element.setAttribute(name, value);
}
element.setAttribute("tab", "");
// The address of this page has the id of the launch.
element.setAttribute("memory", "none");

// The ticket has been used, and must not stay in an address that may be shared.
if (location.search.includes("ticket="))
  history.replaceState(history.state, "", withoutTicket(location.href));

element.addEventListener("started", ({ detail }) => {
  // A reload resumes this launch.
  history.replaceState(history.state, "", `#launch=${encodeURIComponent(detail.launch)}`);
  document.querySelector('[data-part="not-ours"]')?.setAttribute("hidden", "");
  try {
    sessionStorage.setItem(`binderprogress.started.${detail.launch}`, detail.launch);
  } catch (error) {
    // A reload then shows the warning.
    console.warn(error);
  }
});

/** The time in which a second click may be meant for another window, in milliseconds. */
const DOUBLE_CLICK = 500;

// Attack: a window in front of this one closes at the first click of a double click, and the second
// click hits the launch button here.
let focused = Number.NEGATIVE_INFINITY;
addEventListener("focus", () => {
  focused = performance.now();
});
element.addEventListener(
  "click",
  (event) => {
    if (!element.ask || performance.now() - focused > DOUBLE_CLICK) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  },
  { capture: true },
);

addEventListener("hashchange", ({ oldURL }) => {
  const [before, now] = [oldURL, location.href].map(
    (url) => new URLSearchParams(new URL(url).hash.slice(1)),
  );
  // The user pasted a link to another launch of the same repository.
  if (before?.get("launch") !== now?.get("launch")) location.reload();
  else element.line = now?.get("line") ?? "";
});

void import("../element/register");

/** Whether this tab started a launch, on this page or in the gallery. Both store its id. */
function isStartedHere(launch: string): boolean {
  try {
    return Object.values(sessionStorage).includes(launch);
  } catch (error) {
    console.warn(error);
    return false;
  }
}
