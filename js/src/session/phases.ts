/**
 * The phases as they are displayed. No DOM.
 */
import type { LaunchEvent, Phase } from "../wire/event";
import type { Words } from "../i18n/words";

/** The phases in the row below the bar. `built` is only the boundary before `launching`. */
export const SHOWN_PHASES = ["waiting", "fetching", "building", "pushing", "launching", "ready"] as const;

/** A phase in the row below the bar. */
export type ShownPhase = (typeof SHOWN_PHASES)[number];

/** How a phase is displayed. */
export type PhaseState = "done" | "current" | "upcoming" | "skipped";

/** What a launch waits for in steps of `waiting` that check nothing. */
const WAITS: Readonly<Record<string, string>> = {
  queued: "queued",
  "binderhub-away": "away",
  "hub-away": "away",
};

/** The name of a phase for labels. `waiting` has several, because its steps wait for different things. */
export function phaseName(phase: Phase, step_key = ""): string {
  const wait = phase === "waiting" && WAITS[step_key];
  return wait ? `${phase}.${wait}` : phase;
}

/** The label of a phase, given by its {@link phaseName}. An unknown phase is its own label. */
export function phaseLabel(name: string, words: Words): string {
  const key = `phase.${name}`;
  return words.has(key) ? words.say(key) : name;
}

/** Records which phases a launch can have, and which it went through. The others were skipped. */
export class PhaseTrack {
  #possible: ReadonlySet<Phase> = new Set(SHOWN_PHASES);
  #seen = new Set<Phase>();
  #last: Phase | undefined;

  /** Take the next event. */
  accept({ phase, phases }: Pick<LaunchEvent, "phase" | "phases">): void {
    if (phases) this.#possible = new Set(phases);
    this.#seen.add(phase);
    this.#last = phase;
  }

  /** The state of each displayed phase, in their order. There is none before the first event and after a bad end. */
  states(): Partial<Record<ShownPhase, PhaseState>> {
    const states: Partial<Record<ShownPhase, PhaseState>> = {};
    const current = this.#position();
    if (current < 0) return states;
    SHOWN_PHASES.forEach((phase, index) => {
      if (!this.#possible.has(phase) && !this.#seen.has(phase)) return;
      if (index > current) states[phase] = "upcoming";
      else if (index < current) states[phase] = this.#seen.has(phase) ? "done" : "skipped";
      else states[phase] = this.#last === "ready" ? "done" : "current";
    });
    return states;
  }

  /** The index of the current phase; -1 if there is none. */
  #position(): number {
    const current = this.#last === "built" ? "launching" : this.#last;
    return SHOWN_PHASES.findIndex((phase) => phase === current);
  }
}
