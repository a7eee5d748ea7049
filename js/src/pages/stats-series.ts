/**
 * From the answer of `/api/stats` to what is drawn and told. No DOM.
 */

/** How long a phase took, in seconds; `day` is empty for all days together. */
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

/** How the launches of a day ended; `cold` is how many of the ready ones were cold. */
export interface Day {
  day: string;
  ready: number;
  failed: number;
  cancelled: number;
  cold: number;
}

/** What is read of the answer of `/api/stats`. */
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
  lost: number;
}

/** A number for each day or phase; null where there is none. */
export type Numbers = (number | null)[];

/** The median day by day, with the quarter of the launches below it and that above it. */
export interface Band {
  low: Numbers;
  median: Numbers;
  high: Numbers;
}

/** How many launches ended how. */
export interface Outcomes {
  ready: number;
  failed: number;
  cancelled: number;
}

/** How many seconds a day has. */
export const DAY = 86_400;

/** In the order in which a launch goes through them. */
const PHASES = ["waiting", "fetching", "building", "pushing", "built", "launching"];

/** Seconds at which a scale of durations may have a line. */
const STOPS = [
  0.1, 0.3, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 28_800, DAY,
];

/** Seconds that lines of an even scale may be apart. */
const STRIDES = [0.1, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400];

const PERCENT = new Intl.NumberFormat("en", {
  style: "percent",
  maximumFractionDigits: 1,
  roundingMode: "floor",
});

/** The last days until now, in UTC, as 2026-11-25, the first one first. */
export function lastDays(now: number, count: number): string[] {
  return Array.from({ length: count }, (_, index) => {
    const day = new Date((now - (count - 1 - index) * DAY) * 1000);
    return day.toISOString().slice(0, 10);
  });
}

/** When a day begins in UTC, in seconds since 1970. */
export function dayTime(day: string): number {
  return Date.parse(day) / 1000;
}

/** How long a phase took, or `total`, the whole launch, day by day. */
export function band(stats: Stats, days: string[], phase: string, cold: boolean): Band {
  const found = new Map(
    stats.phases
      .filter((one) => one.phase === phase && one.cold === cold)
      .map((one) => [one.day, one]),
  );
  const of = (name: "p25" | "p50" | "p75") => days.map((day) => found.get(day)?.[name] ?? null);
  return { low: of("p25"), median: of("p50"), high: of("p75") };
}

/** How the launches of each day ended; days without launches are there, too. */
export function outcomes(stats: Stats, days: string[]): Outcomes[] {
  const found = new Map(stats.days.map((one) => [one.day, one]));
  return days.map((day) => {
    const { ready = 0, failed = 0, cancelled = 0 } = found.get(day) ?? {};
    return { ready, failed, cancelled };
  });
}

/** Those that some launch went through, in their order. */
export function phasesIn(stats: Stats): string[] {
  const there = new Set(stats.phases.map(({ phase }) => phase));
  return PHASES.filter((phase) => there.has(phase));
}

/** Of all days together; `total` is the whole launch. */
export function whole(stats: Stats, phase: string, cold: boolean): Distribution | undefined {
  return stats.phases.find((one) => one.phase === phase && one.cold === cold && one.day === "");
}

/** All launches of the period. */
export function sum(days: Outcomes[]): Outcomes {
  const total: Outcomes = { ready: 0, failed: 0, cancelled: 0 };
  for (const { ready, failed, cancelled } of days) {
    total.ready += ready;
    total.failed += failed;
    total.cancelled += cancelled;
  }
  return total;
}

/** How many launches there were. */
export function count({ ready, failed, cancelled }: Outcomes): number {
  return ready + failed + cancelled;
}

/**
 * Which part of the launches that came to an end of their own became ready; nothing without any.
 * Who cancels decides against waiting, which is neither.
 */
export function successRate({ ready, failed }: Outcomes): number | undefined {
  return ready + failed > 0 ? ready / (ready + failed) : undefined;
}

/** Every so many-th of the days, counted from the last one, so that at most `most` are named. */
export function dayTicks(days: string[], most: number): string[] {
  const every = Math.ceil(days.length / Math.max(most, 1));
  return days.filter((_, index) => (days.length - 1 - index) % every === 0);
}

/**
 * The ends of a logarithmic scale of durations, in seconds: the stops around all of them, and one
 * more on each side where there would be hardly a line to read them by.
 */
export function scaleEnds(lowest: number, highest: number): [number, number] {
  let low = Math.max(STOPS.findLastIndex((stop) => stop <= lowest), 0);
  let high = STOPS.findIndex((stop) => stop >= highest);
  if (high < 0) return [STOPS[low]!, highest];
  if (high - low < 3) [low, high] = [Math.max(low - 1, 0), Math.min(high + 1, STOPS.length - 1)];
  return [STOPS[low]!, STOPS[high]!];
}

/** Where a logarithmic scale of durations has its lines; at most eight. */
export function stops(low: number, high: number): number[] {
  const there = STOPS.filter((stop) => stop >= low && stop <= high);
  const every = Math.ceil(there.length / 8);
  return there.filter((_, index) => index % every === 0);
}

/** Where an even scale of durations from zero has its lines, in seconds; the last is its end. */
export function evenStops(highest: number): number[] {
  const stride = STRIDES.find((one) => one * 5 >= highest) ?? Math.ceil(highest / 5);
  const lines = Math.max(Math.ceil(highest / stride), 1);
  return Array.from({ length: lines + 1 }, (_, index) => Number((index * stride).toFixed(3)));
}

/** A duration as people say it: `0.4 s`, `12 s`, `1 min 5 s`, `2 h 3 min`. */
export function seconds(value: number): string {
  if (value < 9.95) return `${Number(value.toFixed(1))} s`;
  const rounded = Math.round(value);
  if (rounded < 60) return `${rounded} s`;
  if (rounded < 3600) return units(Math.floor(rounded / 60), "min", rounded % 60, "s");
  const minutes = Math.round(value / 60);
  return units(Math.floor(minutes / 60), "h", minutes % 60, "min");
}

/** A share as people say it; 100% is said of nothing less. */
export function percent(share: number): string {
  return PERCENT.format(share);
}

function units(much: number, large: string, rest: number, small: string): string {
  return rest > 0 ? `${much} ${large} ${rest} ${small}` : `${much} ${large}`;
}
