/**
 * Why a launch has no server, for people and for programs. No DOM.
 */
import { ApiError } from "../wire/client";
import type { LaunchEvent } from "../wire/event";
import { serverUrl, InvalidValueError } from "../wire/server-url";
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

/** The outcome of a launch that the server does not know, or no longer. */
export const GONE: Outcome = {
  title: "outcome.gone",
  message: { key: "gone", text: "The server no longer has any record of it." },
  advice: { key: "gone.advice", text: "Start a new launch. Anything already built is reused." },
  evidence: [],
  again: "launch.new",
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

/** The outcome of an error. */
export function outcomeOfError(
  title: TextKey,
  error: unknown,
  server: string,
  again: TextKey,
): Outcome {
  return { title, message: messageOf(error, server), advice: NOTHING, evidence: [], again, error };
}

/** Whether a server is on another origin than the page. */
export function isForeign(server: string): boolean {
  return new URL(serverUrl(server)).origin !== location.origin;
}

/** Explain an error. To a page, a request that CORS forbids looks like a lost connection. */
export function messageOf(error: unknown, server: string): LocalizedText {
  if (error instanceof InvalidValueError) return error.localized;
  if (error instanceof ApiError) return { text: error.message };
  if (error instanceof SyntaxError) {
    return {
      key: "unusable.answer",
      text: "This is neither a binderprogress server nor a BinderHub.",
    };
  }
  if (!isForeign(server)) {
    return { key: "not-answered", text: "The server did not respond. Are you online?" };
  }
  const { host } = new URL(serverUrl(server));
  const { origin } = location;
  return {
    key: "cors",
    values: { host, origin },
    text:
      `${host} did not respond to this page. It may be down, or not allow requests from ${origin}. ` +
      `Its administrator can allow them with c.Web.allowed_origins (in a BinderHub, with ` +
      `c.BinderHub.cors_allow_origin).`,
  };
}
