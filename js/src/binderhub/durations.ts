/**
 * Log-normal durations: their sums and quantiles, and what is left of them, as in the server's
 * `core/timing/lognormal.py` and `core/timing/mixture.py`. No DOM; loaded on demand.
 */
import { errorFunction, probit } from "simple-statistics";
import tables from "./tables.json";

const { moment: MOMENT, quartile: QUARTILE, sigma: SIGMA } = tables.estimate;

/**
 * From this many standard deviations on, the library's functions lose their precision, and the tail is
 * approximated.
 */
const FAR = 6;

/** A log-normal duration: its median in seconds, and the standard deviation of its logarithm. */
export interface LogNormal {
  median: number;
  sigma: number;
}

/** Quartiles and 90th percentile, in seconds. */
export interface Range {
  low: number;
  median: number;
  high: number;
  latest: number;
}

/** One way in which a launch may go on; without a time, nothing is to be done. */
export interface Case {
  chance: number;
  time: LogNormal | undefined;
}

/**
 * Return a quantile of the time left, in seconds.
 *
 * Durations are log-normal. The quantile is conditional on the time already spent, so it grows when
 * something takes longer than usual.
 *
 * @param typical - the median duration, in seconds
 * @param spent - the time so far, in seconds
 * @param quantile - between 0 and 1, exclusive
 * @param sigma - the standard deviation of the logarithm
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

/** The probability that a standard normal variable is greater than `z`. */
function upperTail(z: number): number {
  return z === -Infinity ? 1 : (1 - errorFunction(z / Math.SQRT2)) / 2;
}

/** The inverse of {@link upperTail}. */
function upperQuantile(tail: number): number {
  const rough = -probit(tail);
  // The library's result has two or three correct digits. One Halley step makes it six.
  const density = Math.exp((-rough * rough) / 2) / Math.sqrt(2 * Math.PI);
  const off = (upperTail(rough) - tail) / density;
  return rough + off / (1 - (rough * off) / 2);
}

/**
 * Return where the upper tail has `fraction` of its probability at `z`, by the first terms of its
 * asymptotic series.
 */
function farTail(z: number, fraction: number): number {
  const square = z * z - 2 * Math.log(fraction);
  const rest = (x: number): number => Math.log((1 - 1 / x ** 2 + 3 / x ** 4) / x);
  let at = Math.sqrt(square);
  for (let times = 0; times < 3; times++) at = Math.sqrt(square - 2 * (rest(z) - rest(at)));
  return at;
}

/** How exact a quantile is, relatively. */
const PRECISION = 1e-4;

/** The sum of durations, as in `core/timing/mixture.py`. */
export function total(parts: readonly LogNormal[]): LogNormal | undefined {
  if (parts.length < 2) return parts[0];
  const median = parts.reduce((sum, part) => sum + part.median, 0);
  const above = Math.hypot(
    ...parts.map((part) => part.median * (Math.exp(QUARTILE * part.sigma) - 1)),
  );
  return { median, sigma: Math.log(1 + above / median) / QUARTILE };
}

/** The time within which a share of all launches ends, in seconds. */
export function quantile(cases: readonly Case[], share: number): number {
  const timed = cases.flatMap(({ chance, time }) => (time ? [{ chance, ...time }] : []));
  const nothing = 1 - timed.reduce((sum, { chance }) => sum + chance, 0);
  if (share <= nothing || !timed.length) return 0;
  // It lies between those of the cases, or below if in some nothing is to be done.
  const z = upperQuantile(1 - share);
  const ends = timed.map(({ median, sigma }) => Math.log(median) + z * sigma);
  let low = nothing < PRECISION ? Math.min(...ends) : Math.log(1e-3);
  let high = Math.max(...ends);
  while (high - low > PRECISION) {
    const middle = (low + high) / 2;
    const beyond = timed.reduce((sum, { chance, median, sigma }) => {
      return sum + chance * upperTail((middle - Math.log(median)) / sigma);
    }, 0);
    if (1 - beyond < share) low = middle;
    else high = middle;
  }
  return Math.exp((low + high) / 2);
}

/** The quartiles and the 90th percentile of the time left, after `spent` seconds. */
export function quantiles({ median, sigma }: LogNormal, spent: number): Range {
  return {
    low: timeLeft(median, spent, 0.25, sigma),
    median: timeLeft(median, spent, 0.5, sigma),
    high: timeLeft(median, spent, 0.75, sigma),
    latest: timeLeft(median, spent, 0.9, sigma),
  };
}

/** Return the rest of a duration after `spent` seconds, as a log-normal. */
export function remaining(duration: LogNormal, spent: number): LogNormal {
  const { low, median, high } = quantiles(duration, spent);
  const spread = Math.log(Math.max(high, MOMENT) / Math.max(low, MOMENT)) / (2 * QUARTILE);
  return { median: Math.max(median, MOMENT), sigma: Math.max(spread, MOMENT) };
}
