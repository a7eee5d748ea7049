/**
 * The phases as a person sees them. No DOM.
 */
import type { Phase } from "../wire/event";
import type { Words } from "../i18n/words";

/** The phases that are shown as a row of steps. `built` is the boundary before launching. */
export const STEPS = ["waiting", "fetching", "building", "pushing", "launching", "ready"] as const;

/** A phase that is shown as a step. */
export type Step = (typeof STEPS)[number];

/** How a step is shown. */
export type StepState = "done" | "current" | "upcoming" | "skipped" | "failed" | "cancelled";

/** The label of a phase; one that is not known (yet) is its own label. */
export function phaseLabel(phase: Phase, words: Words): string {
  const key = `phase.${phase}` as const;
  return words.has(key) ? words.say(key) : phase;
}

/** Remembers which phases a launch went through: those it did not were skipped. */
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

  /** How each step is shown. */
  states(): Record<Step, StepState> {
    const at = this.#position();
    const states = {} as Record<Step, StepState>;
    STEPS.forEach((step, index) => {
      if (index > at) states[step] = "upcoming";
      else if (index < at) states[step] = this.#seen.has(step) ? "done" : "skipped";
      else if (this.#last === "ready") states[step] = "done";
      else states[step] = this.#end ?? "current";
    });
    return states;
  }

  /** Where in the row it stands; -1 before the first event. */
  #position(): number {
    // What is built stands at the door of launching.
    const step = this.#last === "built" ? "launching" : this.#last;
    return STEPS.findIndex((one) => one === step);
  }
}
