/**
 * Where the bar stands, where it goes and how long it still takes, for launches that no server
 * estimates: the arithmetic of the server's `core/estimate.py`. No DOM; loaded when wanted.
 */
import { errorFunction, probit } from "simple-statistics";
import type { Curve, Phase } from "../wire/event";
import { PULLING as PULLING_BASE, PUSHING } from "./layers";
import { curveAt } from "../session/progress";
import tables from "./tables.json";

/** Seconds that phases typically take; one that is left out is not expected. */
export type Typical = Readonly<Partial<Record<Phase, number>>>;

/** What the estimator has to know of a step. */
export interface NumberedStep {
  key?: string;
  index: number;
  total: number;
  cached: boolean;
  /** Of layers, how many were there already. */
  there?: number;
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
  /** Seconds until it takes longer than nine of ten do. */
  late?: number;
}

const TYPICAL: Typical = tables.estimate.typical;
const ORDER = tables.phases as Phase[];
const {
  ceiling: CEILING,
  sigma: SIGMA,
  ahead: AHEAD,
  caution: CAUTION,
  cold: COLD,
  fresh: FRESH,
  moment: MOMENT,
  pace: PACE,
  pull: PULL,
  pulling: PULLING,
  quartile: QUARTILE,
  ninth: NINTH,
  ending: ENDING,
  reused: REUSED,
  steady: STEADY,
} = tables.estimate;
/** What part of a start is still to come when Kubernetes says so much. */
const STILL: Readonly<Partial<Record<string, number>>> = tables.estimate.still;
/** The steps that a build ends with: what part of its time so far is still to come. */
const LAST: Readonly<Partial<Record<string, number>>> = tables.estimate.last;
const BUILD: readonly string[] = tables.estimate.build;
/** What says that a pull is over, or that there is none. */
const PULL_TOLD: readonly string[] = tables.estimate.pullTold;

const LAYERS = [PULLING_BASE, PUSHING];

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
 * @param sigma - the spread of the logarithm
 */
