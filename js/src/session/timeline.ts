/**
 * When each phase and step of a launch began. No DOM.
 */
import type { LaunchEvent, Phase } from "../wire/event";

/** The maximum number of steps. Later ones count towards the last. */
const MAX_STEPS = 1000;

/** A period of a launch: one step of one phase. */
export interface Period {
  phase: Phase;
  /** The server's label; empty if the phase has no steps. */
  step: string;
  step_key: string;
  step_index: number;
  step_total: number;
  /** The start, in seconds since 1970, by the server's clock. */
  start: number;
}

/** The periods of a launch, in order. */
export class Timeline {
  readonly periods: Period[] = [];
  /** The time of the latest event, which ends the last period. */
  end = 0;

  /** Take the next event. */
  accept({ phase, time, step = "", step_key = "", ...event }: LaunchEvent): void {
    this.end = Math.max(this.end, time);
    const last = this.periods.at(-1);
    const same = last?.phase === phase && (!step || last.step === step);
    if (same || (last?.phase === phase && this.periods.length >= MAX_STEPS)) return;
    const { step_index = 0, step_total = 0 } = event;
    if (last?.phase === phase && last.step_key === step_key && step_index && last.step_index === step_index) {
      // The total grows as more layers become known.
      Object.assign(last, { step, step_total });
      return;
    }
    this.periods.push({ phase, step, step_key, step_index, step_total, start: time });
  }
}
