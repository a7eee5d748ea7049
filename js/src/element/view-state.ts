/**
 * The texts and numbers that are displayed for a launch. No DOM.
 */
import type { LaunchEvent } from "../wire/event";
import { phaseLabel, phaseName, type PhaseState, type ShownPhase } from "../session/phases";
import { isTerminal } from "../session/progress";
import type { LaunchSession, Mode } from "../session/session";
import { countText, duration, percentText, readyBy, timeLeft, took } from "../i18n/times";
import type { Words } from "../i18n/words";

/** All that the element displays, except the bar and the lines of the log. */
export interface ViewState {
  mode: Mode;
  spec: string;
  /** The label of the phase. */
  label: string;
  step: string;
  /** Whole percent; undefined before the first event. */
  percent: number | undefined;
  /** The text of the bar for screen readers. */
  valueText: string;
  elapsed: string;
  left: string;
  /** By when the server is ready at the latest; empty if that says nothing. */
  by: string;
  /** That the connection is lost, in words; empty if it is not. */
  lost: string;
  /** The phases that the launch can have; empty before the first event. */
  phases: Partial<Record<ShownPhase, PhaseState>>;
  cancelling: boolean;
  /** Whether the user wants to be notified; undefined if notifications are not available. */
  notify: boolean | undefined;
  /** The address of the Jupyter server. */
  url: string;
  /** The number of lines, as text. */
  lines: string;
  /** The announcement for screen readers. */
  live: string;
}

const NONE = {};

/** Return what is displayed of a session at a local time, in seconds since 1970. */
export function viewState(
  session: LaunchSession,
  time: number,
  words: Words,
  notify?: boolean,
): Omit<ViewState, "live"> {
  const { mode, model, cancelling, transcript } = session;
  const event = model.event;
  const percent = event ? Math.floor(model.at(time)) : undefined;
  const label = labelOf(session, words);
  const isUnknown = isWaiting(session);
  const step = isUnknown
    ? words.say("storage")
    : event && !isTerminal(event)
      ? stepText(event, words)
      : "";
  const spoken = placeText(label, step, words);
  const left = cancelling || isUnknown || event?.problem ? undefined : model.left(time);
  // Seconds after the event, by the server's clock.
  const since = event ? Math.max(time + model.offset - event.time, 0) : 0;
  const latest = left && event?.eta_latest != null ? event.eta_latest - since : undefined;
  const isOver = event && isTerminal(event);
  const elapsed = event && { time: (isOver ? took : duration)(words, model.elapsed(time)) };
  return {
    mode,
    spec: session.spec,
    label,
    step,
    percent,
    valueText:
      percent === undefined
        ? spoken
        : words.say("bar.value", { percent: percentText(words, percent), words: spoken }),
    elapsed: elapsed ? words.say(isOver ? "elapsed.after" : "elapsed.so-far", elapsed) : "",
    left: timeLeft(words, left),
    by: readyBy(words, latest, time, (left?.late ?? 0) <= 0),
    lost: lostText(session, words),
    phases: transcript?.phases.states() ?? NONE,
    cancelling,
    notify,
    url: session.url,
    lines: countText(words, "log.lines", transcript?.lines ?? 0),
  };
}

/** Whether what happens is not known, because the server cannot store it now. */
export function isWaiting({ mode, model }: LaunchSession): boolean {
  return mode === "running" && model.note === "waiting for storage";
}

/** That the connection is lost, and how long the launch goes on without it, as far as that is known. */
function lostText({ heard, id, keep, lost, source }: LaunchSession, words: Words): string {
  if (!lost) return "";
  const text = words.say("lost");
  if (!id) return source ? text : `${text} ${words.say("lost.build")}`;
  const keptUntil = heard + 1000 * keep;
  if (!(keptUntil > Date.now())) return text;
  return `${text} ${words.say("lost.kept", { time: words.clock(keptUntil) })}`;
}

/** A phase and its step, unless the step says both: `Checking for a cached environment`. */
export function placeText(phase: string, step: string, words: Words): string {
  if (!step) return phase;
  return step.startsWith(phase) ? step : words.say("bar.words", { phase, step });
}

/** The label of a step, and what it does if the server says that. */
export function stepText(
  { step = "", step_key = "", step_index = 0, step_total = 0, step_command = "" }: Partial<LaunchEvent>,
  words: Words,
): string {
  const key = `step.${step_key}${step_total ? ".numbered" : ""}`;
  // A name is only in the server's English text, at its end.
  const [before = ""] = words.english(key).split("{name}");
  const name = step.startsWith(before) ? step.slice(before.length) : "";
  const values = { index: words.number(step_index), total: words.number(step_total), name };
  const label = words.localize({ key, text: step, values });
  if (!step_command || !label) return label;
  // In a right-to-left language, a command must not be reordered.
  return `${label} · ${words.dir === "rtl" ? `\u2068${step_command}\u2069` : step_command}`;
}

function labelOf({ mode, model, cancelling }: LaunchSession, words: Words): string {
  if (mode === "gone" || mode === "idle") return words.say("phase.idle");
  if (!model.event) return words.say("phase.connecting");
  if (cancelling && !isTerminal(model.event)) return words.say("phase.cancelling");
  const { phase, step_key } = model.event;
  return phaseLabel(phaseName(phase, step_key), words);
}
