/**
 * The log as lines, from messages that overwrite themselves. No DOM.
 */
/**
 * The newest lines of a log, as they came: whoever shows them takes the colours out.
 *
 * Lines are numbered from 0, and only the newest can still change.
 */
export class LogBuffer {
  /** How many lines are kept. */
  readonly limit: number;

  #lines: string[] = [];
  #dropped = 0;
  #overwrite = false;

  constructor(limit = 5000) {
    this.limit = limit;
  }

  /** The number of the oldest line that is kept: so many were dropped. */
  get start(): number {
    return this.#dropped;
  }

  /** The number after the newest line. */
  get end(): number {
    return this.#dropped + this.#lines.length;
  }

  /** The line of a number between `start` and `end`. */
  line(number: number): string {
    return this.#lines[number - this.#dropped] ?? "";
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
      if (line !== "" || end !== "\r") this.#put(line);
      this.#overwrite = end === "\r" && (line !== "" || this.#overwrite);
    }
  }

  #put(line: string): void {
    if (this.#overwrite) this.#lines[this.#lines.length - 1] = line;
    else this.#lines.push(line);
    this.#overwrite = false;
    if (this.#lines.length > this.limit) {
      this.#lines.shift();
      this.#dropped += 1;
    }
  }
}
