/**
 * Searches a log: in slices of a few milliseconds, or on the server if it has most of the lines. No DOM.
 */
import type { Found, LogSource } from "./lines";
import { shownText } from "./plain-text";
import { Queue } from "../session/queue";

/** The maximum number of matches in a line. Each one is an element of the page. */
const MAX_MATCHES = 500;

/** The lines with matches that are kept of a search on the server; later ones are not counted. */
const MAX_HITS = 100_000;

/** The time after a failure until the server is asked again, in milliseconds. */
const PAUSE = 1000;

/** The number of lines between two looks at the clock. */
const LINES_PER_CHECK = 64;

/** A line with matches. */
interface Hit {
  line: number;
  /** The number of matches in it. */
  count: number;
  /** The number of matches in earlier lines. */
  before: number;
}

/** A match: its line and its index in the line, counted from 0. */
export interface Match {
  line: number;
  nth: number;
}

/** A case-insensitive search in the visible text of lines. */
export class LogSearch {
  /** The selected match. */
  current: Match | undefined;
  /** Increases with each search. */
  version = 0;

  /** Whether there are more matches than are counted. */
  isCut = false;

  readonly #arrived: () => void;
  #text = "";
  #isAsking = false;
  #pattern: RegExp | undefined;
  #hits = new Queue<Hit>();
  #total = 0;
  #next = 0;
  /** The log's revision when its lines were read. */
  #revision = 0;

  /** @param arrived - called when the server has searched a part */
  constructor(arrived: () => void = () => undefined) {
    this.#arrived = arrived;
  }

  /** Whether there is a search text. */
  get active(): boolean {
    return this.#pattern !== undefined;
  }

  /** The number of matches in lines that were read and still exist. */
  get count(): number {
    return this.#total - this.#dropped;
  }

  /** The position of the selected match, counted from 1; 0 for none. */
  get position(): number {
    const hit = this.current && this.#hits.at(this.#index(this.current.line));
    if (!hit || hit.line !== this.current?.line) return 0;
    return hit.before - this.#dropped + this.current.nth + 1;
  }

  /** Search for another text; an empty one ends the search. */
  begin(text: string): void {
    const literal = text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
    this.#text = text;
    this.#pattern = text ? new RegExp(literal, "giu") : undefined;
    this.restart();
  }

  /** Start over, in another log. */
  restart(): void {
    this.version += 1;
    this.isCut = false;
    this.current = undefined;
    this.#hits = new Queue();
    this.#total = 0;
    this.#next = 0;
    this.#revision = 0;
  }

  /** Whether there are lines to read. */
  isBehind(log: LogSource): boolean {
    return this.active && !this.isCut && (this.#next < log.end || this.#isStale(log));
  }

  /** Read lines for at most some milliseconds. */
  step(log: LogSource, milliseconds: number): void {
    if (!this.active || this.isCut || this.#isAsking) return;
    const answer = this.#next < log.end ? log.find?.(this.#text, this.#next) : undefined;
    if (answer) {
      this.#isAsking = true;
      void this.#take(answer, this.version);
      return;
    }
    const until = performance.now() + milliseconds;
    if (this.#isStale(log)) this.#reread(log.changedSince(this.#revision));
    this.#revision = log.revision;
    while ((this.#hits.at(0)?.line ?? log.start) < log.start) this.#hits.shift();
    this.#next = Math.max(this.#next, log.start);
    for (let read = 1; this.#next < log.end; read += 1) {
      const count = this.ranges(shownText(log.line(this.#next))).length;
      if (count) this.#hits.push({ line: this.#next, count, before: this.#total });
      this.#total += count;
      this.#next += 1;
      if (read % LINES_PER_CHECK === 0 && performance.now() > until) return;
    }
  }

  async #take(answer: Promise<Found>, version: number): Promise<void> {
    try {
      const { hits, next } = await answer;
      if (version === this.version) this.#add(hits, next - 1);
    } catch (error) {
      console.error(error);
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
    this.#isAsking = false;
    this.#arrived();
  }

  #add(hits: Found["hits"], next: number): void {
    for (const [line, count] of hits) {
      this.#hits.push({ line: line - 1, count, before: this.#total });
      this.#total += count;
    }
    this.#next = next;
    this.isCut = this.#hits.length >= MAX_HITS;
  }

  /** Return the ranges of the matches in a text; ends are exclusive. */
  ranges(text: string): [start: number, end: number][] {
    const ranges: [number, number][] = [];
    if (!this.#pattern) return ranges;
    for (const match of text.matchAll(this.#pattern)) {
      ranges.push([match.index, match.index + match[0].length]);
      if (ranges.length === MAX_MATCHES) break;
    }
    return ranges;
  }

  /**
   * Select the first match from a line on, or the first of all.
   *
   * @returns whether there is one in the lines that were read
   */
  seek(line: number, log: LogSource): boolean {
    const index = this.#index(line);
    if (index === this.#hits.length && this.isBehind(log)) return false;
    return this.#enter(index, 1);
  }

  /**
   * Select the next or the previous match, and wrap around at the ends.
   *
   * @param step - 1 or -1
   * @param line - where to start if no match is selected
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
    return this.#hits.at(0)?.before ?? this.#total;
  }

  /** Whether lines have changed since they were read. */
  #isStale(log: LogSource): boolean {
    return this.#revision < log.revision && log.changedSince(this.#revision) < this.#next;
  }

  /** Forget what was read from a line on. */
  #reread(line: number): void {
    this.#next = line;
    let newest = this.#hits.at(this.#hits.length - 1);
    while (newest && newest.line >= line) {
      this.#hits.pop();
      this.#total = newest.before;
      newest = this.#hits.at(this.#hits.length - 1);
    }
    // The selected match may no longer be in this line.
    if (this.current && this.current.line >= line) this.current = undefined;
  }

  /** The index of the first hit at or after a line. */
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
