/**
 * The box of the log, in which only those lines are elements that can be seen.
 *
 * Rows are of one height and are not wrapped, so that a line's place is arithmetic, however many
 * lines there are. What is selected by hand ends with the rows in view.
 */
import type { LogBuffer } from "./lines";
import { LogRow, type RowTexts } from "./line";
import type { LogSearch } from "./search";

/** How many rows there are beyond what is seen, above and below. */
const BEYOND = 8;

/** How near to the end, in rows, still counts as following it. */
const NEAR = 1;

/** What the rows tell and ask. */
export interface RowsOptions extends RowTexts {
  /** There is something else to draw: they were scrolled, or have another size. */
  changed(): void;
  /** The number of a line, counted from 0, was clicked. */
  clicked(line: number, event: MouseEvent): void;
  /** The focus is to go to the number of a line, counted from 0. */
  stepped(line: number): void;
}

/** The box and its rows. */
export class LogRows {
  /** What scrolls. */
  readonly box = document.createElement("div");

  /** Whether the newest line is kept in view. */
  follows = true;
  /** The line that the person pointed out. */
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
  /** In pixels: where it is scrolled to, its height, and that of a row. */
  #top = 0;
  #height = 0;
  #row = 24;
  /** Whether the box must be scrolled to `#top`. */
  #moved = false;
  #tabStop: LogRow | undefined;

