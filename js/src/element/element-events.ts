/**
 * The element's events, for type checkers. All of them bubble, also out of shadow trees.
 */
import type { BinderProgressElement } from "./element";
import type { Phase } from "../wire/event";
import type { Failure } from "../session/session";

/** Where the bar and the clocks stand. */
export interface ProgressDetail {
  /** Nothing before the first event of the launch. */
  phase: Phase | undefined;
  /** The phase in words, also `Connecting` and `Cancelling`. */
  label: string;
  step: string;
  /** Whole percent; nothing before anybody knows. */
  percent: number | undefined;
  /** Seconds. */
  elapsed: number;
  /** Seconds that are left, as a median and a range; nothing when nobody knows. */
  left: { median: number; low?: number; high?: number } | undefined;
}

/** The events of the element. */
export interface BinderProgressEventMap {
  started: CustomEvent<{ launch: string; spec: string }>;
  phasechange: CustomEvent<{ phase: Phase; previous: Phase | undefined }>;
  progress: CustomEvent<ProgressDetail>;
  ready: CustomEvent<{ url: string; launch: string }>;
  failed: CustomEvent<Failure>;
}

declare global {
  interface HTMLElementTagNameMap {
    "binder-progress": BinderProgressElement;
  }

  // All but `progress`: the DOM has an event of that name, with another type.
  interface HTMLElementEventMap {
    started: BinderProgressEventMap["started"];
    phasechange: BinderProgressEventMap["phasechange"];
    ready: BinderProgressEventMap["ready"];
    failed: BinderProgressEventMap["failed"];
  }
}
