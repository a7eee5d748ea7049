/**
 * When each phase and step of a launch began. No DOM.
 */
import type { LaunchEvent, Phase } from "../wire/event";

/** The maximum number of steps. Later ones count towards the last. */
const MAX_STEPS = 1000;

/** An entry of a timeline: one step of one phase. */
export interface TimelineEntry {
  phase: Phase;
  /** The server's label; empty if the phase has no steps. */
  step: string;
  step_key: string;
  step_index: number;
  step_total: number;
  step_cached: boolean;
  step_command: string;
  /** The first line of the log that is written in it, counted from 0. */
  line: number;
  /** The start, in seconds since 1970, by the server's clock. */
  start: number;
}

/** The timeline of a launch. */
export class Timeline {
  readonly entries: TimelineEntry[] = [];
  /** The time of the latest event, which ends the last entry. */
  end = 0;

  /**
   * Take the next event.
   *
   * @param line - the number after the newest line of the log before it
   */
  accept({ phase, time, step = "", step_key = "", ...event }: LaunchEvent, line = 0): void {
    this.end = Math.max(this.end, time);
    const last = this.entries.at(-1);
    const { step_index = 0, step_total = 0, step_cached = false, step_command = "" } = event;
    if (last && step_cached && last.step_index === step_index) last.step_cached = true;
    const same = last?.phase === phase && (!step || last.step === step);
    if (same || (last?.phase === phase && this.entries.length >= MAX_STEPS)) return;
    if (last?.phase === phase && last.step_key === step_key && step_index && last.step_index === step_index) {
      // The total grows as more layers become known.
      Object.assign(last, { step, step_total });
      return;
    }
    this.entries.push({ phase, step, step_key, step_index, step_total, step_cached, step_command, line, start: time });
  }
}
