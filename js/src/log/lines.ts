/**
 * The lines of a log, made of messages that may overwrite lines. No DOM.
 */
import { Queue } from "../session/queue";

/** The characters that are kept of a line. The server's log has the complete line. */
const MAX_LENGTH = 1024 * 1024;

/**
 * The newest lines of a log, with their escape sequences.
 *
 * Lines are numbered from 0, and only the newest can still change. Memory is bounded: the oldest lines
 * are dropped, and a line is truncated after one mebibyte.
 */
export class LogBuffer {
  readonly #maxLines: number;
  readonly #maxSize: number;

  #lines = new Queue<string>();
  #start = 0;
  #size = 0;
  #overwrite = false;

  /**
   * @param maxLines - the maximum number of lines
   * @param maxSize - the maximum number of characters of all lines
   */
  constructor(maxLines = 200_000, maxSize = 32 * 1024 * 1024) {
    this.#maxLines = maxLines;
    this.#maxSize = maxSize;
  }

  /** The number of the oldest line, which is also the number of dropped lines. */
  get start(): number {
    return this.#start;
  }

  /** The number after the newest line. */
  get end(): number {
    return this.#start + this.#lines.length;
  }

  /** The line with a number from `start` to before `end`. */
  line(number: number): string {
    return this.#lines.at(number - this.#start) ?? "";
  }

  /**
   * Add a message. A line that ends in a carriage return is overwritten by the next one. The end of a
   * message also ends its line.
   */
  write(message: string): void {
    // A line feed after the carriage return of the previous message: the line is complete.
    if (this.#overwrite && /^\r*\n/.test(message)) {
      this.#overwrite = false;
      message = message.replace(/^\r*\n/, "");
    }
    for (const [, line = "", end] of message.matchAll(/([^\r\n]*)(\r\n|\n|\r|$)/g)) {
      if (line === "" && end === "") break;
      // Skip an empty line that is about to be overwritten.
      if (line !== "" || end !== "\r") this.#put(copyOf(line, message));
      this.#overwrite = end === "\r" && (line !== "" || this.#overwrite);
    }
  }

  #put(line: string): void {
    if (this.#overwrite) this.#size -= this.#lines.pop()!.length;
    this.#overwrite = false;
    this.#lines.push(line);
    this.#size += line.length;
    while (this.#lines.length > this.#maxLines || this.#size > this.#maxSize) {
      this.#size -= this.#lines.shift()!.length;
      this.#start += 1;
    }
  }
}

/** Copy a short part of a long string: otherwise, it keeps the entire string in memory. */
function copyOf(line: string, message: string): string {
  if (line.length <= MAX_LENGTH && line.length * 2 >= message.length) return line;
  const bytes = new TextEncoder().encode(line.slice(0, MAX_LENGTH));
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}
