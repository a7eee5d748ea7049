/**
 * What a launch went through, and when. No DOM.
 */
import type { LaunchEvent, Phase } from "../wire/event";

/** More than so many steps nobody reads; the rest counts to the last one. */
const MOST = 1000;

/** A stretch of a launch in which one step of one phase went on. */
export interface Stretch {
  phase: Phase;
  /** In the server's words; empty where a phase has none. */
  step: string;
  step_key: string;
  step_index: number;
  step_total: number;
  /** Seconds since 1970, by the server's clock. */
  start: number;
}

/** Remembers where each phase and step began. */
export class Timeline {
  readonly stretches: Stretch[] = [];
  /** When the newest event was; the end of the last stretch. */
  end = 0;

  /** Take the next event. */
  accept({ phase, time, step = "", step_key = "", ...event }: LaunchEvent): void {
    this.end = Math.max(this.end, time);
    const last = this.stretches.at(-1);
    const same = last?.phase === phase && (!step || last.step === step);
    if (same || (last?.phase === phase && this.stretches.length >= MOST)) return;
    const { step_index = 0, step_total = 0 } = event;
    if (last?.phase === phase && last.step_key === step_key && step_index && last.step_index === step_index) {
      // Layers become known one by one.
      Object.assign(last, { step, step_total });
      return;
    }
    this.stretches.push({ phase, step, step_key, step_index, step_total, start: time });
  }
}
