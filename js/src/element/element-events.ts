/**
 * The types of the element's events. All of them bubble, and cross shadow boundaries.
 */
import type { BinderProgressElement } from "./element";
import type { Phase } from "../wire/event";
import type { Failure } from "../session/outcome";

/** The progress of a launch. */
export interface ProgressDetail {
  /** Undefined before the first event of the launch. */
  phase: Phase | undefined;
  /** The displayed phase; also `Connecting` and `Cancelling`. */
  label: string;
  step: string;
  /** Whole percent; undefined before the first event. */
  percent: number | undefined;
  /** Seconds. */
  elapsed: number;
  /** The time left in seconds, as a median and a range; undefined if there is no estimate. */
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

  // Without `progress`: the DOM has an event of that name with another type.
  interface HTMLElementEventMap {
    started: BinderProgressEventMap["started"];
    phasechange: BinderProgressEventMap["phasechange"];
    ready: BinderProgressEventMap["ready"];
    failed: BinderProgressEventMap["failed"];
  }
}
