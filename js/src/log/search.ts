/**
 * Finds a text in a log, a few milliseconds at a time. No DOM.
 */
import type { LogBuffer } from "./lines";
import { shownText } from "./plain-text";
import { Queue } from "../session/queue";

/** How many matches of a line count: each is an element of the page when the line is shown. */
const MATCHES = 500;

/** After how many lines it looks at the clock. */
const LINES = 64;

/** A line that has the text. */
interface Hit {
  line: number;
  /** How many matches there are in it. */
  count: number;
  /** How many were found before it. */
  before: number;
}

/** A match: the line, and which of its matches, from 0. */
export interface Match {
  line: number;
  nth: number;
}

/** One search at a time, through what is shown of lines, without regard to case. */
export class LogSearch {
  /** The match that the person is at. */
  current: Match | undefined;
  /** Goes up with each search. */
  version = 0;

  #pattern: RegExp | undefined;
  #hits = new Queue<Hit>();
  #found = 0;
  #next = 0;
  /** The line before `#next`, as it was read: the newest line of a log can change. */
  #last = "";

  /** Whether there is something to search for. */
  get active(): boolean {
    return this.#pattern !== undefined;
  }

  /** How many matches there are in what was read and is still kept. */
  get count(): number {
    return this.#found - this.#dropped;
  }

  /** Which of them is the current one, from 1; 0 for none. */
  get position(): number {
    const hit = this.current && this.#hits.at(this.#index(this.current.line));
    if (!hit || hit.line !== this.current?.line) return 0;
    return hit.before - this.#dropped + this.current.nth + 1;
  }

  /** Search for another text; for none, if it is empty. */
  begin(text: string): void {
    const literal = text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
    this.#pattern = text ? new RegExp(literal, "giu") : undefined;
    this.version += 1;
    this.restart();
  }

  /** Search for the same from the start, as in another log. */
  restart(): void {
    this.current = undefined;
    this.#hits = new Queue();
    this.#found = 0;
    this.#next = 0;
    this.#last = "";
  }

  /** Whether there is something to read. */
  isBehind(log: LogBuffer): boolean {
    return this.active && (this.#next < log.end || this.#isStale(log));
  }

  /** Read on, for some milliseconds at most. */
  step(log: LogBuffer, milliseconds: number): void {
    if (!this.active) return;
    const until = performance.now() + milliseconds;
    if (this.#isStale(log)) this.#reread();
    while ((this.#hits.at(0)?.line ?? log.start) < log.start) this.#hits.shift();
    this.#next = Math.max(this.#next, log.start);
    for (let read = 1; this.#next < log.end; read += 1) {
      this.#last = log.line(this.#next);
      const count = this.ranges(shownText(this.#last)).length;
      if (count) this.#hits.push({ line: this.#next, count, before: this.#found });
      this.#found += count;
      this.#next += 1;
      if (read % LINES === 0 && performance.now() > until) return;
    }
  }

  /** Where the matches are in a text: their first places and those after their last. */
  ranges(text: string): [start: number, end: number][] {
    const found: [number, number][] = [];
    if (!this.#pattern) return found;
    for (const match of text.matchAll(this.#pattern)) {
      found.push([match.index, match.index + match[0].length]);
      if (found.length === MATCHES) break;
    }
    return found;
  }

  /**
   * Go to the first match from a line on; round to the first of all if there is none.
   *
   * @returns whether there is one, as far as was read
   */
  seek(line: number, log: LogBuffer): boolean {
    const index = this.#index(line);
    if (index === this.#hits.length && this.isBehind(log)) return false;
    return this.#enter(index, 1);
  }

  /**
   * Go to the next match or the one before, and round at the ends.
   *
   * @param step - 1 or -1
   * @param line - where to begin if the person is at none
   * @returns whether there is one
   */
  move(step: 1 | -1, line: number): boolean {
    const index = this.#index(this.current?.line ?? line);
    const hit = this.#hits.at(index);
    if (!this.current || hit?.line !== this.current.line) {
      return this.#enter(step === 1 ? index : index - 1, step);
    }
    const nth = this.current.nth + step;
    if (nth < 0 || nth >= hit.count) return this.#enter(index + step, step);
    this.current = { line: hit.line, nth };
    return true;
  }

  #enter(index: number, step: 1 | -1): boolean {
    const { length } = this.#hits;
    const hit = length ? this.#hits.at((index + length) % length) : undefined;
    if (hit) this.current = { line: hit.line, nth: step === 1 ? 0 : hit.count - 1 };
    return hit !== undefined;
  }

  get #dropped(): number {
    return this.#hits.at(0)?.before ?? this.#found;
  }

  #isStale(log: LogBuffer): boolean {
    return this.#next > log.start && log.line(this.#next - 1) !== this.#last;
  }

  #reread(): void {
    this.#next -= 1;
    const newest = this.#hits.at(this.#hits.length - 1);
    if (newest?.line !== this.#next) return;
    this.#hits.pop();
    this.#found = newest.before;
    // Of the current match's line there may be nothing left.
    if (this.current?.line === newest.line) this.current = undefined;
  }

  /** The index of the first hit that is not before a line. */
  #index(line: number): number {
    let [low, high] = [0, this.#hits.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#hits.at(middle)!.line < line) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
