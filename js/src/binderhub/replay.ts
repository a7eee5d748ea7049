/**
 * What a BinderHub says again to whoever connects again. No DOM; loaded when wanted.
 */

/** Messages that are kept to compare with. */
const KEPT = 5000;
/** Places in them that are followed at once, should they all look alike. */
const PLACES = 50;

/**
 * Knows messages that were had before.
 *
 * A hub that is asked again sends the log of the running build again: all of it, or only its last
 * hundred lines. So what comes is looked for among what was had, and skipped as long as it goes on
 * like there.
 */
export class Repeats {
  /** What the hub said itself: it stands anywhere between the lines of the log. */
  readonly #statuses = new Set<string>();
  #had: string[] = [];
  /** Where in `had` the next message may be; none when nothing is repeated. */
  #places: number[] = [];
  #isFirst = false;

  /** From here on the hub may begin anew. */
  begin(): void {
    this.#isFirst = true;
    this.#places = [];
  }

  /**
   * Whether a message was had before; else it is remembered.
   *
   * @param text - as it came
   * @param isStatus - whether it is the hub's own and not the log's
   */
  has(text: string, isStatus: boolean): boolean {
    if (text === "") return false;
    if (isStatus) return this.#hasStatus(text);
    const places = this.#isFirst
      ? this.#find(text)
      : this.#places.filter((at) => this.#had[at] === text);
    this.#isFirst = false;
    this.#places = places.map((at) => at + 1);
    if (places.length) return true;
    this.#had.push(text);
    // Not with every message: what is left has to be moved.
    if (this.#had.length > 2 * KEPT) this.#had = this.#had.slice(-KEPT);
    return false;
  }

  #hasStatus(text: string): boolean {
    const isRepeating = this.#isFirst || this.#places.length > 0;
    if (isRepeating && this.#statuses.has(text)) return true;
    if (this.#statuses.size < KEPT) this.#statuses.add(text);
    return false;
  }

  #find(text: string): number[] {
    const places = [];
    for (const [at, had] of this.#had.entries()) {
      if (had === text) places.push(at);
      if (places.length === PLACES) break;
    }
    return places;
  }
}
