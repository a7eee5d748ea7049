/**
 * The position of the progress bar between events. No DOM; times are arguments.
 */
import type { Curve, LaunchEvent } from "../wire/event";

/** The highest percentage before the server is ready. */
const ALMOST = 99.9;

/**
 * Return the position of a curve, in percent.
 *
 * @param seconds - the time since the event that carried the curve; negative values count as 0
 */
export function curveAt(curve: Curve, seconds: number): number {
  const { from, to, tau } = curve;
  return from + (to - from) * (1 - Math.exp(-Math.max(seconds, 0) / tau));
}

/** Whether an event ends its launch. */
export function isTerminal(event: LaunchEvent): boolean {
  return event.phase === "ready" || event.phase === "failed" || event.phase === "cancelled";
}

/**
 * The progress, elapsed time and time left of a launch, at any local time.
 *
 * Progress never goes back, reaches 100 only when the server is ready, and stops when the launch
 * fails. All times are in seconds since 1970.
 */
export class ProgressModel {
  /** The server's time minus the local time, in seconds. */
  offset: number;

  /** The latest comment of the stream. */
  declare note?: string;

  #event: LaunchEvent | undefined;
  #highest = 0;

  constructor(offset = 0) {
    this.offset = offset;
  }

  /** The latest event, if there is one. */
  get event(): LaunchEvent | undefined {
    return this.#event;
  }

  /** Take the next event. One that is already known, or comes after the last one, is ignored. */
  accept(event: LaunchEvent): void {
    if (this.#event && (event.id <= this.#event.id || isTerminal(this.#event))) return;
    this.#event = event;
    this.#raise(event.progress);
  }

  /** The progress in percent. */
  at(local: number): number {
    const event = this.#event;
    if (event?.phase === "ready") return 100;
    if (event?.curve && !isTerminal(event)) this.#raise(curveAt(event.curve, this.#since(local)));
    return this.#highest;
  }

  /** Seconds since the launch began, until it ends. */
  elapsed(local: number): number {
    const event = this.#event;
    if (!event) return 0;
    return event.elapsed + (isTerminal(event) ? 0 : this.#since(local));
  }

  /**
   * The time left in seconds: the median, and a range if the server gave one; nothing if there is no
   * estimate.
   *
   * Values become negative when the launch takes longer than estimated.
   */
  left(
    local: number,
  ): { median: number; low?: number; high?: number; late?: number } | undefined {
    const event = this.#event;
    if (event?.eta == null || isTerminal(event)) return undefined;
    const since = this.#since(local);
    const median = event.eta - since;
    if (event.eta_low == null || event.eta_high == null) return { median };
    const late = (event.eta_late ?? event.eta_high) - since;
    return { median, low: event.eta_low - since, high: event.eta_high - since, late };
  }

  /** Seconds since the latest event; not negative, even if the clocks differ. */
  #since(local: number): number {
    return this.#event ? Math.max(local + this.offset - this.#event.time, 0) : 0;
  }

  #raise(percent: number): void {
    this.#highest = Math.max(this.#highest, Math.min(percent, ALMOST));
  }
}
