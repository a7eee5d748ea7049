// The script of launch.html: the element's launch is kept in the page's address.
import "./launch.css";
import type {} from "../element/element-events";
import { withoutTicket } from "./ticket";

const element = document.querySelector("binder-progress")!;
const fragment = new URLSearchParams(location.hash.slice(1));

const launched = fragment.get("launch");
if (launched && !isStartedHere(launched)) {
  // Attack: a link to somebody's own launch of a repository that people trust, with what they like
  // in its server.
  document.querySelector('[data-part="not-ours"]')?.removeAttribute("hidden");
}

// All of it before the element comes to life: without the launch it would start another one.
for (const name of ["launch", "line"]) {
  const value = fragment.get(name);
  if (value) element.setAttribute(name, value);
}
element.setAttribute("tab", "");
// The page around is English; the element speaks the language that the person reads.
element.lang = new URLSearchParams(location.search).get("lang") || navigator.language;

// A ticket of one of our own pages is used up by now, and is not for the address that is passed on.
if (location.search.includes("ticket="))
  history.replaceState(history.state, "", withoutTicket(location.href));

element.addEventListener("started", ({ detail }) => {
  // A reload then resumes this launch instead of starting a second one.
  history.replaceState(history.state, "", `#launch=${encodeURIComponent(detail.launch)}`);
  document.querySelector('[data-part="not-ours"]')?.setAttribute("hidden", "");
  try {
    sessionStorage.setItem(`binderprogress.started.${detail.launch}`, detail.launch);
  } catch (error) {
    // A reload then shows the notice.
    console.warn(error);
  }
});

/** Milliseconds in which a second click may come that was meant for another window. */
const DOUBLE_CLICK = 500;

// Attack: a window in front of this one closes at the first click of two, so that the second one
// meets the button here that launches.
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
  // Someone pasted the link to another launch of the same repository.
  if (before?.get("launch") !== now?.get("launch")) location.reload();
  else element.line = Number(now?.get("line"));
});

void import("../element/define");

/** Whether this tab has started a launch, here or in the gallery: both keep its id. */
function isStartedHere(launch: string): boolean {
  try {
    return Object.values(sessionStorage).includes(launch);
  } catch (error) {
    console.warn(error);
    return false;
  }
}
