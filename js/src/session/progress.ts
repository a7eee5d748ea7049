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

/** The time left in seconds: median, quartiles, until it is late; and how long it usually takes. */
export interface TimeLeft {
  median: number;
  low?: number;
  high?: number;
  late?: number;
  usual?: number;
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
  #usual = 0;

  constructor(offset = 0) {
    this.offset = offset;
  }

  /** The latest event, if there is one. */
  get event(): LaunchEvent | undefined {
    return this.#event;
  }

  /** Take the next event. One that is already known, or comes after the last one, is ignored. */
  accept(event: LaunchEvent): void {
    const before = this.#event;
    if (before && (event.id <= before.id || isTerminal(before))) return;
    // At the beginning of a phase, nothing is late yet.
    if (event.phase !== before?.phase) this.#usual = event.elapsed + (event.eta ?? 0);
    this.#event = event;
    this.#raise(event.progress);
  }

  /** The progress in percent. */
  at(local: number): number {
    const event = this.#event;
    if (event?.phase === "ready") return 100;
    if (event?.curve && !isTerminal(event)) this.#raise(curveAt(event.curve, this.#since(event, local)));
    return this.#highest;
  }

  /** Seconds since the launch began, until it ends. */
  elapsed(local: number): number {
    const event = this.#event;
    if (!event) return 0;
    return event.elapsed + (isTerminal(event) ? 0 : this.#since(event, local));
  }

  /**
   * The time left; nothing if there is no estimate. Without a range, all values are the median.
   *
   * Values become negative when the launch takes longer than estimated.
   */
  left(local: number): TimeLeft | undefined {
    const event = this.#event;
    if (event?.eta == null || isTerminal(event)) return undefined;
    const since = this.#since(event, local);
    const high = event.eta_high ?? event.eta;
    return {
      median: event.eta - since,
      low: (event.eta_low ?? event.eta) - since,
      high: high - since,
      late: (event.eta_late ?? high) - since,
      usual: this.#usual,
    };
  }

  /** Seconds since an event; not negative, even if the clocks differ. */
  #since(event: LaunchEvent, local: number): number {
    return Math.max(local + this.offset - event.time, 0);
  }

  #raise(percent: number): void {
    this.#highest = Math.max(this.#highest, Math.min(percent, ALMOST));
  }
}
