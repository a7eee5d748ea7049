/**
 * A virtual list of log lines: only visible lines are elements.
 *
 * The rows that a wrapped line takes are estimated from its length, and corrected when it is drawn. A
 * selection cannot extend beyond the visible rows.
 */
import { Folds, type LogSection } from "./folds";
import type { LogSource } from "./lines";
import { LogRow, type RowState, type RowTexts } from "./line";
import { columnsOf, isWide, shownText } from "./plain-text";
import { RowIndex } from "./row-index";
import type { LogSearch } from "./search";

/** The number of extra rows above and below the visible ones. */
const OVERSCAN = 8;

/** The distance from the end that still counts as following it, in rows. */
const END_DISTANCE = 1;

/** How often lines are drawn again in a frame, because others of them fit than was estimated. */
const MAX_DRAWINGS = 4;

/** The rows from which the box does not get higher, whatever its styles allow. */
const MAX_BOX = 60;

/** The characters that the width of a character is measured with. */
const PROBE = "0".repeat(100);

/** Callbacks and texts of the rows. */
export interface RowsOptions extends RowTexts {
  /** The rows must be drawn, because they were scrolled or resized. */
  changed(): void;
  /** The number of a line was clicked; lines are counted from 0. */
  clicked(line: number, event: MouseEvent): void;
  /** The focus moves to the number of a line, counted from 0; `isRange`: the marked lines reach as far. */
  stepped(line: number, isRange: boolean): void;
}

/** The scrollable box and its rows. */
export class LogRows {
  /** The element that scrolls. */
  readonly box = document.createElement("div");

  /** Whether the newest line is kept in view. */
  follows = true;
  /** The lines that the user marked: where that began, and where it ended. */
  marked: { from: number; to: number } | undefined;

  readonly folds = new Folds();

