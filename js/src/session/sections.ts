/**
 * The lines of a log that belong to each step. No DOM.
 */
import type { Mode } from "./session";
import type { Timeline, TimelineEntry } from "./timeline";

/** How the step of a section ended, or that it has not ended. */
export type SectionState = "done" | "cached" | "failed" | "cancelled" | "current";

/** The lines of a step. */
export interface Section {
  entry: TimelineEntry;
  /** The first line, counted from 0. */
  start: number;
  /** The line after the last one. */
  end: number;
  /** Seconds; nothing while the step runs. */
  duration: number | undefined;
  state: SectionState;
}

/**
 * Return the sections of a log, in order.
 *
 * @param lineOf - returns the first line of a step, counted from 0; nothing if that is not known
 * @param end - the number after the newest line
 */
export function sectionsOf(
  lineOf: (entry: TimelineEntry) => number | undefined,
  { entries, end: time }: Timeline,
  end: number,
  mode: Mode,
): Section[] {
  // Ends are not steps. What is written then belongs to the step before.
  const steps = entries.filter(({ phase }) => !["ready", "failed", "cancelled"].includes(phase));
  const ends = entries.length > steps.length ? entries.at(-1) : undefined;
  let last = 0;
  const starts = steps.map((entry) => (last = Math.max(last, lineOf(entry) ?? end)));
  const sections: Section[] = [];
  steps.forEach((entry, index) => {
    const next = steps[index + 1];
    const isRunning = !next && (mode === "running" || mode === "starting");
    const start = starts[index]!;
    // The events may go on when the lines no longer do.
    const stop = Math.min(starts[index + 1] ?? end, end);
    if (stop <= start) return;
    const after = next?.start ?? ends?.start ?? time;
    sections.push({
      entry,
      start,
      end: stop,
      duration: isRunning ? undefined : Math.max(after - entry.start, 0),
      state: isRunning ? "current" : next ? ended(entry) : lastState(entry, mode),
    });
  });
  return sections;
}

function ended({ step_cached }: TimelineEntry): SectionState {
  return step_cached ? "cached" : "done";
}

function lastState(entry: TimelineEntry, mode: Mode): SectionState {
  return mode === "failed" || mode === "cancelled" ? mode : ended(entry);
}
