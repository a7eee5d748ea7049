/**
 * Draws the bar, frame by frame.
 */

/** How fast the drawn bar follows the model after a jump, in seconds. */
const FOLLOW = 0.18;

/** The period of the ribs, in pixels, as in the style. */
const PERIOD = 28;

/** How fast the ribs move, in pixels a second: in the beginning, and at the end. */
const FAST = 56;
const SLOW = 7;

/**
 * The bar's fill and the ribs in it.
 *
 * The ribs move backward and slow down on the way: of all ways to draw a bar this is the one that
 * makes the same time seem shortest (Harrison, Yeo, Hudson: Faster Progress Bars, CHI 2010).
 */
export class Bar {
  readonly #part: (id: string) => HTMLElement | null | undefined;
  #drawn = 0;
  #at = 0;
  #ribs = 0;

  /** @param part - finds the elements `fill` and `ribs`, once they are there */
  constructor(part: (id: string) => HTMLElement | null | undefined) {
    this.#part = part;
  }

  /** Draw one frame; says whether there is more to draw. */
  frame(time: number, target: number, lively: boolean): boolean {
    const seconds = Math.min(Math.max(time - this.#at, 0) / 1000, 1);
    this.#at = time;
    if (lively) {
      const speed = FAST + (SLOW - FAST) * (this.#drawn / 100);
      this.#ribs = (this.#ribs + speed * seconds) % PERIOD;
      this.#part("ribs")?.style.setProperty("transform", `translateX(${-this.#ribs.toFixed(2)}px)`);
    }
    const gap = target - this.#drawn;
    if (gap === 0) return false;
    this.set(this.#drawn + gap * (Math.abs(gap) < 0.05 ? 1 : 1 - Math.exp(-seconds / FOLLOW)));
    return true;
  }

  /** Draw it at a percent. */
  set(percent: number): void {
    const fill = this.#part("fill");
    if (percent === this.#drawn || !fill) return;
    this.#drawn = percent;
    const rest = (100 - percent).toFixed(3);
    fill.style.setProperty("clip-path", `inset(0 ${rest}% 0 0 round 99px)`);
  }
}