export function timeLeft(
  typical: number,
  spent: number,
  quantile = 0.5,
  sigma: number = SIGMA,
): number {
  if (typical <= 0) return 0;
  const z = spent > 0 ? Math.log(spent / typical) / sigma : -Infinity;
  const at = z > FAR ? farTail(z, 1 - quantile) : upperQuantile(upperTail(z) * (1 - quantile));
  return Math.max(typical * Math.exp(sigma * at) - spent, 0);
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

/** Where the upper tail is `part` of what it is at `z`, by the first terms of its series there. */
function farTail(z: number, part: number): number {
  const square = z * z - 2 * Math.log(part);
  const rest = (x: number): number => Math.log((1 - 1 / x ** 2 + 3 / x ** 4) / x);
  let at = Math.sqrt(square);
  for (let times = 0; times < 3; times++) at = Math.sqrt(square - 2 * (rest(z) - rest(at)));
  return at;
}

/** A duration whose logarithm is normal: its median, in seconds, and its spread. */
interface LogNormal {
  median: number;
  sigma: number;
}

/** Seconds by the quartiles, and what nine of ten keep within. */
interface Range {
  low: number;
  median: number;
  high: number;
  late: number;
}

/** Says where the bar stands, from phases, steps and the time that passes. */
export class Estimator {
  readonly #typical: Typical;
  readonly #began: number;
  #phase: Phase = "waiting";
  #phaseBegan: number;
  /** Whether an environment is made, once that is known. */
  #cold: boolean | undefined;
  #fetched = false;
  #step: NumberedStep | undefined;
  /** Of what is counted at present, the furthest: steps, and within one of them layers. */
  #counted: Readonly<Record<string, NumberedStep>> = {};
  /** What is left of the phase, since when. */
  #dist: LogNormal;
  #since: number;
  #pull = 0;
  #later: Range = { low: 0, median: 0, high: 0, late: 0 };
  #curve: Curve = { from: 0, to: 0, tau: 1 };
  #curveBegan: number;
  #fresh: { at: number; eta: Range } | undefined;

  /**
   * @param now - in seconds, as in every call that follows
   * @param typical - seconds per phase
   */
  constructor(now: number, typical: Typical = TYPICAL) {
    this.#typical = typical;
    this.#began = this.#phaseBegan = this.#since = this.#curveBegan = now;
    this.#dist = this.#usual("waiting");
    this.#enter("waiting", now);
  }

  /** Take in what an event says; without a step it begins none. */
  update(phase: Phase, step: NumberedStep | undefined, now: number): Estimate {
    if (phase === "ready") return { progress: 100, eta: 0, low: 0, high: 0, late: 0 };
    if (phase === "failed" || phase === "cancelled") return { progress: round(this.#at(now), 3) };
    if (phase !== this.#phase) this.#enter(phase, now);
    if (step) this.#take(step, now);
    const { median: eta, low, high, late } = this.#eta(now);
    // Rounded only here: with every line of a busy log it would not move at all.
    const progress = round(this.#at(now), 3);
    return {
      progress,
      curve: { from: progress, to: Math.max(progress, this.#curve.to), tau: this.#curve.tau },
      eta: round(eta, 1),
      low: round(low, 1),
      high: round(high, 1),
      late: round(late, 1),
    };
  }

  #enter(phase: Phase, now: number): void {
    this.#phase = phase;
    this.#phaseBegan = this.#since = now;
    this.#step = this.#fresh = undefined;
    this.#counted = {};
    if (phase === "fetching") this.#fetched = true;
    else if (BUILD.includes(phase)) this.#cold = true;
    else if (phase !== "waiting") this.#cold ??= false;
    this.#dist = this.#usual(phase);
    this.#pull = phase === "launching" ? this.#chanceOfPull() : 0;
    this.#sumLater();
  }

  /** Learn from a step how much of the phase is left. */
  #take(step: NumberedStep, now: number): void {
    const before = this.#step;
    const same = before && (["key", "index", "total", "cached"] as const).every(
      (name) => before[name] === step[name],
    );
    if (same) return;
    // buildx runs steps side by side and tells of cached ones late: only forward counts.
    const { key = "step" } = step;
    const last = this.#counted[key];
    if (last && step.total && (step.index < last.index || last.total > step.total)) return;
    if (!LAYERS.includes(key)) this.#counted = {};
    if (step.total) this.#counted = { ...this.#counted, [key]: step };
    this.#step = step;
    this.#fresh = undefined;
    if (this.#phase === "launching") {
      if (PULL_TOLD.includes(step.key ?? "")) this.#pull = 0;
      this.#sumLater();
    } else if (step.key === REUSED) {
      this.#cold = false;
      this.#sumLater();
    }
    this.#dist = this.#guess(step, now);
    this.#since = now;
  }

  #guess(step: NumberedStep, now: number): LogNormal {
    const { key = "" } = step;
    const spent = now - this.#phaseBegan;
    const whole = this.#usual(this.#phase);
    if (key === "pulling") {
      return { median: PULLING + timeLeft(whole.median, spent), sigma: SIGMA };
    }
    const last = LAST[key];
    if (last !== undefined) return { median: Math.max(last * spent, ENDING), sigma: SIGMA };
    const still = STILL[key];
    if (still) return { median: whole.median * still, sigma: whole.sigma };
    const done = this.#done(step);
    if (!done) return shifted(whole, spent);
    // What is usual, and what the pace so far makes of it; the more is done, the more the pace
    // counts. Steps differ widely: half of them done can be any part of the time.
    const pace = Math.log(Math.max(spent, MOMENT) / done);
    const certain = done / (1 - done + MOMENT) / PACE ** 2;
    const usual = 1 / whole.sigma ** 2;
    const mu = (usual * Math.log(whole.median) + certain * pace) / (usual + certain);
    const sigma = Math.max(Math.sqrt(1 / (usual + certain)), SIGMA / 2);
    return { median: Math.max(Math.exp(mu) * (1 - done), MOMENT), sigma };
  }

  /** How much of the phase is over when a step begins, as far as steps are counted. */
  #done(step: NumberedStep): number {
    const { key, index, total, cached } = step;
    if (key === PULLING_BASE) {
      // The base image is pulled within a step of the build.
      const build = this.#counted.step;
      return build ? (build.index - 1 + share(step)) / build.total : 0;
    }
    if (key === PUSHING) return share(step);
    return total ? (cached ? index : index - 1) / total : 0;
  }

  #usual(phase: Phase): LogNormal {
    // A phase that nobody expected (a push) is not worth nothing once it is there.
    const typical = this.#typical[phase] ?? TYPICAL[phase] ?? 0;
    const sigma = phase === "launching" ? STEADY : SIGMA;
    return { median: Math.max(typical, MOMENT), sigma };
  }

  #chance(phase: Phase): number {
    if (!(phase in this.#typical)) return 0;
    if (phase === "launching") return 1;
    if (!BUILD.includes(phase)) return 0;
    if (this.#cold !== undefined) return Number(this.#cold);
    // Most builders fetch a repository only to build it.
    return this.#fetched ? 1 : COLD;
  }

  #chanceOfPull(): number {
    // Who pushes has other machines, which have to get the image.
    return "pushing" in this.#typical ? PULL : 0;
  }

  /** Add up the phases that are still to come; they are the same until the next one. */
  #sumLater(): void {
    const parts: [chance: number, whole: LogNormal][] = ORDER.slice(
      ORDER.indexOf(this.#phase) + 1,
    ).map((phase) => [this.#chance(phase), this.#usual(phase)]);
    const ahead = this.#phase !== "launching" && "launching" in this.#typical;
    const pull = ahead ? this.#chanceOfPull() : this.#pull;
    parts.push([pull, { median: PULLING, sigma: SIGMA }]);
    const sum = { low: 0, median: 0, high: 0, late: 0 };
    for (const [chance, { median, sigma }] of parts) {
      const up = Math.exp(QUARTILE * sigma);
      const doubt = chance * (1 - chance) * median ** 2;
      sum.median += chance * median;
      sum.low += (chance * median * (1 - 1 / up)) ** 2 + doubt;
      sum.high += (chance * median * (up - 1)) ** 2 + doubt;
      sum.late += (chance * median * (Math.exp(NINTH * sigma) - 1)) ** 2 + doubt;
    }
    const { median } = sum;
    const { low, high, late } = sum;
    this.#later = { median, low: Math.sqrt(low), high: Math.sqrt(high), late: Math.sqrt(late) };
  }

  /** What is left of all; the bar is bent to it unless it was just now. */
  #eta(now: number): Range {
    const fresh = this.#fresh;
    if (fresh && now - fresh.at <= FRESH) {
      const { low, median, high, late } = fresh.eta;
      const [a = 0, b = 0, c = 0, d = 0] = [low, median, high, late].map((seconds) =>
        Math.max(seconds - (now - fresh.at), 0),
      );
      return { low: a, median: b, high: c, late: d };
    }
    const spent = Math.max(now - this.#since, 0);
    const left = quartiles(this.#dist, spent);
    const later = this.#later;
    const median = left.median + later.median;
    const far = this.#dist.median * Math.exp(NINTH * this.#dist.sigma) - spent;
    const eta = {
      median,
      low: Math.max(median - Math.hypot(left.median - left.low, later.low), 0),
      high: median + Math.hypot(left.high - left.median, later.high),
      late: Math.max(far + later.median + later.late, 0),
    };
    this.#bend(left.median, eta, now);
    this.#fresh = { at: now, eta };
    return eta;
  }

  #at(now: number): number {
    return curveAt(this.#curve, now - this.#curveBegan);
  }

  /** Let the bar go where it would stand if nothing more were heard. */
  #bend(left: number, { median, high }: Range, now: number): void {
    const at = this.#at(now);
    const elapsed = Math.max(now - this.#began, 0);
    const spent = now - this.#since;
    const ahead = Math.max(left * AHEAD, 0.25);
    const caution = median > 0 ? 1 + (CAUTION * (high - median)) / median : 1;
    const share = (later: number): number => {
      const { median: whole, sigma } = this.#dist;
      const rest = timeLeft(whole, spent + later, 0.5, sigma) + this.#later.median;
      return part(elapsed + later, rest * caution);
    };
    const here = Math.max(at, part(elapsed, median * caution));
    const [soon, then] = [share(ahead), share(2 * ahead)];
    const [first, second] = [soon - here, then - soon];
    let to = here + Math.max(then - here, 0) / (1 - Math.exp(-2));
    let tau = ahead;
    if (first > 0 && 0.05 * first < second && second < 0.95 * first) {
      // The exponential through three points at equal distances.
      const ratio = second / first;
      to = here + first / (1 - ratio);
      tau = -ahead / Math.log(ratio);
    }
    if (to > CEILING && first > 0 && first < CEILING - here) {
      // It may not go there; so it is right in the middle, and later a little slow.
      to = CEILING;
      tau = -ahead / Math.log(1 - first / (CEILING - here));
    }
    const end = Math.min(Math.max(here, to), CEILING);
    this.#curve = { from: here, to: end, tau: Math.max(tau, 0.1) };
    this.#curveBegan = now;
  }
}

/** How much of the bar is over, in percent. */
function part(elapsed: number, left: number): number {
  const whole = elapsed + left;
  return whole > 0 ? (CEILING * elapsed) / whole : 0;
}

/** How many of the layers that were not there already are done, as a part of them. */
function share({ index, total, there = 0 }: NumberedStep): number {
  const rest = total - there;
  return rest > 0 ? Math.max(index - 1 - there, 0) / rest : 0;
}

function quartiles({ median, sigma }: LogNormal, spent: number): Omit<Range, "late"> {
  return {
    low: timeLeft(median, spent, 0.25, sigma),
    median: timeLeft(median, spent, 0.5, sigma),
    high: timeLeft(median, spent, 0.75, sigma),
  };
}

/** What is left of something after `spent` seconds, as a duration of its own. */
function shifted(whole: LogNormal, spent: number): LogNormal {
  const { low, median, high } = quartiles(whole, spent);
  const spread = Math.log(Math.max(high, MOMENT) / Math.max(low, MOMENT)) / (2 * QUARTILE);
  return { median: Math.max(median, MOMENT), sigma: Math.max(spread, MOMENT) };
}

function round(value: number, digits: number): number {
  const scale = 10 ** digits;
  return Math.round(value * scale) / scale;
}
