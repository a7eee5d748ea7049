/**
 * Parts of the element that are loaded when they are wanted.
 */

/** A part that is loaded once; what could not be loaded is tried again when it is wanted again. */
export class Lazy<T> {
  /** The part, once it is there. */
  value: T | undefined;
  /** The last try to load it failed. */
  failed = false;

  readonly #load: () => Promise<T>;
  readonly #loaded: (value: T | undefined) => void;
  #loading = false;

  /** @param loaded - called when the part is there, or could not be loaded */
  constructor(load: () => Promise<T>, loaded: (value: T | undefined) => void) {
    this.#load = load;
    this.#loaded = loaded;
  }

  /** Load the part, unless it is there or on its way. */
  want(): void {
    if (this.value || this.#loading) return;
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
    }
    this.#loading = false;
    this.#loaded(this.value);
  }
}