  constructor(options: RowsOptions) {
    this.#options = options;
    this.box.className = "log-box";
    this.box.setAttribute("part", "log-box");
    this.box.setAttribute("role", "region");
    this.box.tabIndex = 0;
    // Logs are, in whatever language the page is.
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

  /** The first line that is seen whole, counted from 0. */
  get first(): number {
    return this.#start + Math.ceil(this.#top / this.#row);
  }

  /** Draw what changed. */
  render(log: LogBuffer, search: LogSearch): void {
    if (log !== this.#log) this.#begin(log);
    if (!this.#height) this.#measure();
    this.#grow(log);
    const above = Math.max(Math.floor(this.#top / this.#row) - BEYOND, 0);
    const seen = Math.ceil(this.#height / this.#row) + 1 + 2 * BEYOND;
    const first = log.start + Math.min(above, Math.max(this.#count - seen, 0));
    const last = Math.min(first + seen, log.end);
    this.#place(first, last);
    this.#pool.forEach((row, index) => {
      const line = first + index;
      const raw = log.line(line);
      row.show(line, raw, line === this.marked, search, this.#options);
      this.#longest = Math.max(this.#longest, row.length);
    });
    this.#reach(first, log);
    if (!this.#moved) return;
    this.#moved = false;
    this.box.scrollTop = this.#top;
    // What the browser made of it.
    this.#top = this.box.scrollTop;
  }

  /** Bring a line into view at the next drawing; it does not follow the end any more. */
  show(line: number): void {
    this.follows = false;
    const at = (line - this.#start) * this.#row;
    if (at >= this.#top && at + this.#row <= this.#top + this.#height) return;
    // Not at the edge: what is around it matters, too.
    this.#top = Math.max(at - this.#height / 3, 0);
    this.#moved = true;
  }

  /** Scroll sideways, so that the current match is seen; after drawing. */
  showMatch(): void {
    const mark = this.#rows.querySelector("mark.current");
    if (!mark) return;
    const [box, found] = [this.box.getBoundingClientRect(), mark.getBoundingClientRect()];
    const gutter = this.#pool[0]?.number.offsetWidth ?? 0;
    const [left, right] = [box.left + gutter, box.left + this.box.clientWidth];
    if (found.left >= left && found.right <= right) return;
    this.box.scrollLeft += found.left - left - (right - left) / 3;
  }

  /**
   * Give a line's number the focus; after drawing.
   *
   * @param options.reveal - scroll the page to it, too
   */
  focus(line: number, { reveal = false } = {}): void {
    const number = this.#pool.find((row) => row.line === line)?.number;
    number?.focus({ preventScroll: true });
    if (reveal) number?.scrollIntoView({ block: "nearest" });
  }

  /** Draw everything anew the next time. */
  forget(): void {
    this.#pool.forEach((row) => row.forget());
  }

  dispose(): void {
    this.#resized.disconnect();
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

  /** Make room for all lines, and stay at the end or at what is read. */
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
    // Browsers round.
    if (!this.follows || Math.abs(bottom - this.#top) <= 1) return;
    this.#top = bottom;
    this.#moved = true;
  }

  /** Have a row for each line from `first` to before `last`; those that stay in view stay as they are. */
  #place(first: number, last: number): void {
    const shadow = this.box.getRootNode() as ShadowRoot;
    const focused = this.#pool.find((row) => row.number === shadow.activeElement);
    // The number that has the focus will be another line's, or none: reading goes on by scrolling.
    if (focused && (focused.line < first || focused.line >= last)) {
      this.box.focus({ preventScroll: true });
    }
    const pool = this.#pool;
    const moved = first - (pool[0]?.line ?? first);
    if (moved > 0 && moved < pool.length) {
      const gone = pool.splice(0, moved);
      pool.push(...gone);
      this.#rows.append(...gone.map((row) => row.element));
    } else if (moved < 0 && -moved < pool.length) {
      const gone = pool.splice(moved);
      pool.unshift(...gone);
      this.#rows.prepend(...gone.map((row) => row.element));
    }
    while (pool.length > last - first) pool.pop()!.element.remove();
    while (pool.length < last - first) {
      const row = new LogRow();
      pool.push(row);
      this.#rows.append(row.element);
    }
  }

  /** Where the rows stand, how wide they are, and which of them the Tab key reaches. */
  #reach(first: number, log: LogBuffer): void {
    put(this.#rows, "inset-block-start", `${(first - log.start) * this.#row}px`);
    // As wide as the widest so far: else the place would jump sideways when that one leaves.
    put(this.#space, "--longest", String(this.#longest));
    put(this.#space, "--digits", String(String(log.end).length));
    const seen = this.#pool[this.first - first];
    const stop = this.#pool.find((row) => row.line === this.marked) ?? seen;
    if (stop === this.#tabStop) return;
    if (this.#tabStop) this.#tabStop.number.tabIndex = -1;
    if (stop) stop.number.tabIndex = 0;
    this.#tabStop = stop;
  }

  #measure(): void {
    const wasHidden = !this.#height;
    this.#height = this.box.clientHeight;
    this.#row = Number.parseFloat(getComputedStyle(this.#rows).lineHeight) || this.#row;
    // Out of view, a browser may have forgotten where it was scrolled to. Else a person may be
    // scrolling it right now.
    if (wasHidden) this.#moved = true;
  }

  #scrolled(): void {
    const { scrollTop } = this.box;
    const rest = this.#count * this.#row - this.#height - scrollTop;
    // Up is a wish not to follow, however little it is: else the end would pull it back each time.
    if (scrollTop < this.#top - 1 && rest > 1) this.follows = false;
    if (scrollTop > this.#top + 1 && rest < NEAR * this.#row) this.follows = true;
    this.#top = scrollTop;
    this.#options.changed();
  }

  #clicked(event: MouseEvent): void {
    const row = this.#pool.find(({ number }) => number === event.target);
    if (row) this.#options.clicked(row.line, event);
  }

  /** The arrows go from number to number. */
  #key(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const row = this.#pool.find(({ number }) => number === event.target);
    if (!step || !row) return;
    event.preventDefault();
    this.#options.stepped(Math.min(Math.max(row.line + step, this.#start), this.#start + this.#count - 1));
  }
}

/** Set a property, if it is another value: to set it is work for the browser. */
function put(element: HTMLElement, property: string, value: string): void {
  const { style } = element;
  if (style.getPropertyValue(property) !== value) style.setProperty(property, value);
}
