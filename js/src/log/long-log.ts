/**
 * A log that may be too long to be kept: the newest lines come with the events, and others are read
 * from the server when they are shown. No DOM.
 *
 * Both number lines alike: as a terminal shows them in the end.
 */
import type { LineTimesPart } from "../session/line-times";
import type { LaunchTranscript } from "../session/transcript";
import { ApiError, getJson } from "../wire/client";
import type { Found, LogSource } from "./lines";
import { LogPages, PAGE } from "./log-pages";

/** The number of lines from which on the server is asked how many there are. */
const ASK_FROM = 2000;

/** How many of the last lines are read to see what is new. Programs overwrite 500 of them. */
const TAIL = 600;

/** The time between two looks at the end of a log, and after a failure, in milliseconds. */
const PAUSE = 1000;

/** The time between two questions when lines were written, while more are written, in milliseconds. */
const TIMES_PAUSE = 5000;

/**
 * The most lines that are shown; older ones are not. Attack: millions of empty lines. Beyond about 33
 * million pixels, Chromium cannot scroll.
 */
const MAX_LINES = 1_200_000;

/** The server's answer to a request for lines, counted from 1. */
interface LogPart {
  first: number;
  lines: string[];
  total: number;
  settled: number;
}

/** What a long log needs of its launch. */
export interface LongLogOptions {
  transcript: LaunchTranscript;
  /** The address of the log; empty if the launch is none of a server with parts of logs. */
  url: string;
  /** Lines have arrived, or it is time to look for new ones. */
  changed(): void;
  /** Lines cannot be read. */
  failed(): void;
  /** It is known when lines were written, and so which ones belong to each step. */
  timed(): void;
  /** Reads JSON; only tests have another one. */
  get?: <T>(url: string) => Promise<T>;
}

/** The log of one launch. */
export class LongLog implements LogSource {
  readonly #options: LongLogOptions;
  readonly #get: <T>(url: string) => Promise<T>;
  readonly #pages = new LogPages();
  #total = 0;
  #settled = 0;
  #isReading = false;
  #isGone = false;
  /** Whether the end was read at least once. */
  #isKnown = false;
  /** When to look at the end again, in milliseconds. */
  #next = 0;
  /** Whether times are shown of lines that are read from the server. Steps need them, too. */
  showsTimes = false;
  /** How many lines there were when the server was asked for their times. */
  #timed = -1;
  #nextTimes = 0;
  /** The lines that were last shown. */
  #wanted: [from: number, to: number] = [0, 0];

  constructor(options: LongLogOptions) {
    this.#options = options;
    this.#get = options.get ?? getJson;
  }

  get transcript(): LaunchTranscript {
    return this.#options.transcript;
  }

  get start(): number {
    return this.isLong ? Math.max(this.end - MAX_LINES, 0) : this.transcript.log.start;
  }

