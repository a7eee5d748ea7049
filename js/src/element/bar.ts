/**
 * Draws the progress bar, frame by frame.
 */

/** The time constant with which the bar follows a jump of the progress, in seconds. */
const TIME_CONSTANT = 0.18;

/** The distance between ribs in pixels, as in the stylesheet. */
const PERIOD = 28;

/** The speed of the ribs in pixels per second, at 0 % and at 100 %. */
const START_SPEED = 56;
const END_SPEED = 7;

/**
 * The bar's fill and the ribs in it.
 *
 * The ribs move backward and slow down. Of all ways to draw a progress bar, this one makes the same
 * time seem shortest (Harrison, Yeo, Hudson: Faster Progress Bars, CHI 2010).
 */
export class Bar {
  readonly #part: (id: string) => HTMLElement | null | undefined;
  #drawn = 0;
  #time = 0;
  #ribs = 0;

  /** @param part - returns the elements `fill` and `ribs`, once they exist */
  constructor(part: (id: string) => HTMLElement | null | undefined) {
    this.#part = part;
  }

  /**
   * Draw one frame.
   *
   * @param time - the time of the frame, in milliseconds
   * @param target - the progress in percent
   * @param hasRibs - whether the ribs move
   * @returns whether the bar has to move further
   */
  frame(time: number, target: number, hasRibs: boolean): boolean {
    const seconds = Math.min(Math.max(time - this.#time, 0) / 1000, 1);
    this.#time = time;
    if (hasRibs) {
      const speed = START_SPEED + (END_SPEED - START_SPEED) * (this.#drawn / 100);
      this.#ribs = (this.#ribs + speed * seconds) % PERIOD;
      this.#part("ribs")?.style.setProperty("transform", `translateX(${-this.#ribs.toFixed(2)}px)`);
    }
    const gap = target - this.#drawn;
    if (gap === 0) return false;
    this.set(this.#drawn + gap * (Math.abs(gap) < 0.05 ? 1 : 1 - Math.exp(-seconds / TIME_CONSTANT)));
    return true;
  }

  /** Draw the bar at a percentage, at once. */
  set(percent: number): void {
    const fill = this.#part("fill");
    if (percent === this.#drawn || !fill) return;
    this.#drawn = percent;
    const rest = (100 - percent).toFixed(3);
    fill.style.setProperty("clip-path", `inset(0 ${rest}% 0 0 round 99px)`);
  }
}
