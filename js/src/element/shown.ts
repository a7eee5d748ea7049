/**
 * What is shown of a launch at a moment: words and numbers. No DOM.
 */
import type { LaunchEvent } from "../wire/event";
import { phaseLabel, type Step, type StepState } from "../session/phases";
import { isTerminal } from "../session/progress";
import type { LaunchSession, Mode } from "../session/session";
import { duration, percentText, timeLeft } from "../i18n/times";
import type { Words } from "../i18n/words";

/** All that the element shows, but for where the bar is drawn and for the log's lines. */
export interface Shown {
  mode: Mode;
  /** The phase in words. */
  label: string;
  step: string;
  /** Whole percent; nothing before anybody knows. */
  percent: number | undefined;
  /** The bar's text, for those who do not see it. */
  valueText: string;
  elapsed: string;
  left: string;
  steps: Partial<Record<Step, StepState>>;
  cancelling: boolean;
  /** Whether a person wants to be told when it is ready; nothing where it cannot be. */
  notify: boolean | undefined;
  /** The address of the ready server. */
  url: string;
  /** How many lines came, in words. */
  lines: string;
  /** What is said to those who do not see the page. */
  live: string;
}

const NONE = {};

/** What to show of a session at a local time, in seconds since 1970. */
export function show(
  session: LaunchSession,
  time: number,
  words: Words,
  notify?: boolean,
): Shown {
  const { mode, model, cancelling, record } = session;
  const event = model.event;
  const percent = event ? Math.floor(model.at(time)) : undefined;
  const label = labelOf(session, words);
  const step = event && !isTerminal(event) ? stepText(event, words) : "";
  const told = step ? words.say("bar.words", { phase: label, step }) : label;
  const passed = event && { time: duration(words, model.elapsed(time)) };
  return {
    mode,
    label,
    step,
    percent,
    valueText:
      percent === undefined
        ? told
        : words.say("bar.value", { percent: percentText(words, percent), words: told }),
    elapsed: passed ? words.say(isTerminal(event) ? "elapsed.after" : "elapsed.so-far", passed) : "",
    left: cancelling ? "" : timeLeft(words, model.left(time)),
    steps: record?.track.states() ?? NONE,
    cancelling,
    notify,
    url: session.url,
    lines: words.say("log.lines", { count: words.number(record?.log.end ?? 0) }),
    live: event ? label : "",
  };
}

/** What goes on within a phase, in words. */
export function stepText(
  { step = "", step_key = "", step_index = 0, step_total = 0 }: Partial<LaunchEvent>,
  words: Words,
): string {
  const key = `step.${step_key}${step_total ? ".numbered" : ""}`;
  // A name comes in the server's English only, at its end.
  const [before = ""] = words.english(key).split("{name}");
  const name = step.startsWith(before) ? step.slice(before.length) : "";
  const values = { index: words.number(step_index), total: words.number(step_total), name };
  return words.tell({ key, text: step, values });
}

function labelOf({ mode, model, cancelling }: LaunchSession, words: Words): string {
  if (mode === "gone" || mode === "idle") return words.say("phase.idle");
  if (!model.event) return words.say("phase.connecting");
  if (cancelling && !isTerminal(model.event)) return words.say("phase.cancelling");
  return phaseLabel(model.event.phase, words);
}
