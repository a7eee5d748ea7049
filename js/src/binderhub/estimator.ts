/**
 * Estimates the progress and the time left of launches on plain BinderHubs, with the arithmetic of
 * the server's `core/timing/estimator.py`. No DOM; loaded on demand.
 */
import type { Curve, Phase } from "../wire/event";
import { PULLING as PULLING_BASE, PUSHING } from "./layers";
import { curveAt } from "../session/progress";
import {
  quantile,
  quantiles,
  remaining,
  timeLeft,
  total,
  type Case,
  type LogNormal,
  type Range,
} from "./durations";
import tables from "./tables.json";

/** The typical durations of phases, in seconds. A missing phase is not expected. */
export type Typical = Readonly<Partial<Record<Phase, number>>>;

/** The fields of a step that the estimator uses. */
export interface NumberedStep {
  key?: string;
  index: number;
  total: number;
  cached: boolean;
  /** The number of layers that existed before. */
  there?: number;
}

/** An estimate. */
export interface Estimate {
  /** The current progress, in percent. */
  progress: number;
  /** How the progress changes from now on; nothing if it stays. */
  curve?: Curve;
  /** Seconds until ready, as median and quartiles; nothing if the launch has failed. */
  eta?: number;
  low?: number;
  high?: number;
  /** Seconds until ready in nine of ten such launches. */
  latest?: number;
  /** Seconds until the launch takes longer than the 90th percentile. */
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
/** The fraction of a server's start that is left at a message of Kubernetes. */
const STILL: Readonly<Partial<Record<string, number>>> = tables.estimate.still;
/** The last steps of a build, with the time left as a fraction of the time so far. */
const LAST: Readonly<Partial<Record<string, number>>> = tables.estimate.last;
const BUILD: readonly string[] = tables.estimate.build;
/** The steps after which no image pull can follow. */
const PULL_TOLD: readonly string[] = tables.estimate.pullTold;

const LAYERS = [PULLING_BASE, PUSHING];

/** The time left of a launch, and until it takes longer than the 90th percentile of all. */
interface Left extends Range {
  late: number;
}

/** Estimates progress and time left from phases, steps and time. */
export class Estimator {
  readonly #typical: Typical;
  readonly #start: number;
  #phase: Phase = "waiting";
  #phaseStart: number;
  /** Whether an environment is built, once that is known. */
  #cold: boolean | undefined;
  #fetched = false;
  #step: NumberedStep | undefined;
  /** The latest counted step, and the latest layer within it. */
  #counted: Readonly<Record<string, NumberedStep>> = {};
  /** The duration of the rest of the phase, and the time from which it counts. */
  #rest: LogNormal;
  #restStart: number;
  #pull = 0;
  #later: Range = { low: 0, median: 0, high: 0, latest: 0 };
  /** The mean of the later phases and its distance to the upper quartile, for the bar. */
  #mean = { median: 0, above: 0 };
  #curve: Curve = { from: 0, to: 0, tau: 1 };
  #curveStart: number;
  #fresh: { at: number; eta: Left } | undefined;

  /**
   * @param now - the time in seconds, as in all later calls
   * @param typical - the typical durations
   */
  constructor(now: number, typical: Typical = TYPICAL) {
    this.#typical = typical;
    this.#start = this.#phaseStart = this.#restStart = this.#curveStart = now;
    this.#rest = this.#duration("waiting");
    this.#enter("waiting", now);
  }

