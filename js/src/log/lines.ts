/**
 * The log as lines, from messages that overwrite themselves. No DOM.
 */
import { Queue } from "../session/queue";

/** How many characters of a line are kept; the server's log has all of it. */
const LONGEST = 1024 * 1024;

/**
 * The newest lines of a log, as they came: whoever shows them takes the colours out.
 *
 * Lines are numbered from 0, and only the newest can still change. What is kept is bounded: when
 * there is too much, the oldest lines are dropped, and of a line longer than a mebibyte the rest.
 */
export class LogBuffer {
  readonly #limit: number;
  readonly #room: number;

  #lines = new Queue<string>();
  #start = 0;
  #size = 0;
  #overwrite = false;

  /**
   * @param limit - how many lines are kept
   * @param room - how many characters, of all lines together
   */
  constructor(limit = 200_000, room = 32 * 1024 * 1024) {
    this.#limit = limit;
    this.#room = room;
  }

  /** The number of the oldest line that is kept: so many were dropped. */
  get start(): number {
    return this.#start;
  }

  /** The number after the newest line. */
  get end(): number {
    return this.#start + this.#lines.length;
  }

  /** The line of a number between `start` and `end`. */
  line(number: number): string {
    return this.#lines.at(number - this.#start) ?? "";
  }

  /**
   * Add a message: lines that end in a line feed stay, one that ends in a carriage return is
   * overwritten by the next. The end of a message ends its line.
   */
  write(message: string): void {
    // A line feed that comes after the carriage return of the message before: the line stays.
    if (this.#overwrite && /^\r*\n/.test(message)) {
      this.#overwrite = false;
      message = message.replace(/^\r*\n/, "");
    }
    for (const [, line = "", end] of message.matchAll(/([^\r\n]*)(\r\n|\n|\r|$)/g)) {
      if (line === "" && end === "") break;
      // An empty line that is to be overwritten says nothing.
      if (line !== "" || end !== "\r") this.#put(own(line, message));
      this.#overwrite = end === "\r" && (line !== "" || this.#overwrite);
    }
  }

  #put(line: string): void {
    if (this.#overwrite) this.#size -= this.#lines.pop()!.length;
    this.#overwrite = false;
    this.#lines.push(line);
    this.#size += line.length;
    while (this.#lines.length > this.#limit || this.#size > this.#room) {
      this.#size -= this.#lines.shift()!.length;
      this.#start += 1;
    }
  }
}

/** A part of a string keeps the whole of it in memory: where that is much more, a copy does not. */
function own(line: string, message: string): string {
  if (line.length <= LONGEST && line.length * 2 >= message.length) return line;
  const bytes = new TextEncoder().encode(line.slice(0, LONGEST));
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}
