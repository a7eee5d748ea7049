/**
 * A row of the log: the number and text of one line. Rows are reused for other lines.
 */
import { type Run, runs } from "./ansi";
import type { LogSection } from "./folds";
import { type Link, linksOf } from "./links";
import type { LogSearch } from "./search";
import { isCut } from "./plain-text";
import { type Severity, severityOf } from "./severity";

/** Texts and addresses around a line. */
export interface RowTexts {
  /** The address of a line, counted from 1. */
  href(line: number): string;
  /** The accessible name of a line's number. */
  label(line: number, severity: Severity): string;
  /** The text at the end of a truncated line. */
  more(): string;
  /** When a line was written, counted from 0; empty if times are not shown. */
  time(line: number): string;
  /** The accessible name of the button that folds a section. */
  fold(section: LogSection): string;
}

/** How a line is shown besides its text. */
export interface RowState {
  marked: boolean;
  /** Whether the text has not arrived. */
  missing: boolean;
  /** The section that begins here, if any. */
  section: LogSection | undefined;
  folded: boolean;
}

/** A row. */
export class LogRow {
  readonly element = document.createElement("div");
  readonly number = document.createElement("a");

  readonly text = document.createElement("span");
  /** Folds the section that begins at this line. */
  readonly fold = document.createElement("button");

  /** The line shown, counted from 0; -1 for none. */
  line = -1;

  /** The number of characters shown. */
  length = 0;

  readonly #time = document.createElement("span");
  readonly #result = document.createElement("span");
  #raw = "";
  #matches = "";
  #section = "";

  constructor() {
    this.element.className = "log-row";
    this.number.className = "log-number";
    this.number.tabIndex = -1;
    this.text.className = "log-text";
    // Right-to-left text must not reorder the rest of its line.
    this.text.dir = "ltr";
    this.#time.className = "log-time";
    this.fold.className = "log-fold";
    this.fold.type = "button";
    this.#result.className = "log-result";
    this.element.append(this.number, this.text);
  }

  /** Show a line. Only what has changed is drawn. */
  show(line: number, raw: string, state: RowState, search: LogSearch, texts: RowTexts): void {
    const { current, version } = search;
    const matches = `${version} ${current?.line === line ? current.nth : ""}`;
    if (line !== this.line) {
      this.number.textContent = String(line + 1);
      const href = texts.href(line + 1);
      this.number.href = href;
      // The launch's own page, if the element is embedded in another page.
      this.number.target = href.startsWith("#") ? "" : "_blank";
      this.number.rel = "noopener";
      this.#showTime(texts.time(line));
    }
    this.element.classList.toggle("marked", state.marked);
    this.element.classList.toggle("missing", state.missing);
    this.number.ariaCurrent = state.marked ? "true" : null;
    this.#showSection(state, texts);
    if (line !== this.line || raw !== this.#raw || matches !== this.#matches) {
      this.#draw(line, raw, search, texts);
    }
    this.line = line;
    this.#raw = raw;
    this.#matches = matches;
  }

  #showTime(time: string): void {
    // Drawn by the style sheet, so that it is neither copied nor found.
    this.#time.dataset["time"] = time;
    if (time) this.number.after(this.#time);
    else this.#time.remove();
  }

  #showSection({ section, folded }: RowState, texts: RowTexts): void {
    const shown = section ? JSON.stringify([section, folded]) : "";
    if (shown === this.#section) return;
    this.#section = shown;
    this.element.classList.toggle("section", section !== undefined);
    if (!section) {
      this.fold.remove();
      this.#result.remove();
      return;
    }
    this.fold.ariaExpanded = String(!folded);
    this.fold.setAttribute("aria-label", texts.fold(section));
    this.fold.title = section.label;
    this.fold.disabled = section.end - section.start < 2;
    this.#result.dataset["state"] = section.state;
    this.#result.dataset["result"] = section.result;
    this.#result.dataset["took"] = section.took;
    this.text.before(this.fold);
    this.text.after(this.#result);
  }

  /** Draw the line anew the next time, because texts or addresses have changed. */
  forget(): void {
    this.line = -1;
    this.#section = "-";
  }

  #draw(line: number, raw: string, search: LogSearch, texts: RowTexts): void {
    const current = search.current?.line === line ? search.current.nth : -1;
    const parts = runs(raw);
    const text = parts.map((run) => run.text).join("");
    const ranges = search.active ? search.ranges(text) : [];
    const links = linksOf(parts);
    const cut = isCut(raw);
    this.length = text.length;
    this.#report(line, severityOf(text), texts);
    if (!ranges.length && !links.length && !cut && parts.every(isPlain)) {
      this.text.textContent = text;
      return;
    }
    const drawn = document.createDocumentFragment();
    let at = 0;
    for (const link of links) {
      drawn.append(...draw(parts, at, link.start, ranges, current));
      const element = linkElement(link);
      element.append(...draw(parts, link.start, link.end, ranges, current));
      drawn.append(element);
      at = link.end;
    }
    drawn.append(...draw(parts, at, text.length, ranges, current));
    if (cut) {
      const more = document.createElement("span");
      more.className = "log-more";
      more.textContent = texts.more();
      drawn.append(more);
    }
    this.text.replaceChildren(drawn);
  }

  /** Show what the line reports. The number's name says it, too, because colours are not enough. */
  #report(line: number, severity: Severity, texts: RowTexts): void {
    this.element.classList.toggle("error", severity === "error");
    this.element.classList.toggle("warning", severity === "warning");
    const label = texts.label(line + 1, severity);
    if (this.number.getAttribute("aria-label") !== label) this.number.setAttribute("aria-label", label);
  }
}

function isPlain({ classes, style }: Run): boolean {
  return !classes.length && !style.length;
}

function linkElement({ href, host }: Link): HTMLAnchorElement {
  const link = document.createElement("a");
  link.className = "log-link";
  link.href = href;
  link.target = "_blank";
  link.rel = "noopener noreferrer";
  link.title = href;
  // Drawn by the style sheet, so that it is neither copied nor found.
  if (host) link.dataset["host"] = host;
  return link;
}

/** Draw the runs from a position to before another. */
function draw(
  runs: Run[],
  from: number,
  to: number,
  ranges: [number, number][],
  current: number,
): (Node | string)[] {
  const drawn: (Node | string)[] = [];
  let at = 0;
  for (const run of runs) {
    const [start, end] = [Math.max(at, from), Math.min(at + run.text.length, to)];
    if (start < end) {
      const text = run.text.slice(start - at, end - at);
      drawn.push(...drawRun({ ...run, text }, start, ranges, current));
    }
    at += run.text.length;
    if (at >= to) break;
  }
  return drawn;
}

/** Draw a run, with the matches in it marked. */
function drawRun(run: Run, at: number, ranges: [number, number][], current: number): (Node | string)[] {
  const end = at + run.text.length;
  const parts: (Node | string)[] = [];
  let done = at;
  ranges.forEach(([from, to], nth) => {
    if (to <= at || from >= end) return;
    if (from > done) parts.push(run.text.slice(done - at, from - at));
    const mark = document.createElement("mark");
    mark.classList.toggle("current", nth === current);
    done = Math.min(to, end);
    mark.textContent = run.text.slice(Math.max(from, at) - at, done - at);
    parts.push(mark);
  });
  if (done < end) parts.push(run.text.slice(done - at));
  if (isPlain(run)) return parts;
  const span = document.createElement("span");
  span.className = run.classes.join(" ");
  for (const [property, value] of run.style) span.style.setProperty(property, value);
  span.append(...parts);
  return [span];
}
