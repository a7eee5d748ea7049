/**
 * Keeps a line in view that somebody followed a link to, whatever the page does meanwhile: parts of it arrive
 * late, and push the line away. The reader ends that with whatever they do.
 */

/** How long a line is kept in view, in milliseconds. */
const DURATION = 10_000;

/** The share of the line's number that has to be in view. */
const VISIBLE = 0.9;

/** What readers do. Not `scroll`, which pages do by themselves, such as after a reload. */
const ACTS = ["click", "keydown", "pointerdown", "touchstart", "wheel"];

/** Keeps one line in view. */
export class Hold {
  /** Whether the reader has done nothing since {@link begin}, and the time is not over. */
  isActive = false;

  #element: Element | undefined;
  #observer: IntersectionObserver | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** From now on, the reader may do something. */
  begin(): void {
    this.end();
    this.isActive = true;
    for (const act of ACTS) addEventListener(act, this.end, { capture: true, passive: true });
    this.#observer = new IntersectionObserver(
      (entries) => {
        if (entries.at(-1)!.intersectionRatio < VISIBLE) this.#show();
      },
      { threshold: VISIBLE },
    );
  }

  /**
   * Show an element, and keep it in view. The time begins with the first one.
   *
   * @param element - the number of the line, which may be another element each time
   */
  keep(element: Element | undefined): void {
    if (element === this.#element || !this.isActive) return;
    this.#observer?.disconnect();
    this.#element = element;
    if (!element) return;
    this.#timer ??= setTimeout(this.end, DURATION);
    this.#show();
    this.#observer?.observe(element);
  }

  /** Stop. */
  readonly end = (): void => {
    this.isActive = false;
    for (const act of ACTS) removeEventListener(act, this.end, true);
    this.#observer?.disconnect();
    this.#element = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  };

  #show(): void {
    // All of the box if it fits: the lines around it matter, too.
    for (const shown of [this.#element?.closest(".log-box"), this.#element]) shown?.scrollIntoView({ block: "nearest" });
  }
}
