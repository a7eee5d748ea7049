/**
 * Moves the progress bar. The browser does that without this page's main thread: only `transform` changes.
 */

/** The speed of the ribs at 100 %, compared with that at 0 %, which is in the stylesheet. */
const END_SPEED = 1 / 8;

/**
 * The filled part of the bar, and the ribs in it.
 *
 * The ribs move backward and slow down. Of all ways to draw a progress bar, this one makes the same
 * time seem shortest (Harrison, Yeo, Hudson: Faster Progress Bars, CHI 2010).
 */
export class Bar {
  readonly #part: (id: string) => HTMLElement | null | undefined;
  #drawn = 0;

  /** @param part - returns the elements `clip`, `fill` and `ribs`, once they exist */
  constructor(part: (id: string) => HTMLElement | null | undefined) {
    this.#part = part;
  }

  /**
   * Let the bar glide to a percentage, within the second until it is set again. It returns to a lower
   * one at once, because that is a new launch.
   */
  set(percent: number): void {
    const jumps = percent < this.#drawn;
    this.#drawn = percent;
    const rest = 100 - percent;
    // What is filled is moved into the bar, and its content back, so that the content stays in place.
    this.#move("clip", -rest, jumps);
    this.#move("fill", rest, jumps);
    const rate = 1 + (END_SPEED - 1) * (percent / 100);
    for (const animation of this.#part("ribs")?.getAnimations() ?? []) animation.updatePlaybackRate(rate);
  }

  #move(id: string, percent: number, jumps: boolean): void {
    const part = this.#part(id);
    if (!part) return;
    if (jumps) part.style.setProperty("transition", "none");
    part.style.setProperty("transform", `translateX(${percent.toFixed(3)}%)`);
    if (!jumps) return;
    // The browser takes note of it, before the transition is there again.
    part.getBoundingClientRect();
    part.style.removeProperty("transition");
  }
}
