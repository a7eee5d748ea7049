/**
 * Converts the response of `/api/stats` to the data of charts and texts. No DOM.
 */

/** The durations of a phase in seconds. `day` is empty for the entire period. */
export interface Distribution {
  phase: string;
  cold: boolean;
  day: string;
  launches: number;
  p10: number;
  p25: number;
  p50: number;
  p75: number;
  p90: number;
}

/** The outcomes of the launches of a day. `cold` counts those of the ready launches that were cold. */
export interface Day {
  day: string;
  ready: number;
  failed: number;
  cancelled: number;
  cold: number;
}

/** The parts of the response of `/api/stats` that are used. */
export interface Stats {
  days: Day[];
  phases: Distribution[];
  reasons: { outcome: string; reason: string; launches: number }[];
  repositories: {
    repository: string;
    launches: number;
    ready: number;
    failed: number;
    seconds: number;
    pulled: number;
  }[];
  now: number;
  last_days: number;
  live: { running: number; building: number; capacity: number; phases: Record<string, number> };
  all_replicas: { running: number; building: number };
  replica: string;
  replicas: number;
  lost: number;
}

/** A number for each day or phase, or null. */
export type Numbers = (number | null)[];

/** The daily medians and quartiles. */
export interface Band {
  low: Numbers;
  median: Numbers;
  high: Numbers;
}

/** The number of launches by outcome. */
export interface Outcomes {
  ready: number;
  failed: number;
  cancelled: number;
}

/** The seconds of a day. */
export const DAY = 86_400;

/** The phases in order. */
const PHASES = ["waiting", "fetching", "building", "pushing", "built", "launching"];

/** The possible grid lines of a logarithmic scale, in seconds. */
const STOPS = [
  0.1, 0.3, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 28_800, DAY,
];

/** The possible distances of grid lines of a linear scale, in seconds. */
const STRIDES = [0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400];

const PERCENT = { style: "percent", maximumFractionDigits: 1, roundingMode: "floor" } as const;

/** Return the last days in UTC, such as 2026-11-25, in order. */
export function lastDays(now: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    const day = new Date((now - (count - 1 - index) * DAY) * 1000);
    return day.toISOString().slice(0, 10);
  });
}

/** Return the start of a day in UTC, in seconds since 1970. */
export function dayTime(day: string): number {
  return Date.parse(day) / 1000;
}

/** Return the daily durations of a phase, or of the entire launch (`total`). */
export function band(stats: Stats, days: string[], phase: string, cold: boolean): Band {
  const byDay = new Map(
    stats.phases
      .filter((entry) => entry.phase === phase && entry.cold === cold)
      .map((entry) => [entry.day, entry]),
  );
  const of = (name: "p25" | "p50" | "p75") => days.map((day) => byDay.get(day)?.[name] ?? null);
  return { low: of("p25"), median: of("p50"), high: of("p75") };
}

/** Return the outcomes of each day, including days without launches. */
export function outcomes(stats: Stats, days: string[]): Outcomes[] {
  const byDay = new Map(stats.days.map((entry) => [entry.day, entry]));
  return days.map((day) => {
    const { ready = 0, failed = 0, cancelled = 0 } = byDay.get(day) ?? {};
    return { ready, failed, cancelled };
  });
}

/** Return the phases that any launch went through, in order. */
export function phasesIn(stats: Stats): string[] {
  const existing = new Set(stats.phases.map(({ phase }) => phase));
  return PHASES.filter((phase) => existing.has(phase));
}

/** Return the durations over the entire period; `total` is the entire launch. */
export function overall(stats: Stats, phase: string, cold: boolean): Distribution | undefined {
  return stats.phases.find((entry) => entry.phase === phase && entry.cold === cold && entry.day === "");
}

/** Add up the launches of all days. */
export function sum(days: Outcomes[]): Outcomes {
  const total: Outcomes = { ready: 0, failed: 0, cancelled: 0 };
  for (const { ready, failed, cancelled } of days) {
    total.ready += ready;
    total.failed += failed;
    total.cancelled += cancelled;
  }
  return total;
}

/** The number of launches. */
export function count({ ready, failed, cancelled }: Outcomes): number {
  return ready + failed + cancelled;
}

/**
 * The share of ready launches among those that were not cancelled; undefined if there are none.
 *
 * A cancelled launch is neither a success nor a failure.
 */
export function successRate({ ready, failed }: Outcomes): number | undefined {
  return ready + failed > 0 ? ready / (ready + failed) : undefined;
}

/** Return at most `most` days at regular distances, including the last one. */
export function dayTicks(days: string[], most: number): string[] {
  const every = Math.ceil(days.length / Math.max(most, 1));
  return days.filter((_, index) => (days.length - 1 - index) % every === 0);
}

/**
 * Return the ends of a logarithmic scale of durations, in seconds. They are grid lines around all
 * values, with one more on each side if there would be too few lines.
 */
export function scaleEnds(lowest: number, highest: number): [number, number] {
  let low = Math.max(STOPS.findLastIndex((stop) => stop <= lowest), 0);
  let high = STOPS.findIndex((stop) => stop >= highest);
  if (high < 0) return [STOPS[low]!, highest];
  if (high - low < 3) [low, high] = [Math.max(low - 1, 0), Math.min(high + 1, STOPS.length - 1)];
  return [STOPS[low]!, STOPS[high]!];
}

/** Return at most eight grid lines of a logarithmic scale of durations. */
export function stops(low: number, high: number): number[] {
  const lines = STOPS.filter((stop) => stop >= low && stop <= high);
  const every = Math.ceil(lines.length / 8);
  return lines.filter((_, index) => index % every === 0);
}

/** Return the grid lines of a linear scale of durations from zero, in seconds. The last is its end. */
export function evenStops(highest: number): number[] {
  const stride = STRIDES.find((distance) => distance * 5 >= highest) ?? Math.ceil(highest / 5);
  const lines = Math.max(Math.ceil(highest / stride), 1);
  return Array.from({ length: lines + 1 }, (_, index) => Number((index * stride).toFixed(3)));
}

/** Format a duration: `0.4 sec`, `12 sec`, `1 min 5 sec`, `2 hr 3 min`. */
export function seconds(lang: string, value: number): string {
  const rounded = Math.round(value);
  if (value < 9.95) return units(lang, [value, "second"]);
  if (rounded < 60) return units(lang, [rounded, "second"]);
  if (rounded < 3600) return units(lang, [Math.floor(rounded / 60), "minute"], [rounded % 60, "second"]);
  const minutes = Math.round(value / 60);
  return units(lang, [Math.floor(minutes / 60), "hour"], [minutes % 60, "minute"]);
}

/** Format a share as a percentage, rounded down: only 1 is 100%. */
export function percent(lang: string, share: number): string {
  return new Intl.NumberFormat(lang, PERCENT).format(share);
}

/** Format a number with its unit, and a second one unless it is zero. */
function units(lang: string, first: [number, string], second: [number, string] = [0, ""]): string {
  return [first, second]
    .filter(([count, unit], index) => unit && (index === 0 || count > 0))
    .map(([count, unit]) =>
      new Intl.NumberFormat(lang, { style: "unit", unit, maximumFractionDigits: 1 }).format(count),
    )
    .join(" ");
}
