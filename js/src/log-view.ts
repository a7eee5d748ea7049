/**
 * Shows a log buffer: few DOM writes, a bounded number of lines, follows the end. Loaded when the
 * log is opened.
 */
import type { LogBuffer } from "./log";
import { plainText } from "./plain-text";
import styles from "./log-view.css?inline";

/** How near to the end, in pixels, still counts as following it. */
const NEAR = 24;

/** The log in the element's shadow tree. */
export class LogView {
  readonly #details: HTMLDetailsElement;
  readonly #box: HTMLElement;
  readonly #lines: HTMLElement;
  readonly #latest: HTMLButtonElement;

  #log: LogBuffer | undefined;
  #start = 0;
  #end = 0;
  #follows = true;

  /** @param shadow - the element's, where the log's parts are; they get their style here */
  constructor(shadow: ShadowRoot) {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(styles);
    shadow.adoptedStyleSheets = [...shadow.adoptedStyleSheets, sheet];
    const part = <T extends HTMLElement>(id: string) => shadow.querySelector<T>(`#${id}`)!;
    this.#details = part("log");
    this.#box = part("log-box");
    this.#lines = part("log-lines");
    this.#latest = part("log-latest");

    this.#box.addEventListener("scroll", () => this.#scrolled());
    this.#latest.addEventListener("click", () => {
      this.#follows = true;
      this.#follow();
      this.#box.focus();
    });
  }

  /**
   * Show what changed since the last time, while it is open.
   *
   * @param log - another one than before: that of a new launch
   */
  render(log: LogBuffer): void {
    if (!this.#details.open) return;
    if (log !== this.#log) this.#begin(log);
    const last = this.#lines.lastElementChild;
    // Only the newest line shown can have changed: it was overwritten.
    if (last && this.#end > log.start) {
      const text = `${plainText(log.line(this.#end - 1))}\n`;
      if (last.textContent !== text) last.textContent = text;
    }
    const added = document.createDocumentFragment();
    for (let number = Math.max(this.#end, log.start); number < log.end; number += 1) {
      const line = document.createElement("span");
      line.textContent = `${plainText(log.line(number))}\n`;
      added.append(line);
    }
    for (; this.#start < Math.min(log.start, this.#end); this.#start += 1) {
      this.#lines.firstElementChild?.remove();
    }
    this.#start = log.start;
    this.#end = log.end;
    this.#lines.append(added);
    if (this.#follows) this.#follow();
  }

  #begin(log: LogBuffer): void {
    this.#log = log;
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
    if (this.#follows) this.#box.scrollTop = this.#box.scrollHeight;
  }
}
