/**
 * The lines of a log, made of messages that may overwrite lines. No DOM.
 */
import { Queue } from "../session/queue";
import { plainText } from "./plain-text";
import { finalState } from "./terminal";

/** The characters that are kept of a line. The server's log has the complete line. */
const MAX_LENGTH = 1024 * 1024;

/** How far the cursor moves up. Lines above that do not change, as above a terminal's screen. */
const MAX_UP = 500;

/** The number of changes that are told apart. */
const MAX_EDITS = 64;

/** The ends of lines, and the sequences that move the cursor between lines or erase them. */
const MOVES = /\r\n|\n|\r|(?:\u001b\[|\u009b)(\d*)([ABEFJK])/g;

/** The server's answer to a search: lines, counted from 1, with how many matches each has. */
export interface Found {
  hits: [line: number, count: number][];
  /** Where to search on, beyond `total` if all was searched. */
  next: number;
  total: number;
}

/** Lines of a log, as they are displayed and searched. They are numbered from 0. */
export interface LogSource {
  /** The number of the oldest line. */
  readonly start: number;
  /** The number after the newest line. */
  readonly end: number;
  /** Increases when a line changes that existed before. */
  readonly revision: number;
  /** The line with a number from `start` to before `end`, with its escape sequences. */
  line(number: number): string;
  /** When the line was written, in seconds since 1970; 0 if that is not known. */
  time(number: number): number;
  /** The first line that changed after a revision, or was removed; infinite if there is none. */
  changedSince(revision: number): number;
  /** Whether the text of a line is there. Without this, all are. */
  has?(number: number): boolean;
  /** Whether some of the lines are there as long as the log is; others take one row. */
  holdsSome?(from: number, to: number): boolean;
  /** These lines are shown: read those that are not there. */
  want?(from: number, to: number): void;
  /** Find lines with a text elsewhere, from a line on, counted from 0; nothing: look at each line. */
  find?(text: string, from: number): Promise<Found> | undefined;
  /** Return lines, also if they are not there yet: at least one, and not always all of them. */
  read?(from: number, to: number): Promise<string[]>;
}

/**
 * The newest lines of a log, with their escape sequences.
 *
 * The cursor moves as in a terminal, but text replaces the line that it is written to, up to its end.
 * Memory is bounded: the oldest lines are dropped, and a line is truncated after one mebibyte.
 */
export class LogBuffer implements LogSource {
  /** The maximum number of lines. */
  maxLines: number;
  readonly #maxSize: number;

  #lines = new Queue<string>();
  #times = new Queue<number>();
  #start = 0;
  #size = 0;
  /** The line that the cursor is at. */
  #at = 0;
  #revision = 0;
  /** Changes, with increasing revisions and lines. */
  #edits: { revision: number; line: number }[] = [];

  /**
   * @param maxLines - the maximum number of lines
   * @param maxSize - the maximum number of characters of all lines
   */
  constructor(maxLines = 200_000, maxSize = 32 * 1024 * 1024) {
    this.maxLines = maxLines;
    this.#maxSize = maxSize;
  }

  /** The number of the oldest line, which is also the number of dropped lines. */
  get start(): number {
    return this.#start;
  }

  get end(): number {
    return this.#start + this.#lines.length;
  }

  get revision(): number {
    return this.#revision;
  }

  line(number: number): string {
    return this.#lines.at(number - this.#start) ?? "";
  }

  time(number: number): number {
    return this.#times.at(number - this.#start) ?? 0;
  }

  changedSince(revision: number): number {
    return this.#edits.find((edit) => edit.revision > revision)?.line ?? Number.POSITIVE_INFINITY;
  }

  /**
   * Add a message. A line that ends in a carriage return is overwritten by the next one. The end of a
   * message also ends its line.
   *
   * @param time - when it was written, in seconds since 1970
   */
  write(message: string, time = 0): void {
    let text = "";
    let erased = false;
    let from = 0;
    // Without text, a line changes only if it was erased before.
    const put = () => {
      const done = erased || hasText(text);
      if (done) this.#put(text, message, time);
      text = "";
      erased = false;
      return done;
    };
    for (const { 0: move, 1: count, 2: kind, index } of message.matchAll(MOVES)) {
      text += message.slice(from, index);
      from = index + move.length;
      if (kind === "K") {
        // Text after this replaces the line anyway.
        if (count === "1" || count === "2") text = "";
        erased = true;
      } else if (kind === "J") {
        // Only what is below the cursor: a log must not lose what was above.
        if (Number(count) === 0) this.#erase(put() ? this.#at + 1 : this.#at);
      } else if (kind) {
        put();
        const lines = Math.max(Number(count), 1);
        this.#moveTo(this.#at + (kind === "A" || kind === "F" ? -lines : lines));
      } else if (move === "\r") {
        put();
      } else {
        if (!put() && this.#at >= this.end) this.#put("", message, time);
        this.#at += 1;
      }
    }
    text += message.slice(from);
    if (put()) this.#at += 1;
  }

  #moveTo(line: number): void {
    this.#at = Math.min(Math.max(line, this.end - MAX_UP, this.#start), this.end);
  }

  /** Write the line at the cursor. */
  #put(text: string, message: string, time: number): void {
    const line = copyOf(finalState(text), message);
    this.#moveTo(this.#at);
    const index = this.#at - this.#start;
    if (index < this.#lines.length) {
      this.#size -= this.#lines.at(index)!.length;
      this.#lines.set(index, line);
      this.#times.set(index, time);
      this.#edited(this.#at);
    } else {
      this.#lines.push(line);
      this.#times.push(time);
    }
    this.#size += line.length;
    while (this.#lines.length > this.maxLines || this.#size > this.#maxSize) {
      this.#size -= this.#lines.shift()!.length;
      this.#times.shift();
      this.#start += 1;
    }
  }

  /** Remove lines from a number on. */
  #erase(from: number): void {
    if (from >= this.end) return;
    this.#edited(from);
    while (this.end > Math.max(from, this.#start)) {
      this.#size -= this.#lines.pop()!.length;
      this.#times.pop();
    }
  }

  #edited(line: number): void {
    const edits = this.#edits;
    this.#revision += 1;
    while ((edits.at(-1)?.line ?? -1) >= line) edits.pop();
    edits.push({ revision: this.#revision, line });
    // The two oldest become one, which may name more lines than have changed.
    if (edits.length > MAX_EDITS) edits.splice(0, 2, { ...edits[1]!, line: edits[0]!.line });
  }
}

/** Whether text is more than control sequences, such as one that shows the cursor. */
function hasText(text: string): boolean {
  return text !== "" && (!"\u001b\u009b".includes(text[0]!) || plainText(text) !== "");
}

/** Copy a short part of a long string: otherwise, it keeps the entire string in memory. */
function copyOf(line: string, message: string): string {
  if (line.length <= MAX_LENGTH && line.length * 2 >= message.length) return line;
  const bytes = new TextEncoder().encode(line.slice(0, MAX_LENGTH));
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}
