/**
 * When lines of a log were written, as the server says it: of some lines, about one in a second. No DOM.
 */

/** Seconds by which the times of an event and of its line may differ. */
const SAME = 0.0015;

/** The server's answer: numbers of lines, counted from 1 and ascending, and seconds since 1970. */
export interface LineTimesPart {
  lines: number[];
  times: number[];
}

/** The times of one log. */
export class LineTimes {
  #lines: readonly number[] = [];
  #times: readonly number[] = [];

  /** Whether there are any. */
  get some(): boolean {
    return this.#lines.length > 0;
  }

  /** Have those of another answer. */
  set({ lines, times }: LineTimesPart): void {
    this.#lines = lines;
    this.#times = times;
  }

  /** When a line was written, counted from 0, in seconds since 1970; 0 if that is not known. */
  at(line: number): number {
    return this.#times[firstAfter(this.#lines, line + 1) - 1] ?? 0;
  }

  /** The first line that was written at a time or later, counted from 0; nothing if none is known. */
  since(time: number): number | undefined {
    const line = this.#lines[firstAfter(this.#times, time - SAME)];
    return line === undefined ? undefined : line - 1;
  }
}

/** The index of the first of ascending numbers that is larger than another. */
function firstAfter(numbers: readonly number[], than: number): number {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle]! <= than) low = middle + 1;
    else high = middle;
  }
  return low;
}
