/**
 * Where the bar stands, where it goes and how long it still takes, for launches that no server
 * estimates: the arithmetic of the server's `core/estimate.py`. No DOM; loaded when wanted.
 */
import { errorFunction, probit } from "simple-statistics";
import type { Curve, Phase } from "./event";
import { curveAt } from "./progress";
import tables from "./tables.json";

/** Seconds that phases typically take; one that is left out is not expected. */
export type Typical = Readonly<Partial<Record<Phase, number>>>;

/** What the estimator has to know of a step. */
export interface NumberedStep {
  index: number;
  total: number;
  cached: boolean;
}

/** Where the bar stands and where it goes. */
export interface Estimate {
  /** In percent, now. */
  progress: number;
  /** How it moves from now on; without: it stands. */
  curve?: Curve;
  /** Seconds until ready: median and quartiles; none when it will not come to that. */
  eta?: number;
  low?: number;
  high?: number;
}

const TYPICAL: Typical = tables.estimate.typical;
const ORDER = tables.phases as Phase[];
const { ceiling: CEILING, sigma: SIGMA } = tables.estimate;

/** Beyond so many spreads the library's functions run out of digits; the tail is simple there. */
const FAR = 6;

/**
 * A quantile of the seconds that are left of something that has taken `spent` so far.
 *
 * It is the conditional one, given that it has not ended yet, of a log-normal: it grows when
 * something takes longer than usual.
 *
 * @param typical - its median duration, in seconds
 * @param spent - seconds so far
 * @param quantile - between 0 and 1, both excluded
 */
export function timeLeft(typical: number, spent: number, quantile = 0.5): number {
  if (typical <= 0) return 0;
  const z = spent > 0 ? Math.log(spent / typical) / SIGMA : -Infinity;
  const at = z > FAR ? farTail(z, 1 - quantile) : upperQuantile(upperTail(z) * (1 - quantile));
  return Math.max(typical * Math.exp(SIGMA * at) - spent, 0);
}

/** How probable more than `z` is in a standard normal. */
function upperTail(z: number): number {
  return z === -Infinity ? 1 : (1 - errorFunction(z / Math.SQRT2)) / 2;
}

/** Where the upper tail of a standard normal has this probability. */
function upperQuantile(tail: number): number {
  const rough = -probit(tail);
  // The library's is good to two or three digits; one of Halley's steps makes it six.
  const density = Math.exp((-rough * rough) / 2) / Math.sqrt(2 * Math.PI);
  const off = (upperTail(rough) - tail) / density;
  return rough + off / (1 - (rough * off) / 2);
}

/** Where the upper tail is `part` of what it is at `z`: it is about exp(−z²/2)/z there. */
function farTail(z: number, part: number): number {
  const square = z * z - 2 * Math.log(part);
  const rough = Math.sqrt(square);
  return Math.sqrt(square - 2 * Math.log(rough / z));
}

/** Says where the bar stands, from phases, steps and the time that passes. */
export class Estimator {
  readonly #typical: Typical;
  #phase: Phase = "waiting";
  #phaseBegan: number;
  #step: NumberedStep | undefined;
  #curve: Curve = { from: 0, to: 0, tau: 1 };
  #curveBegan: number;
  /** The part of the bar that is the present phase's. */
  #low = 0;
  #high = 0;

  /**
   * @param now - in seconds, as in every call that follows
   * @param typical - seconds per phase
   */
  constructor(now: number, typical: Typical = TYPICAL) {
    this.#typical = typical;
    this.#phaseBegan = this.#curveBegan = now;
    this.#enter("waiting", now);
  }

  /** Take in what an event says; without a step it begins none. */
  update(phase: Phase, step: NumberedStep | undefined, now: number): Estimate {
    if (phase === "ready") return { progress: 100, eta: 0, low: 0, high: 0 };
    if (phase === "failed" || phase === "cancelled") return { progress: round(this.#at(now), 3) };
    if (phase !== this.#phase) this.#enter(phase, now);
    if (step?.total) this.#enterStep(step, now);
    // An exponential approach that is begun anew from where it stands is the same approach. Ours is
    // kept as it is: rounded with every line of a busy log, it would not move at all.
    const progress = round(this.#at(now), 3);
    return {
      progress,
      curve: { from: progress, to: Math.max(progress, this.#curve.to), tau: this.#curve.tau },
      eta: round(this.#left(0.5, now), 1),
      low: round(this.#left(0.25, now), 1),
      high: round(this.#left(0.75, now), 1),
    };
  }

  #at(now: number): number {
    return curveAt(this.#curve, now - this.#curveBegan);
  }

  #rebase(to: number, tau: number, now: number): void {
    const from = this.#at(now);
    this.#curve = { from, to: Math.max(from, to), tau: Math.max(tau, 0.1) };
    this.#curveBegan = now;
  }

  get #own(): number {
    // A phase that nobody expected (a push) is not worth nothing once it is there.
    return this.#typical[this.#phase] ?? TYPICAL[this.#phase] ?? 0;
  }

  #later(): number[] {
    const later = ORDER.slice(ORDER.indexOf(this.#phase) + 1);
    return later.flatMap((phase) => this.#typical[phase] ?? []);
  }

  #enter(phase: Phase, now: number): void {
    this.#phase = phase;
    this.#phaseBegan = now;
    this.#step = undefined;
    const own = this.#own;
    const total = this.#later().reduce((sum, seconds) => sum + seconds, own);
    this.#low = this.#at(now);
    const to = this.#low + (CEILING - this.#low) * (total ? own / total : 0);
    this.#high = Math.max(this.#low, to);
    this.#rebase(this.#high, own, now);
  }

  #enterStep(step: NumberedStep, now: number): void {
    // buildx runs steps side by side and tells of cached ones late: only forward counts.
    const before = this.#step;
    if (before && (step.index < before.index || before.total > step.total)) return;
    this.#step = step;
    const done = doneOf(step);
    const span = this.#high - this.#low;
    const at = this.#low + (span * done) / step.total;
    const to = this.#low + (span * Math.min(done + 1, step.total)) / step.total;
    if (at > this.#at(now)) {
      this.#curve = { from: at, to: at, tau: 1 };
      this.#curveBegan = now;
    }
    this.#rebase(to, this.#own / step.total, now);
  }

  #left(quantile: number, now: number): number {
    const spent = now - this.#phaseBegan;
    const part = this.#step ? doneOf(this.#step) / this.#step.total : 0;
    let left;
    if (part) {
      // The mean of what is usual and of what the pace so far (spent / part) makes of it; the more
      // steps are done, the more their pace counts.
      const whole = this.#own * (1 - part) + spent;
      left = timeLeft(whole * (1 - part), 0, quantile);
    } else {
      left = timeLeft(this.#own, spent, quantile);
    }
    return this.#later().reduce((sum, seconds) => sum + timeLeft(seconds, 0, quantile), left);
  }
}

function doneOf(step: NumberedStep): number {
  return step.cached ? step.index : step.index - 1;
}

function round(value: number, digits: number): number {
  const scale = 10 ** digits;
  return Math.round(value * scale) / scale;
}
