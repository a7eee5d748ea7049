/**
 * Where the bar stands between events. No DOM, no clock of its own.
 */
import type { Curve, LaunchEvent } from "../wire/event";

/** The last the bar shows while the server is not ready. */
const ALMOST = 99.9;

/**
 * Where a curve stands, in percent.
 *
 * @param curve - toward which ceiling, and how fast
 * @param seconds - since the event that carried it; before it, the curve stands at its beginning
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
 * A launch as a bar and two clocks: takes its events, says where it stands at any local time.
 *
 * The bar never goes back, is full only when the server is ready, and stops when it fails.
 * All times are in seconds since 1970.
 */
export class ProgressModel {
  /** The server's clock minus the local one, in seconds. */
  offset: number;

  #event: LaunchEvent | undefined;
  #highest = 0;

  constructor(offset = 0) {
    this.offset = offset;
  }

  /** The newest event, if any came. */
  get event(): LaunchEvent | undefined {
    return this.#event;
  }

  /** Take the next event; one that was there already, or came after the end, changes nothing. */
  accept(event: LaunchEvent): void {
    if (this.#event && (event.id <= this.#event.id || isTerminal(this.#event))) return;
    this.#event = event;
    this.#raise(event.progress);
  }

  /** Where the bar stands, in percent. */
  at(local: number): number {
    const event = this.#event;
    if (event?.phase === "ready") return 100;
    if (event?.curve && !isTerminal(event)) this.#raise(curveAt(event.curve, this.#since(local)));
    return this.#highest;
  }

  /** Seconds since the launch began; they stop counting when it ends. */
  elapsed(local: number): number {
    const event = this.#event;
    if (!event) return 0;
    return event.elapsed + (isTerminal(event) ? 0 : this.#since(local));
  }

  /**
   * Seconds that are left: as a median, and as a range if the server gave one.
   *
   * They go below zero when it takes longer than was thought. Nothing when nobody knows.
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

  /** Seconds since the newest event. Clocks are never quite right: not before it. */
  #since(local: number): number {
    return this.#event ? Math.max(local + this.offset - this.#event.time, 0) : 0;
  }

  #raise(percent: number): void {
    this.#highest = Math.max(this.#highest, Math.min(percent, ALMOST));
  }
}
