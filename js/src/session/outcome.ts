/**
 * Why a launch has no server, for people and for programs. No DOM.
 */
import type { LaunchEvent } from "../wire/event";
import type { LocalizedText, TextKey } from "../i18n/words";

/** What is shown when a launch ends without a server. */
export interface Outcome {
  title: TextKey;
  message: LocalizedText;
  advice: LocalizedText;
  /** Log lines that show why. */
  evidence: readonly string[];
  /** The label of the button that starts a new launch. */
  again: TextKey;
  /** The event that says who can fix it, and where. */
  event?: LaunchEvent;
  /** The error, if there is no event. */
  error?: unknown;
  /** The server's own page that can launch, if this page cannot; else empty. */
  page?: string;
  /** When a new attempt may succeed, in local milliseconds since 1970. */
  retryAt?: number;
}

/** Why there is no server, as the detail of the element's event `failed`. */
export interface Failure {
  /**
   * For programs: the reason of the launch's last event, or `refused` (the server refused),
   * `unreachable` (it did not respond), `gone` (it has no such launch), `unusable` (an attribute or
   * the response of the server is not valid).
   */
  reason: string;
  /** One sentence in English. */
  message: string;
  /** What to do, in one English sentence; may be empty. */
  advice: string;
  /** Log lines that show why. */
  evidence: readonly string[];
}

const NOTHING: LocalizedText = { text: "" };

/** The outcome of a link from another site: nothing is started before the user agrees. */
export const ASK: Outcome = {
  title: "ask",
  message: { key: "ask.message" },
  advice: { key: "ask.advice" },
  evidence: [],
  again: "launch",
};

/** The outcome of a launch that was cancelled before the server knew of it. */
export const NOT_STARTED: Outcome = {
  title: "outcome.cancelled",
  message: NOTHING,
  advice: NOTHING,
  evidence: [],
  again: "launch.again",
};

/** The outcome that a `failed` or `cancelled` event tells. */
export function outcomeOf(event: LaunchEvent): Outcome {
  const { phase, reason = "", subject = "", message = "", advice = "", evidence = [] } = event;
  const failed = phase === "failed";
  return {
    title: failed ? "outcome.failed" : "outcome.cancelled",
    message: {
      key: `reason.${reason}${subject && ".named"}`,
      values: { subject },
      text: message.trim(),
    },
    advice: { key: `advice.${reason}`, text: advice },
    evidence,
    again: failed ? "retry" : "launch.again",
    event,
  };
}
