/**
 * Shows a log buffer: few DOM writes, a bounded number of lines, follows the end.
 */
import { part, setText } from "./dom";
import type { LogBuffer } from "./log";

/** How near to the end, in pixels, still counts as following it. */
const NEAR = 24;

/** The log on the page. */
export class LogView {
  readonly #details: HTMLDetailsElement;
  readonly #box: HTMLElement;
  readonly #lines: HTMLElement;
  readonly #count: HTMLElement;
  readonly #note: HTMLElement;
  readonly #latest: HTMLButtonElement;

  #start = 0;
  #end = 0;
  #follows = true;

  constructor(root: ParentNode) {
    this.#details = part<HTMLDetailsElement>(root, "log");
    this.#box = part(root, "log-box");
    this.#lines = part(root, "log-lines");
    this.#count = part(root, "log-count");
    this.#note = part(root, "log-note");
    this.#latest = part<HTMLButtonElement>(root, "log-latest");

    this.#box.addEventListener("scroll", () => this.#scrolled());
    this.#details.addEventListener("toggle", () => this.#follow());
    this.#latest.addEventListener("click", () => {
      this.#follows = true;
      this.#follow();
      this.#box.focus();
    });
  }

  /** Open it, as when something failed. */
  open(): void {
    this.#details.open = true;
  }

  /** Show what changed in the buffer since the last time. */
  render(log: LogBuffer): void {
    const from = Math.max(this.#end, log.start);
    // Only the newest line shown can have changed: it was overwritten.
    if (this.#end > log.start && this.#lines.lastElementChild) {
      setText(this.#lines.lastElementChild, `${log.line(this.#end - 1)}\n`);
    }
    const added = document.createDocumentFragment();
    for (let number = from; number < log.end; number += 1) {
      const line = document.createElement("span");
      line.textContent = `${log.line(number)}\n`;
      added.append(line);
    }
    for (; this.#start < Math.min(log.start, this.#end); this.#start += 1) {
      this.#lines.firstElementChild?.remove();
    }
    this.#start = log.start;
    this.#end = log.end;
    this.#lines.append(added);
    setText(this.#count, log.end === 1 ? "1 line" : `${log.end.toLocaleString("en")} lines`);
    this.#note.hidden = log.start === 0;
    if (this.#follows) this.#follow();
  }

  /** Forget all lines, for a new launch. */
  clear(): void {
    this.#lines.replaceChildren();
    this.#start = 0;
    this.#end = 0;
    this.#follows = true;
  }

  #scrolled(): void {
    if (!this.#details.open) return;
    const { scrollTop, clientHeight, scrollHeight } = this.#box;
    this.#follows = scrollHeight - scrollTop - clientHeight < NEAR;
    this.#latest.hidden = this.#follows;
  }

  #follow(): void {
    if (this.#follows && this.#details.open) this.#box.scrollTop = this.#box.scrollHeight;
  }
}
