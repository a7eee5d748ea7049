/**
 * The phases as they are displayed. No DOM.
 */
import type { Phase } from "../wire/event";
import type { Words } from "../i18n/words";

/** The phases in the row below the bar. `built` is only the boundary before `launching`. */
export const SHOWN_PHASES = ["waiting", "fetching", "building", "pushing", "launching", "ready"] as const;

/** A phase in the row below the bar. */
export type ShownPhase = (typeof SHOWN_PHASES)[number];

/** How a phase is displayed. */
export type PhaseState = "done" | "current" | "upcoming" | "skipped" | "failed" | "cancelled";

/** The label of a phase. An unknown phase is its own label. */
export function phaseLabel(phase: Phase, words: Words): string {
  const key = `phase.${phase}` as const;
  return words.has(key) ? words.say(key) : phase;
}

/** Records which phases a launch went through. The others were skipped. */
export class PhaseTrack {
  #seen = new Set<Phase>();
  #last: Phase | undefined;
  #end: "failed" | "cancelled" | undefined;

  /** Take the phase of the next event. */
  accept(phase: Phase): void {
    if (phase === "failed" || phase === "cancelled") {
      this.#end = phase;
    } else {
      this.#seen.add(phase);
      this.#last = phase;
    }
  }

  /** The state of each displayed phase. */
  states(): Record<ShownPhase, PhaseState> {
    const current = this.#position();
    const states = {} as Record<ShownPhase, PhaseState>;
    SHOWN_PHASES.forEach((phase, index) => {
      if (index > current) states[phase] = "upcoming";
      else if (index < current) states[phase] = this.#seen.has(phase) ? "done" : "skipped";
      else if (this.#last === "ready") states[phase] = "done";
      else states[phase] = this.#end ?? "current";
    });
    return states;
  }

  /** The index of the current phase; -1 before the first event. */
  #position(): number {
    const current = this.#last === "built" ? "launching" : this.#last;
    return SHOWN_PHASES.findIndex((phase) => phase === current);
  }
}
