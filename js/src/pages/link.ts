// The script of link.html.
import "./link.css";
import { enableCopyButtons } from "./copy";

const live = document.querySelector('[data-part="live"]');
enableCopyButtons(document, (text) => {
  if (live) live.textContent = text;
});