  get end(): number {
    return Math.max(this.#total, this.#held[1]);
  }

  get revision(): number {
    return this.transcript.log.revision;
  }

  /** Whether lines are read from the server. */
  get isLong(): boolean {
    const [start, end] = this.#held;
    return this.#options.url !== "" && (start > 0 || this.transcript.isCut || this.#total > end);
  }

  line(number: number): string {
    const [start, end] = this.#held;
    if (number >= start && number < end) return this.transcript.log.line(number);
    return this.#pages.line(number) ?? "";
  }

  time(number: number): number {
    const [start, end] = this.#held;
    if (number >= start && number < end) return this.transcript.log.time(number);
    return this.transcript.times.at(number);
  }

  changedSince(revision: number): number {
    return this.transcript.log.changedSince(revision);
  }

  /** Whether the text of a line is there. */
  has(number: number): boolean {
    const [start, end] = this.#held;
    return (number >= start && number < end) || this.#pages.line(number) !== undefined;
  }

  /** Whether a line may be there that is not read from the server each time. */
  holdsSome(from: number, to: number): boolean {
    const [start, end] = this.#held;
    return to > start && from < end;
  }

  /** Read lines that are shown, and look for new ones from time to time. */
  want(from: number, to: number): void {
    this.#wanted = [from, to];
    if (!this.#options.url || this.#isGone) return;
    if (this.isLong && (this.showsTimes || this.transcript.isCut)) void this.#readTimes();
    const { log, isCut } = this.transcript;
    const isOver = this.#isKnown && this.#settled === this.#total;
    const asks = isCut ? !isOver : !this.#isKnown || (this.#total > log.end && !isOver);
    if ((asks && (isCut || log.end >= ASK_FROM)) || this.#missing() !== undefined) void this.#read(asks);
  }

  /** Return lines, wherever they are. There may be fewer, but at least one. */
  async read(from: number, to: number): Promise<string[]> {
    const [start, end] = this.#held;
    if (from >= start && from < end) {
      const { log } = this.transcript;
      return Array.from({ length: Math.min(end, to, from + PAGE) - from }, (_, index) => log.line(from + index));
    }
    const until = from < start ? Math.min(to, start) : to;
    const part = await this.#ask(from, Math.min(until - from, 4 * PAGE));
    if (!part.lines.length) throw new RangeError("The log has no such lines.");
    return part.lines;
  }

  find(text: string, from: number): Promise<Found> | undefined {
    if (!this.isLong) return undefined;
    return this.#get(`${this.#options.url}/search?q=${encodeURIComponent(text)}&first=${Math.max(from, this.start) + 1}`);
  }

  /** The lines that came with events, and that are the server's, too. */
  get #held(): [start: number, end: number] {
    const { log, cutAt } = this.transcript;
    const end = Math.min(log.end, cutAt);
    return [Math.min(log.start, end), end];
  }

  #missing(): number | undefined {
    const [start, end] = this.#held;
    const [from, to] = this.#wanted;
    const stop = Math.min(to, this.end);
    const before = this.#pages.missing(from, Math.min(stop, start), this.#settled);
    return before ?? this.#pages.missing(Math.max(from, end), stop, this.#settled);
  }

  async #read(asks: boolean): Promise<void> {
    if (this.#isReading) return;
    const wait = this.#next - performance.now();
    const missing = this.#missing();
    if (wait > 0 && missing === undefined) return;
    this.#isReading = true;
    try {
      if (missing === undefined || (asks && wait <= 0)) {
        this.#take(await this.#ask(-TAIL - 1, TAIL));
        this.#isKnown = true;
        this.#look(PAUSE);
      } else {
        // Around it, because the user may scroll on in either direction.
        const first = Math.max(missing - (missing % PAGE), 0);
        const from = this.#pages.missing(first, missing, this.#settled) ?? missing;
        this.#take(await this.#ask(from, PAGE + first - from));
      }
    } catch (error) {
      console.error(error);
      // The server has forgotten the launch.
      this.#isGone = error instanceof ApiError && error.final;
      this.#options.failed();
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    }
    this.#isReading = false;
    this.#options.changed();
  }

  /** Ask when lines were written. Without an answer, no times are shown. */
  async #readTimes(): Promise<void> {
    const [total, now] = [this.end, performance.now()];
    if (this.#timed === total || (this.transcript.times.some && now < this.#nextTimes)) return;
    this.#timed = total;
    this.#nextTimes = now + TIMES_PAUSE;
    try {
      this.transcript.times.set(await this.#get<LineTimesPart>(`${this.#options.url}/times`));
      this.#options.timed();
    } catch (error) {
      console.warn(error);
    }
  }

  #ask(from: number, count: number): Promise<LogPart> {
    return this.#get(`${this.#options.url}/lines?first=${from + 1}&count=${count}`);
  }

  #take({ first, lines, total, settled }: LogPart): void {
    this.#total = total;
    this.#settled = settled;
    this.transcript.total = total;
    this.#pages.put(first - 1, lines, settled);
  }

  /** Look at the end again after a while, if somebody still shows the log then. */
  #look(after: number): void {
    this.#next = performance.now() + after;
    if (this.#settled < this.#total) setTimeout(() => this.#options.changed(), after);
  }
}
