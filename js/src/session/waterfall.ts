/**
 * The rows of the waterfall chart. No DOM.
 */
import type { DoneAhead } from "../wire/event";
import { phaseName } from "./phases";
import type { Timeline, TimelineEntry } from "./timeline";

/** The maximum number of steps. The longest are shown. */
const MAX_STEPS = 8;

/** Steps that took a smaller share of the launch are not shown. */
const MIN_SHARE = 0.05;

/** Phases that took fewer seconds are not shown: they only separate others. */
const MIN_DURATION = 0.05;

/** What was done meanwhile is shown if it saved so many seconds, or the share of a step that is shown. */
const MIN_SAVED = 1;

/** The steps in whose words it is told what was done meanwhile. */
const STEPS: Readonly<Record<string, string>> = {
  "base-image": "pulling-base",
  jupyterhub: "preparing",
  "jupyterhub-user": "preparing",
  node: "adding-node",
};

/** A row: a phase, or a step within it. */
export interface Row {
  /** The name of the phase for its label. */
  phase: string;
  /** The step; nothing in the row of the phase itself. */
  step?: TimelineEntry;
  /** Seconds since the launch began. */
  start: number;
  /** Seconds. */
  duration: number;
}

/** Return each phase that took time, followed by its longest steps, and the duration of all. */
export function waterfallRows({ entries, end }: Timeline): { rows: Row[]; total: number } {
  const first = entries[0]?.start ?? end;
  const total = Math.max(end - first, 0);
  const timed = entries.map((step, index) => {
    const start = step.start - first;
    const stop = (entries[index + 1]?.start ?? end) - first;
    return { phase: phaseName(step.phase, step.step_key), step, start, duration: Math.max(stop - start, 0) };
  });
  const long = new Set(
    timed
      // The places in a queue say no more than the row of the phase.
      .filter(({ step, duration }) => step.step && step.step_key !== "queued" && duration > total * MIN_SHARE)
      .sort((a, b) => b.duration - a.duration)
      .slice(0, MAX_STEPS),
  );
  const rows: Row[] = [];
  let phase: Row | undefined;
  for (const row of timed) {
    if (row.phase !== phase?.phase) {
      phase = { phase: row.phase, start: row.start, duration: 0 };
      rows.push(phase);
    }
    phase.duration += row.duration;
    if (long.has(row)) rows.push(row);
  }
  return { rows: rows.filter(({ duration }) => duration >= MIN_DURATION), total };
}

/** A row of what was done at the same time as something else. */
export interface AheadRow {
  step: Partial<TimelineEntry>;
  /** Seconds since the launch began. */
  start: number;
  /** Seconds. */
  duration: number;
  /** By how many seconds the launch is faster. */
  saved: number;
}

/** Return what was done meanwhile, as far as users notice what it saved of a launch of `total` seconds. */
export function aheadRows({ entries }: Timeline, ahead: readonly DoneAhead[], total: number): AheadRow[] {
  const enough = Math.max(Math.min(MIN_SAVED, total * MIN_SHARE), MIN_DURATION);
  return ahead
    .filter(({ saved }) => saved >= enough)
    .map(({ what, label, start, end, saved }) => {
      const looked = what === "look-up" && entries.find(({ step_key }) => step_key === "resolving");
      const step = looked || { step: label, step_key: STEPS[what] ?? "" };
      return { step, start, duration: end - start, saved };
    });
}
