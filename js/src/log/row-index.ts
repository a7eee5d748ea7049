/**
 * Which rows of the screen each line of a log takes. No DOM.
 *
 * A line that wraps takes several rows, and a hidden one none. Positions are sums over blocks of lines,
 * so finding one does not depend on the number of lines in practice.
 */
import { Queue } from "../session/queue";

const BLOCK = 1024;

/** The most rows of a line. */
const MAX_ROWS = 65_535;

interface Block {
  rows: Uint16Array;
  total: number;
}

/** A position: a line, and how many of its rows are above. */
export interface Position {
  line: number;
  offset: number;
}

/** The rows of the lines of one log. */
export class RowIndex {
  /** The sum of the rows of all lines. */
  total = 0;

  readonly #rowsOf: (line: number) => number;
  readonly #rowsOfAll: (from: number, to: number) => number | undefined;
  #blocks = new Queue<Block>();
  #start = 0;
  #end = 0;

  /**
   * @param rowsOf - estimates the rows of a line
   * @param rowsOfAll - the rows of each of several lines, if that is known to be the same
   */
  constructor(
    rowsOf: (line: number) => number,
    rowsOfAll: (from: number, to: number) => number | undefined = () => undefined,
  ) {
    this.#rowsOf = rowsOf;
    this.#rowsOfAll = rowsOfAll;
  }

  /**
   * Have the lines from `start` to before `end`.
   *
   * @param changed - the first line whose rows must be estimated again
   * @returns how many rows were removed at the beginning
   */
  update(start: number, end: number, changed: number): number {
    if (start > this.#end || start < this.#start) this.#clear(start);
    const before = this.total;
    while (this.#start < start) {
      this.set(this.#start, 0);
      this.#start += 1;
      if (this.#start % BLOCK === 0) this.#blocks.shift();
    }
    const removed = before - this.total;
    while (this.#end > Math.max(end, start)) this.#pop();
    this.#estimate(Math.max(changed, start), this.#end);
    while (this.#end < end) {
      // A million lines must not take as many calls.
      const next = this.#end + BLOCK;
      const rows = this.#end % BLOCK === 0 && next <= end ? this.#rowsOfAll(this.#end, next) : undefined;
      if (rows === undefined) this.#push();
      else {
        this.#blocks.push({ rows: new Uint16Array(BLOCK).fill(rows), total: rows * BLOCK });
        this.total += rows * BLOCK;
        this.#end = next;
      }
    }
    return removed;
  }

  /** Estimate the rows of lines again. */
  #estimate(from: number, to: number): void {
    for (let line = from; line < to; line += 1) {
      const block = this.#block(line)!;
      const isWhole = line % BLOCK === 0 && line + BLOCK <= to;
      const rows = isWhole ? this.#rowsOfAll(line, line + BLOCK) : undefined;
      if (rows === undefined) this.set(line, this.#rowsOf(line));
      else {
        block.rows.fill(rows);
        this.total += rows * BLOCK - block.total;
        block.total = rows * BLOCK;
        line += BLOCK - 1;
      }
    }
  }

  /** The rows of a line. */
  rows(line: number): number {
    return this.#block(line)?.rows[line % BLOCK] ?? 0;
  }

  /** Correct the rows of a line. */
  set(line: number, rows: number): void {
    const block = this.#block(line);
    if (!block) return;
    const known = Math.min(rows, MAX_ROWS);
    const more = known - block.rows[line % BLOCK]!;
    block.rows[line % BLOCK] = known;
    block.total += more;
    this.total += more;
  }

  /** The number of rows above a line. */
  above(line: number): number {
    const last = Math.min(Math.max(line, this.#start), this.#end);
    let above = 0;
    let at = this.#start - (this.#start % BLOCK);
    for (; at + BLOCK <= last; at += BLOCK) above += this.#block(at)!.total;
    for (; at < last; at += 1) above += this.rows(at);
    return above;
  }

  /** The line at a row, counted from 0; the last line if there are fewer rows. */
  at(row: number): Position {
    let rest = Math.max(row, 0);
    let line = this.#start - (this.#start % BLOCK);
    for (let block = this.#block(line); block && rest >= block.total; block = this.#block(line)) {
      rest -= block.total;
      line += BLOCK;
    }
    for (; line < this.#end; line += 1) {
      const rows = this.rows(line);
      if (rest < rows) return { line, offset: rest };
      rest -= rows;
    }
    const last = Math.max(this.#end - 1, this.#start);
    return { line: last, offset: 0 };
  }

  /**
   * The lines that a window shows, and some above and below.
   *
   * @param top - the rows above the window; it is moved up if it reaches beyond the end
   * @param height - the rows of the window
   * @param extra - how many more lines there are in each direction
   */
  linesIn(top: number, height: number, extra: number): number[] {
    const first = Math.max(Math.min(top, this.total - height), 0);
    let { line } = this.at(Math.floor(first));
    for (let above = 0; line > this.#start && above < extra; line -= 1) {
      if (this.rows(line - 1)) above += 1;
    }
    const lines: number[] = [];
    let rows = this.above(line);
    for (let below = 0; line < this.#end; line += 1) {
      if (!this.rows(line)) continue;
      if (rows > first + height + 1) below += 1;
      if (below > extra) break;
      lines.push(line);
      rows += this.rows(line);
    }
    return lines;
  }

  #block(line: number): Block | undefined {
    if (line < 0 || line >= this.#end + BLOCK) return undefined;
    return this.#blocks.at(Math.floor(line / BLOCK) - Math.floor(this.#start / BLOCK));
  }

  #push(): void {
    if (this.#end % BLOCK === 0 || !this.#blocks.length) {
      this.#blocks.push({ rows: new Uint16Array(BLOCK), total: 0 });
    }
    this.#end += 1;
    this.set(this.#end - 1, this.#rowsOf(this.#end - 1));
  }

  #pop(): void {
    this.#end -= 1;
    this.set(this.#end, 0);
    if (this.#end % BLOCK === 0) this.#blocks.pop();
  }

  #clear(start: number): void {
    this.#blocks = new Queue();
    this.total = 0;
    this.#start = start;
    this.#end = start;
  }
}
