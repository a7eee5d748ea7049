// The script of launch.html: the element's launch is kept in the page's address.
import "./launch.css";
import type {} from "./element-events";

const element = document.querySelector("binder-progress")!;
const name = document.title;

const id = new URLSearchParams(location.hash.slice(1)).get("launch");
// Before the element comes to life: it would start another one.
if (id) element.setAttribute("launch", id);

element.addEventListener("started", ({ detail }) => {
  // A reload then resumes this launch instead of starting a second one.
  history.replaceState(history.state, "", `#launch=${encodeURIComponent(detail.launch)}`);
});

element.addEventListener("progress", ({ detail: { label, percent, phase } }) => {
  const over = phase === "ready" || phase === "failed" || phase === "cancelled";
  const shown = percent === undefined || over ? [] : [`${percent}%`];
  document.title = [...shown, label, name].join(" · ");
});

// Someone pasted the link to another launch of the same repository.
addEventListener("hashchange", () => location.reload());

void import("./define");
