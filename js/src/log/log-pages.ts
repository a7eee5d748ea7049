/**
 * The lines of a log that were read from the server, a few thousand at a time. No DOM.
 */

/** The number of lines that are read at once. */
export const PAGE = 500;

/** The characters of lines that are kept. Those that were read longest ago go first. */
const MAX_SIZE = 4 * 1024 * 1024;

interface Page {
  lines: (string | undefined)[];
  size: number;
  /** The number of lines at the beginning that cannot change any more. */
  settled: number;
}

/** A cache of lines, counted from 0. */
export class LogPages {
  /** In the order in which they were used. */
  readonly #pages = new Map<number, Page>();
  readonly #maxSize: number;
  #size = 0;

  constructor(maxSize = MAX_SIZE) {
    this.#maxSize = maxSize;
  }

  line(number: number): string | undefined {
    return this.#pages.get(Math.floor(number / PAGE))?.lines[number % PAGE];
  }

  /**
   * The first line of a range that has to be read; nothing if there is none.
   *
   * @param settled - lines before this number cannot change any more
   */
  missing(from: number, to: number, settled: number): number | undefined {
    for (let line = from; line < to; line += 1) {
      const page = this.#pages.get(Math.floor(line / PAGE));
      if (page?.lines[line % PAGE] === undefined) return line;
      // It was read while programs might still overwrite it.
      if (line % PAGE >= page.settled && line < settled) return line;
    }
    return undefined;
  }

  /**
   * Keep lines.
   *
   * @param settled - lines before this number cannot change any more
   */
  put(first: number, lines: readonly string[], settled: number): void {
    lines.forEach((line, index) => this.#put(first + index, line));
    const end = first + lines.length;
    for (let at = Math.floor(first / PAGE); at * PAGE < end; at += 1) {
      const page = this.#pages.get(at)!;
      const begins = Math.max(first - at * PAGE, 0);
      const ends = Math.min(end, settled) - at * PAGE;
      if (begins <= page.settled) page.settled = Math.max(page.settled, Math.min(ends, PAGE));
      // Used last.
      this.#pages.delete(at);
      this.#pages.set(at, page);
    }
    for (const [at, page] of this.#pages) {
      if (this.#size <= this.#maxSize || this.#pages.size <= 2) break;
      this.#pages.delete(at);
      this.#size -= page.size;
    }
  }

  #put(number: number, line: string): void {
    const at = Math.floor(number / PAGE);
    let page = this.#pages.get(at);
    if (!page) this.#pages.set(at, (page = { lines: [], size: 0, settled: 0 }));
    const more = line.length - (page.lines[number % PAGE]?.length ?? 0);
    page.lines[number % PAGE] = line;
    page.size += more;
    this.#size += more;
  }
}