  /** Take the phase and the step of an event, if it begins one. */
  update(phase: Phase, step: NumberedStep | undefined, now: number): Estimate {
    if (phase === "ready") return { progress: 100, eta: 0, low: 0, high: 0, latest: 0, late: 0 };
    if (phase === "failed" || phase === "cancelled") return { progress: round(this.#at(now), 3) };
    if (phase !== this.#phase) this.#enter(phase, now);
    if (step) this.#take(step, now);
    const { median: eta, low, high, latest, late } = this.#eta(now);
    // Round only the result. Otherwise the progress would not move while a log has many lines.
    const progress = round(this.#at(now), 3);
    return {
      progress,
      curve: { from: progress, to: Math.max(progress, this.#curve.to), tau: this.#curve.tau },
      eta: round(eta, 1),
      low: round(low, 1),
      high: round(high, 1),
      latest: round(latest, 1),
      late: round(late, 1),
    };
  }

  #enter(phase: Phase, now: number): void {
    this.#phase = phase;
    this.#phaseStart = this.#restStart = now;
    this.#step = this.#fresh = undefined;
    this.#counted = {};
    if (phase === "fetching") this.#fetched = true;
    else if (BUILD.includes(phase)) this.#cold = true;
    else if (phase !== "waiting") this.#cold ??= false;
    this.#rest = this.#duration(phase);
    this.#pull = phase === "launching" ? this.#pullProbability() : 0;
    this.#sumLater();
  }

  /** Update the rest of the phase for a new step. */
  #take(step: NumberedStep, now: number): void {
    const previous = this.#step;
    const isSame = previous && (["key", "index", "total", "cached"] as const).every(
      (name) => previous[name] === step[name],
    );
    if (isSame) return;
    // buildx runs steps in parallel, and reports cached ones late. Ignore steps that go back.
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
    this.#rest = this.#restAfter(step, now);
    this.#restStart = now;
  }

  #restAfter(step: NumberedStep, now: number): LogNormal {
    const { key = "" } = step;
    const spent = now - this.#phaseStart;
    const phase = this.#duration(this.#phase);
    if (key === "pulling") {
      return { median: PULLING + timeLeft(phase.median, spent), sigma: SIGMA };
    }
    const last = LAST[key];
    if (last !== undefined) return { median: Math.max(last * spent, ENDING), sigma: SIGMA };
    const still = STILL[key];
    if (still) return { median: phase.median * still, sigma: phase.sigma };
    const done = this.#done(step);
    if (!done) return remaining(phase, spent);
    // Combine the typical duration with the pace so far. The pace has more weight the more is done.
    // Steps differ widely: half of the steps can be any fraction of the time.
    const pace = Math.log(Math.max(spent, MOMENT) / done);
    const paceWeight = done / (1 - done + MOMENT) / PACE ** 2;
    const weight = 1 / phase.sigma ** 2;
    const mu = (weight * Math.log(phase.median) + paceWeight * pace) / (weight + paceWeight);
    const sigma = Math.max(Math.sqrt(1 / (weight + paceWeight)), SIGMA / 2);
    return { median: Math.max(Math.exp(mu) * (1 - done), MOMENT), sigma };
  }

  /** The fraction of the phase that is done when a step begins; 0 if steps are not counted. */
  #done(step: NumberedStep): number {
    const { key, index, total, cached } = step;
    if (key === PULLING_BASE) {
      // The base image is pulled within a build step.
      const build = this.#counted.step;
      return build ? (build.index - 1 + layersDone(step)) / build.total : 0;
    }
    if (key === PUSHING) return layersDone(step);
    return total ? (cached ? index : index - 1) / total : 0;
  }

  #duration(phase: Phase): LogNormal {
    // A phase that was not expected (such as a push) still takes time once it begins.
    const typical = this.#typical[phase] ?? TYPICAL[phase] ?? 0;
    const sigma = phase === "launching" ? STEADY : SIGMA;
    return { median: Math.max(typical, MOMENT), sigma };
  }

  /** The probability that a later phase happens. */
  #probability(phase: Phase): number {
    if (!(phase in this.#typical)) return 0;
    if (phase === "launching") return 1;
    if (!BUILD.includes(phase)) return 0;
    if (this.#cold !== undefined) return Number(this.#cold);
    // Most builders fetch a repository only if they build it.
    return this.#fetched ? 1 : COLD;
  }

  #pullProbability(): number {
    // An image is pushed because other machines have to pull it.
    return "pushing" in this.#typical ? PULL : 0;
  }

  /** Add up the later phases, whose sum is the same until the next phase begins. */
  #sumLater(): void {
    const parts: [probability: number, duration: LogNormal][] = ORDER.slice(
      ORDER.indexOf(this.#phase) + 1,
    ).map((phase) => [this.#probability(phase), this.#duration(phase)]);
    const ahead = this.#phase !== "launching" && "launching" in this.#typical;
    const pull = ahead ? this.#pullProbability() : this.#pull;
    parts.push([pull, { median: PULLING, sigma: SIGMA }]);
    const sum = { median: 0, above: 0 };
    for (const [probability, { median, sigma }] of parts) {
      const expected = probability * median;
      const variance = probability * (1 - probability) * median ** 2;
      sum.median += expected;
      sum.above += (expected * (Math.exp(QUARTILE * sigma) - 1)) ** 2 + variance;
    }
    // The bar must not jump when one of the cases is ruled out.
    this.#mean = { median: sum.median, above: Math.sqrt(sum.above) };
    const cases = this.#cases(pull);
    const at = (share: number): number => quantile(cases, share);
    this.#later = { low: at(0.25), median: at(0.5), high: at(0.75), latest: at(0.9) };
  }

  /** How the launch may go on: with a build or without, with a pull or without. */
  #cases(pull: number): Case[] {
    const later = ORDER.slice(ORDER.indexOf(this.#phase) + 1).filter((phase) => phase in this.#typical);
    const cold = this.#cold === undefined ? (this.#fetched ? 1 : COLD) : Number(this.#cold);
    const cases: Case[] = [];
    for (const [isCold, chance] of [[true, cold], [false, 1 - cold]] as const) {
      const parts = later
        .filter((phase) => phase === "launching" || (isCold && BUILD.includes(phase)))
        .map((phase) => this.#duration(phase));
      const image = { median: PULLING, sigma: SIGMA };
      cases.push({ chance: chance * (1 - pull), time: total(parts) });
      cases.push({ chance: chance * pull, time: total([...parts, image]) });
    }
    return cases.filter(({ chance }) => chance > 0);
  }

  /** Return the time left of the launch, and adapt the curve to it unless that was just done. */
  #eta(now: number): Left {
    const fresh = this.#fresh;
    if (fresh && now - fresh.at <= FRESH) {
      const { low, median, high, latest, late } = fresh.eta;
      const after = (seconds: number): number => Math.max(seconds - (now - fresh.at), 0);
      return {
        low: after(low),
        median: after(median),
        high: after(high),
        latest: after(latest),
        late: after(late),
      };
    }
    const spent = Math.max(now - this.#restStart, 0);
    const left = quantiles(this.#rest, spent);
    const later = this.#later;
    const median = left.median + later.median;
    const late = this.#rest.median * Math.exp(NINTH * this.#rest.sigma) - spent;
    const below = Math.hypot(left.median - left.low, later.median - later.low);
    const high = median + Math.hypot(left.high - left.median, later.high - later.median);
    const latest = median + Math.hypot(left.latest - left.median, later.latest - later.median);
    const eta = {
      median,
      low: Math.max(median - below, 0),
      high,
      latest: Math.max(latest, high),
      late: Math.max(late + later.latest, 0),
    };
    this.#setCurve(left, now);
    this.#fresh = { at: now, eta };
    return eta;
  }

  #at(now: number): number {
    return curveAt(this.#curve, now - this.#curveStart);
  }

  /** Set the curve to the progress that will be estimated if no more events arrive. */
  #setCurve({ median: left, high }: Range, now: number): void {
    const at = this.#at(now);
    const mean = this.#mean;
    const median = left + mean.median;
    const elapsed = Math.max(now - this.#start, 0);
    const spent = now - this.#restStart;
    const ahead = Math.max(left * AHEAD, 0.25);
    const caution = median > 0 ? 1 + (CAUTION * Math.hypot(high - left, mean.above)) / median : 1;
    const progressAfter = (seconds: number): number => {
      const { median: rest, sigma } = this.#rest;
      const left = timeLeft(rest, spent + seconds, 0.5, sigma) + mean.median;
      return percentDone(elapsed + seconds, left * caution);
    };
    const here = Math.max(at, percentDone(elapsed, median * caution));
    const [soon, then] = [progressAfter(ahead), progressAfter(2 * ahead)];
    const [first, second] = [soon - here, then - soon];
    let to = here + Math.max(then - here, 0) / (1 - Math.exp(-2));
    let tau = ahead;
    if (first > 0 && 0.05 * first < second && second < 0.95 * first) {
      // The exponential through three equidistant points.
      const ratio = second / first;
      to = here + first / (1 - ratio);
      tau = -ahead / Math.log(ratio);
    }
    if (to > CEILING && first > 0 && first < CEILING - here) {
      // The curve must not exceed the ceiling: it is right at the middle point, then a little slow.
      to = CEILING;
      tau = -ahead / Math.log(1 - first / (CEILING - here));
    }
    const end = Math.min(Math.max(here, to), CEILING);
    this.#curve = { from: here, to: end, tau: Math.max(tau, 0.1) };
    this.#curveStart = now;
  }
}

/** The progress in percent. */
function percentDone(elapsed: number, left: number): number {
  const total = elapsed + left;
  return total > 0 ? (CEILING * elapsed) / total : 0;
}

/** The fraction of the layers that is done, without those that existed before. */
function layersDone({ index, total, there = 0 }: NumberedStep): number {
  const rest = total - there;
  return rest > 0 ? Math.max(index - 1 - there, 0) / rest : 0;
}

function round(value: number, digits: number): number {
  const scale = 10 ** digits;
  return Math.round(value * scale) / scale;
}
