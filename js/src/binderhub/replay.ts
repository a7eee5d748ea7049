/**
 * Skips what a BinderHub repeats after a reconnect. No DOM; loaded on demand.
 */

/** The number of messages that are kept for comparison. */
const MAX_MESSAGES = 5000;
/** The number of positions that are followed at once, if messages look alike. */
const MAX_POSITIONS = 50;

/**
 * Recognises messages that were received before.
 *
 * After a reconnect, a BinderHub sends the log of the running build again: all of it, or only its last
 * 100 lines. So the first message is searched for among the earlier ones, and messages are skipped as
 * long as they continue in the same way.
 */
export class Repeats {
  /** BinderHub's own status messages, which appear anywhere between the lines of the log. */
  readonly #statuses = new Set<string>();
  #messages: string[] = [];
  /** The possible positions of the next message in `#messages`; none if it is new. */
  #positions: number[] = [];
  #isFirst = false;

  /** Call this for each new connection, which may repeat earlier messages. */
  begin(): void {
    this.#isFirst = true;
    this.#positions = [];
  }

  /**
   * Return whether a message is a repeat, and keep it otherwise.
   *
   * @param text - the message, unchanged
   * @param isStatus - whether it is a status of the BinderHub, not a line of the log
   */
  has(text: string, isStatus: boolean): boolean {
    if (text === "") return false;
    if (isStatus) return this.#hasStatus(text);
    const positions = this.#isFirst
      ? this.#find(text)
      : this.#positions.filter((position) => this.#messages[position] === text);
    this.#isFirst = false;
    this.#positions = positions.map((position) => position + 1);
    if (positions.length) return true;
    this.#messages.push(text);
    // Not for each message: removing the first item moves all others.
    if (this.#messages.length > 2 * MAX_MESSAGES) this.#messages = this.#messages.slice(-MAX_MESSAGES);
    return false;
  }

  #hasStatus(text: string): boolean {
    const isRepeating = this.#isFirst || this.#positions.length > 0;
    if (isRepeating && this.#statuses.has(text)) return true;
    if (this.#statuses.size < MAX_MESSAGES) this.#statuses.add(text);
    return false;
  }

  #find(text: string): number[] {
    const positions = [];
    for (const [position, message] of this.#messages.entries()) {
      if (message === text) positions.push(position);
      if (positions.length === MAX_POSITIONS) break;
    }
    return positions;
  }
}
