/**
 * Where the time went, as rows of a waterfall. No DOM.
 */
import type { Phase } from "../wire/event";
import type { Stretch, Timeline } from "./timeline";

/** So many steps are shown, the longest. */
const STEPS = 8;

/** Steps that took less than this share of the whole are not shown. */
const LEAST = 0.05;

/** Phases that took less than this, in seconds, are only a boundary between others. */
const MOMENT = 0.05;

/** One row: a phase, or a step within it. */
export interface Row {
  phase: Phase;
  /** The step; nothing on the row of the phase itself. */
  step?: Stretch;
  /** Seconds from the beginning of all. */
  start: number;
  /** Seconds. */
  took: number;
}

/** The rows in their order: each phase that took time, and below it its steps that took long. */
export function rows({ stretches, end }: Timeline): { rows: Row[]; total: number } {
  const first = stretches[0]?.start ?? end;
  const total = Math.max(end - first, 0);
  const timed = stretches.map((step, index) => {
    const start = step.start - first;
    const stop = (stretches[index + 1]?.start ?? end) - first;
    return { phase: step.phase, step, start, took: Math.max(stop - start, 0) };
  });
  const long = new Set(
    timed
      .filter(({ step, took }) => step.step && took > total * LEAST)
      .sort((a, b) => b.took - a.took)
      .slice(0, STEPS),
  );
  const found: Row[] = [];
  let phase: Row | undefined;
  for (const row of timed) {
    if (row.phase !== phase?.phase) {
      phase = { phase: row.phase, start: row.start, took: 0 };
      found.push(phase);
    }
    phase.took += row.took;
    if (long.has(row)) found.push(row);
  }
  return { rows: found.filter(({ took }) => took >= MOMENT), total };
}