  readonly #options: RowsOptions;
  readonly #space = document.createElement("div");
  readonly #rows = document.createElement("div");
  readonly #probe = document.createElement("span");
  readonly #index = new RowIndex(
    (line) => this.#estimate(line),
    (from, to) => this.#estimateAll(from, to),
  );
  readonly #resized = new ResizeObserver(() => {
    this.#measure();
    this.#options.changed();
  });
  #pool: LogRow[] = [];
  #log: LogSource | undefined;
  #revision = 0;
  #wraps = true;
  /** The first line that may be hidden or shown now. */
  #unfolded = Number.POSITIVE_INFINITY;
  /** The line to scroll to. */
  #shown: number | undefined;
  /** Whether the rows of all lines must be estimated again. */
  #isStale = false;
  #longest = 0;
  #digits = 0;
  /** The number of characters in a row, and the width of one in pixels. */
  #columns = 80;
  #character = 8;
  /** The scroll position, the height of the box and the height of a row, in pixels. */
  #top = 0;
  #height = 0;
  #row = 24;
  /** Whether to scroll the box to `#top`. */
  #moved = false;
  #tabStop: LogRow | undefined;

  constructor(options: RowsOptions) {
    this.#options = options;
    this.box.className = "log-box";
    this.box.setAttribute("part", "log-box");
    this.box.setAttribute("role", "region");
    this.box.tabIndex = 0;
    // Logs are left-to-right, whatever the language of the page.
    this.box.dir = "ltr";
    this.#space.className = "log-space";
    this.#rows.className = "log-rows";
    this.#probe.className = "log-probe";
    this.#probe.ariaHidden = "true";
    this.#probe.textContent = PROBE;
    this.#space.append(this.#rows, this.#probe);
    this.box.append(this.#space);
    this.box.addEventListener("scroll", () => this.#scrolled());
    this.#rows.addEventListener("click", (event) => this.#clicked(event));
    this.#rows.addEventListener("keydown", (event) => this.#key(event));
    this.#resized.observe(this.box);
  }

  /** Whether long lines wrap. */
  get wraps(): boolean {
    return this.#wraps;
  }

  set wraps(wraps: boolean) {
    this.#wraps = wraps;
    this.#isStale = true;
  }

  /** Show or hide when each line was written, or draw the sections anew. */
  refresh(): void {
    this.forget();
    this.#isStale = true;
    // The columns are counted again after the next drawing.
    this.#digits = 0;
  }

  /** Have another log, or other sections. */
  update(log: LogSource, sections: readonly LogSection[]): void {
    if (log !== this.#log) this.#begin(log);
    const changed = this.folds.update(sections);
    if (this.folds.some) this.#unfolded = Math.min(this.#unfolded, changed);
  }

  /** Fold or unfold a section, and keep its first line in place. */
  fold(section: LogSection): void {
    this.follows = false;
    this.folds.toggle(section);
    this.#unfolded = Math.min(this.#unfolded, section.start);
  }

  /** Fold or unfold all sections. */
  foldAll(folded: boolean): void {
    this.folds.all(folded);
    this.#isStale = true;
  }

  /** The first line that is completely visible, counted from 0. */
  get first(): number {
    const { line, offset } = this.#index.at(Math.ceil(this.#top / this.#row));
    return offset ? line + 1 : line;
  }

  /** Draw what changed. */
  render(log: LogSource, search: LogSearch): void {
    if (!this.#height) this.#measure();
    this.#grow(log);
    this.#showLine();
    for (let drawing = 0; drawing < MAX_DRAWINGS; drawing += 1) {
      const lines = this.#index.linesIn(this.#top / this.#row, this.#height / this.#row, OVERSCAN);
      log.want?.(lines[0] ?? log.start, (lines.at(-1) ?? log.start) + 1);
      this.#place(lines);
      this.#pool.forEach((row, index) => {
        const line = lines[index]!;
        row.show(line, log.line(line), this.#state(line), search, this.#options);
        this.#longest = Math.max(this.#longest, row.length);
      });
      // Before heights are read, so that the browser has one layout to make.
      this.#layOut(lines[0] ?? log.start, log);
      if (!this.#wraps || !this.#correct()) break;
      this.#stay();
    }
    if (!this.#moved) return;
    this.#moved = false;
    this.box.scrollTop = this.#top;
    // The browser may have clamped it.
    this.#top = this.box.scrollTop;
  }

  /** Scroll to a line at the next drawing, and stop following the end. */
  show(line: number): void {
    this.follows = false;
    this.#shown = line;
    if (!this.folds.hides(line)) return;
    this.folds.reveal(line);
    this.#isStale = true;
  }

  /** Scroll to the selected match in its line. Call it after drawing. */
  showMatch(): void {
    const mark = this.#rows.querySelector("mark.current");
    if (!mark) return;
    const [box, match] = [this.box.getBoundingClientRect(), mark.getBoundingClientRect()];
    if (match.top < box.top || match.bottom > box.bottom) {
      this.box.scrollTop += match.top - box.top - box.height / 3;
    }
    const gutter = this.#pool[0]?.number.offsetWidth ?? 0;
    const [left, right] = [box.left + gutter, box.left + this.box.clientWidth];
    if (match.left >= left && match.right <= right) return;
    this.box.scrollLeft += match.left - left - (right - left) / 3;
  }

  /** The number of a line, if that is drawn. */
  number(line: number): HTMLElement | undefined {
    return this.#pool.find((row) => row.line === line)?.number;
  }

  /** Focus the number of a line. Call it after drawing. */
  focus(line: number): void {
    this.number(line)?.focus({ preventScroll: true });
  }

  /** The line whose number has the focus, if any. */
  get focused(): number | undefined {
    const shadow = this.box.getRootNode() as ShadowRoot;
    return this.#pool.find((row) => row.number === shadow.activeElement)?.line;
  }

  /** Draw all rows anew the next time. */
  forget(): void {
    this.#pool.forEach((row) => row.forget());
  }

  #begin(log: LogSource): void {
    this.#log = log;
    this.#revision = 0;
    this.#longest = 0;
    this.#top = 0;
    this.#moved = true;
    this.#shown = undefined;
    this.#index.update(log.start, log.start, log.start);
    this.#isStale = true;
    this.follows = true;
    this.marked = undefined;
    this.folds.clear();
    this.forget();
  }

  /** Adapt the height to the lines, and stay at the end or at the visible lines. */
  #grow(log: LogSource): void {
    const anchor = this.#isStale && !this.follows ? this.#anchor() : undefined;
    const changed = this.#isStale ? log.start : Math.min(log.changedSince(this.#revision), this.#unfolded);
    this.#revision = log.revision;
    this.#isStale = false;
    this.#unfolded = Number.POSITIVE_INFINITY;
    const removed = this.#index.update(log.start, log.end, changed);
    if (anchor) this.#return(anchor);
    else if (removed && !this.follows) {
      this.#top = Math.max(this.#top - removed * this.#row, 0);
      this.#moved = true;
    }
    this.#stay();
  }

  #showLine(): void {
    if (this.#shown === undefined) return;
    const at = this.#index.above(this.#shown) * this.#row;
    this.#shown = undefined;
    if (at >= this.#top && at + this.#row <= this.#top + this.#height) return;
    // Not at the edge: the lines around it matter, too.
    this.#top = Math.max(at - this.#height / 3, 0);
    this.#moved = true;
  }

  /** Adapt the height of the space, and stay at the end. */
  #stay(): void {
    const height = this.#index.total * this.#row;
    put(this.#space, "block-size", `${height}px`);
    const shown = Math.min(this.#index.total, MAX_BOX) * this.#row;
    // The box is as high as a short log.
    if (put(this.box, "--log-height", `${shown}px`)) this.#height = this.box.clientHeight;
    const bottom = Math.max(height - this.#height, 0);
    // Browsers round scroll positions.
    if (!this.follows || Math.abs(bottom - this.#top) <= 1) return;
    this.#top = bottom;
    this.#moved = true;
  }

  /** The line at the upper edge, and how many pixels of it are above. */
  #anchor(): { line: number; above: number } {
    const { line } = this.#index.at(Math.floor(this.#top / this.#row));
    return { line, above: this.#top - this.#index.above(line) * this.#row };
  }

  #return({ line, above }: { line: number; above: number }): void {
    const kept = Math.min(above, Math.max(this.#index.rows(line) - 1, 0) * this.#row);
    const top = Math.max(this.#index.above(line) * this.#row + kept, 0);
    if (top === this.#top) return;
    this.#top = top;
    this.#moved = true;
  }

  /** Estimate the rows of a line. */
  #estimate(line: number): number {
    if (this.folds.hides(line)) return 0;
    const raw = this.#log?.line(line) ?? "";
    // Most lines are shorter even with their escape sequences.
    if (!this.#wraps || (raw.length <= this.#columns && !isWide(raw))) return 1;
    return Math.max(Math.ceil(columnsOf(shownText(raw)) / this.#columns), 1);
  }

  /** The rows of each of several lines, if that is the same without a look at them. */
  #estimateAll(from: number, to: number): number | undefined {
    if (this.#log?.holdsSome?.(from, to) !== false) return undefined;
    const hides = this.folds.hidesAll(from, to);
    return hides === undefined ? undefined : hides ? 0 : 1;
  }

  /** Correct the rows of the lines that were drawn. Returns whether an estimate was wrong. */
  #correct(): boolean {
    const heights = this.#pool.map((row) => row.element.offsetHeight);
    const wrong = this.#pool.flatMap(({ line }, index) => {
      const rows = Math.max(Math.round(heights[index]! / this.#row), 1);
      return rows === this.#index.rows(line) ? [] : [{ line, rows }];
    });
    if (!wrong.length) return false;
    const anchor = this.#anchor();
    for (const { line, rows } of wrong) this.#index.set(line, rows);
    if (!this.follows) this.#return(anchor);
    return true;
  }

  #state(line: number): RowState {
    const { from = -1, to = -1 } = this.marked ?? {};
    const section = this.folds.startingAt(line);
    return {
      marked: line >= Math.min(from, to) && line <= Math.max(from, to),
      missing: this.#log?.has?.(line) === false,
      section,
      folded: section !== undefined && this.folds.isFolded(section),
    };
  }

  /** Have a row for each of the lines, and reuse rows that stay visible. */
  #place(lines: number[]): void {
    const pool = this.#pool;
    const { focused } = this;
    // The focused number would become that of another line: focus the box instead, to keep scrolling.
    if (focused !== undefined && !lines.includes(focused)) this.box.focus({ preventScroll: true });
    const gone = pool.findIndex((row) => row.line === lines[0]);
    const added = lines.indexOf(pool[0]?.line ?? -1);
    if (gone > 0) {
      const reused = pool.splice(0, gone);
      pool.push(...reused);
      this.#rows.append(...reused.map((row) => row.element));
    } else if (added > 0 && added < pool.length) {
      const reused = pool.splice(-added);
      pool.unshift(...reused);
      this.#rows.prepend(...reused.map((row) => row.element));
    }
    while (pool.length > lines.length) pool.pop()!.element.remove();
    while (pool.length < lines.length) {
      const row = new LogRow();
      pool.push(row);
      this.#rows.append(row.element);
    }
  }

  /** Set the position and width of the rows, and which of them the Tab key reaches. */
  #layOut(first: number, log: LogSource): void {
    put(this.#rows, "inset-block-start", `${this.#index.above(first) * this.#row}px`);
    // As wide as the widest line so far, so that the box does not jump sideways when it scrolls away.
    put(this.#space, "--longest", String(this.#longest));
    const digits = String(log.end).length;
    put(this.#space, "--digits", String(digits));
    if (digits !== this.#digits) {
      // The numbers take more of the width.
      this.#digits = digits;
      this.#measureColumns();
      if (this.#isStale) this.#options.changed();
    }
    const { first: visible } = this;
    const stop =
      this.#pool.find((row) => row.line === this.marked?.to) ?? this.#pool.find((row) => row.line >= visible);
    if (stop === this.#tabStop) return;
    if (this.#tabStop) this.#tabStop.number.tabIndex = -1;
    if (stop) stop.number.tabIndex = 0;
    this.#tabStop = stop;
  }

  #measure(): void {
    const wasHidden = !this.#height;
    this.#height = this.box.clientHeight;
    this.#row = Number.parseFloat(getComputedStyle(this.#rows).lineHeight) || this.#row;
    this.#character = this.#probe.getBoundingClientRect().width / PROBE.length || this.#character;
    this.#measureColumns();
    // A browser may lose the scroll position of a hidden box. Otherwise the user may be scrolling.
    if (wasHidden) this.#moved = true;
  }

  #measureColumns(): void {
    const text = this.#pool[0]?.text;
    if (!text) return;
    const { paddingLeft, paddingRight } = getComputedStyle(text);
    const width = text.clientWidth - Number.parseFloat(paddingLeft) - Number.parseFloat(paddingRight);
    const columns = Math.max(Math.floor(width / this.#character + 0.01), 1);
    if (columns !== this.#columns && this.#wraps) this.#isStale = true;
    this.#columns = columns;
  }

  #scrolled(): void {
    const { clientHeight, scrollTop } = this.box;
    if (clientHeight !== this.#height) {
      // The box has another size, as in full screen: that is no wish to stop following.
      this.#measure();
      if (!this.follows) this.#top = scrollTop;
      this.#options.changed();
      return;
    }
    const rest = this.#index.total * this.#row - this.#height - scrollTop;
    // Scrolling up at all ends following: otherwise new lines would pull the user back.
    if (scrollTop < this.#top - 1 && rest > 1) this.follows = false;
    if (scrollTop > this.#top + 1 && rest < END_DISTANCE * this.#row) this.follows = true;
    this.#top = scrollTop;
    this.#options.changed();
  }

  #clicked(event: MouseEvent): void {
    const row = this.#pool.find(({ element }) => element.contains(event.target as Node));
    if (row?.number === event.target) this.#options.clicked(row!.line, event);
    const section = row?.fold === event.target ? this.folds.startingAt(row!.line) : undefined;
    if (!section) return;
    this.fold(section);
    this.#options.changed();
  }

  /** Arrow keys move the focus from number to number. */
  #key(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = this.#pool.find(({ number }) => number === event.target);
    if (!step || !row) return;
    event.preventDefault();
    this.#options.stepped(this.#neighbour(row.line, step), event.shiftKey);
  }

  /** The next visible line in a direction; the line itself at the ends. */
  #neighbour(line: number, step: number): number {
    const { start = 0, end = 0 } = this.#log ?? {};
    for (let next = line + step; next >= start && next < end; next += step) {
      if (this.#index.rows(next)) return next;
    }
    return line;
  }
}

/** Set a property only if its value changes, which saves the browser work, and return whether it did. */
function put(element: HTMLElement, property: string, value: string): boolean {
  const { style } = element;
  if (style.getPropertyValue(property) === value) return false;
  style.setProperty(property, value);
  return true;
}
