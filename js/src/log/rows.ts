/**
 * A virtual list of log lines: only visible lines are elements.
 *
 * Rows have one height and do not wrap, so the position of a line is a multiplication. A selection
 * cannot extend beyond the visible rows.
 */
import type { LogBuffer } from "./lines";
import { LogRow, type RowTexts } from "./line";
import type { LogSearch } from "./search";

/** The number of extra rows above and below the visible ones. */
const OVERSCAN = 8;

/** The distance from the end that still counts as following it, in rows. */
const END_DISTANCE = 1;

/** Callbacks and texts of the rows. */
export interface RowsOptions extends RowTexts {
  /** The rows must be drawn, because they were scrolled or resized. */
  changed(): void;
  /** The number of a line was clicked; lines are counted from 0. */
  clicked(line: number, event: MouseEvent): void;
  /** The focus moves to the number of a line, counted from 0. */
  stepped(line: number): void;
}

/** The scrollable box and its rows. */
export class LogRows {
  /** The element that scrolls. */
  readonly box = document.createElement("div");

  /** Whether the newest line is kept in view. */
  follows = true;
  /** The line that the user marked. */
  marked: number | undefined;

  readonly #options: RowsOptions;
  readonly #space = document.createElement("div");
  readonly #rows = document.createElement("div");
  readonly #resized = new ResizeObserver(() => {
    this.#measure();
    this.#options.changed();
  });
  #pool: LogRow[] = [];
  #log: LogBuffer | undefined;
  #start = 0;
  #count = 0;
  #longest = 0;
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
    this.#space.append(this.#rows);
    this.box.append(this.#space);
    this.box.addEventListener("scroll", () => this.#scrolled());
    this.#rows.addEventListener("click", (event) => this.#clicked(event));
    this.#rows.addEventListener("keydown", (event) => this.#key(event));
    this.#resized.observe(this.box);
  }

  /** The first line that is completely visible, counted from 0. */
  get first(): number {
    return this.#start + Math.ceil(this.#top / this.#row);
  }

  /** Draw what changed. */
  render(log: LogBuffer, search: LogSearch): void {
    if (log !== this.#log) this.#begin(log);
    if (!this.#height) this.#measure();
    this.#grow(log);
    const above = Math.max(Math.floor(this.#top / this.#row) - OVERSCAN, 0);
    const seen = Math.ceil(this.#height / this.#row) + 1 + 2 * OVERSCAN;
    const first = log.start + Math.min(above, Math.max(this.#count - seen, 0));
    const last = Math.min(first + seen, log.end);
    this.#place(first, last);
    this.#pool.forEach((row, index) => {
      const line = first + index;
      const raw = log.line(line);
      row.show(line, raw, line === this.marked, search, this.#options);
      this.#longest = Math.max(this.#longest, row.length);
    });
    this.#layOut(first, log);
    if (!this.#moved) return;
    this.#moved = false;
    this.box.scrollTop = this.#top;
    // The browser may have clamped it.
    this.#top = this.box.scrollTop;
  }

  /** Scroll to a line at the next drawing, and stop following the end. */
  show(line: number): void {
    this.follows = false;
    const at = (line - this.#start) * this.#row;
    if (at >= this.#top && at + this.#row <= this.#top + this.#height) return;
    // Not at the edge: the lines around it matter, too.
    this.#top = Math.max(at - this.#height / 3, 0);
    this.#moved = true;
  }

  /** Scroll sideways to the selected match. Call it after drawing. */
  showMatch(): void {
    const mark = this.#rows.querySelector("mark.current");
    if (!mark) return;
    const [box, match] = [this.box.getBoundingClientRect(), mark.getBoundingClientRect()];
    const gutter = this.#pool[0]?.number.offsetWidth ?? 0;
    const [left, right] = [box.left + gutter, box.left + this.box.clientWidth];
    if (match.left >= left && match.right <= right) return;
    this.box.scrollLeft += match.left - left - (right - left) / 3;
  }

  /**
   * Focus the number of a line. Call it after drawing.
   *
   * @param options.reveal - whether to scroll the page to it
   */
  focus(line: number, { reveal = false } = {}): void {
    const number = this.#pool.find((row) => row.line === line)?.number;
    number?.focus({ preventScroll: true });
    if (reveal) number?.scrollIntoView({ block: "nearest" });
  }

  /** Draw all rows anew the next time. */
  forget(): void {
    this.#pool.forEach((row) => row.forget());
  }

  #begin(log: LogBuffer): void {
    this.#log = log;
    this.#start = log.start;
    this.#longest = 0;
    this.#top = 0;
    this.#moved = true;
    this.follows = true;
    this.marked = undefined;
    this.forget();
  }

  /** Adapt the height to the number of lines, and stay at the end or at the visible lines. */
  #grow(log: LogBuffer): void {
    const dropped = log.start - this.#start;
    this.#start = log.start;
    if (dropped && !this.follows) {
      this.#top = Math.max(this.#top - dropped * this.#row, 0);
      this.#moved = true;
    }
    const count = log.end - log.start;
    this.#count = count;
    put(this.#space, "block-size", `${count * this.#row}px`);
    const bottom = Math.max(count * this.#row - this.#height, 0);
    // Browsers round scroll positions.
    if (!this.follows || Math.abs(bottom - this.#top) <= 1) return;
    this.#top = bottom;
    this.#moved = true;
  }

  /** Create a row for each line from `first` to before `last`, and reuse rows that stay visible. */
  #place(first: number, last: number): void {
    const shadow = this.box.getRootNode() as ShadowRoot;
    const focused = this.#pool.find((row) => row.number === shadow.activeElement);
    // The focused number would become that of another line: focus the box instead, to keep scrolling.
    if (focused && (focused.line < first || focused.line >= last)) {
      this.box.focus({ preventScroll: true });
    }
    const pool = this.#pool;
    const moved = first - (pool[0]?.line ?? first);
    if (moved > 0 && moved < pool.length) {
      const reused = pool.splice(0, moved);
      pool.push(...reused);
      this.#rows.append(...reused.map((row) => row.element));
    } else if (moved < 0 && -moved < pool.length) {
      const reused = pool.splice(moved);
      pool.unshift(...reused);
      this.#rows.prepend(...reused.map((row) => row.element));
    }
    while (pool.length > last - first) pool.pop()!.element.remove();
    while (pool.length < last - first) {
      const row = new LogRow();
      pool.push(row);
      this.#rows.append(row.element);
    }
  }

  /** Set the position and width of the rows, and which of them the Tab key reaches. */
  #layOut(first: number, log: LogBuffer): void {
    put(this.#rows, "inset-block-start", `${(first - log.start) * this.#row}px`);
    // As wide as the widest line so far, so that the box does not jump sideways when it scrolls away.
    put(this.#space, "--longest", String(this.#longest));
    put(this.#space, "--digits", String(String(log.end).length));
    const firstVisible = this.#pool[this.first - first];
    const stop = this.#pool.find((row) => row.line === this.marked) ?? firstVisible;
    if (stop === this.#tabStop) return;
    if (this.#tabStop) this.#tabStop.number.tabIndex = -1;
    if (stop) stop.number.tabIndex = 0;
    this.#tabStop = stop;
  }

  #measure(): void {
    const wasHidden = !this.#height;
    this.#height = this.box.clientHeight;
    this.#row = Number.parseFloat(getComputedStyle(this.#rows).lineHeight) || this.#row;
    // A browser may lose the scroll position of a hidden box. Otherwise the user may be scrolling.
    if (wasHidden) this.#moved = true;
  }

  #scrolled(): void {
    const { scrollTop } = this.box;
    const rest = this.#count * this.#row - this.#height - scrollTop;
    // Scrolling up at all ends following: otherwise new lines would pull the user back.
    if (scrollTop < this.#top - 1 && rest > 1) this.follows = false;
    if (scrollTop > this.#top + 1 && rest < END_DISTANCE * this.#row) this.follows = true;
    this.#top = scrollTop;
    this.#options.changed();
  }

  #clicked(event: MouseEvent): void {
    const row = this.#pool.find(({ number }) => number === event.target);
    if (row) this.#options.clicked(row.line, event);
  }

  /** Arrow keys move the focus from number to number. */
  #key(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = this.#pool.find(({ number }) => number === event.target);
    if (!step || !row) return;
    event.preventDefault();
    this.#options.stepped(Math.min(Math.max(row.line + step, this.#start), this.#start + this.#count - 1));
  }
}

/** Set a property only if its value changes, which saves the browser work. */
function put(element: HTMLElement, property: string, value: string): void {
  const { style } = element;
  if (style.getPropertyValue(property) !== value) style.setProperty(property, value);
}
