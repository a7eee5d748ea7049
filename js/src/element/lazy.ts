/**
 * Parts of the element that are loaded on demand.
 */

/** How long to wait after a failure, in milliseconds: twice as long after each one, up to the second. */
const [PAUSE, MAX_PAUSE] = [1000, 60_000];

/** A part that is loaded once. If loading fails, a later {@link Lazy.want} tries again. */
export class Lazy<T> {
  /** The part, once it is loaded. */
  value: T | undefined;
  /** Whether the last attempt to load it failed. */
  failed = false;

  readonly #load: () => Promise<T>;
  readonly #loaded: (value: T | undefined) => void;
  #loading = false;
  #pause = PAUSE;
  /** When to try again at the earliest, in milliseconds. */
  #next = 0;

  /** @param loaded - called when the part is loaded, or with nothing if that failed */
  constructor(load: () => Promise<T>, loaded: (value: T | undefined) => void) {
    this.#load = load;
    this.#loaded = loaded;
  }

  /** Load the part, unless it is loaded or being loaded. */
  want(): void {
    if (this.value || this.#loading || performance.now() < this.#next) return;
    this.#loading = true;
    void this.#try();
  }

  async #try(): Promise<void> {
    try {
      this.value = await this.#load();
      this.failed = false;
    } catch (error) {
      console.error(error);
      this.failed = true;
      this.#next = performance.now() + this.#pause;
      this.#pause = Math.min(2 * this.#pause, MAX_PAUSE);
    }
    this.#loading = false;
    this.#loaded(this.value);
  }
}
