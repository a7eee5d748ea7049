/**
 * What is shown of a launch at a moment: words and numbers. No DOM.
 */
import { phaseLabel, type Step, type StepState } from "./phases";
import { isTerminal } from "./progress";
import { isOver, type LaunchSession, type Mode, type Outcome } from "./session";
import type { Words } from "./words";

/** All that the element shows, but for where the bar is drawn and for the log's lines. */
export interface Shown {
  mode: Mode;
  lost: boolean;
  /** The phase in words. */
  label: string;
  step: string;
  /** Whole percent; nothing before anybody knows. */
  percent: number | undefined;
  /** The bar's text, for those who do not see it. */
  valueText: string;
  elapsed: string;
  left: string;
  steps: Record<Step, StepState>;
  notice: string;
  outcome: Outcome | undefined;
  cancelling: boolean;
  /** The address of the ready server. */
  url: string;
  /** How many lines came, in words. */
  lines: string;
  /** Whether the oldest of them are not shown any more. */
  cut: boolean;
  /** Where the whole log is. */
  logUrl: string;
  /** What is said to those who do not see the page. */
  live: string;
}

/** What to show of a session at a local time, in seconds since 1970. */
export function show(session: LaunchSession, time: number, words: Words): Shown {
  const { mode, model, cancelling, log } = session;
  const event = model.event;
  const percent = event ? Math.floor(model.at(time)) : undefined;
  const label = labelOf(session, words);
  const step = event && !isTerminal(event) ? (event.step ?? "") : "";
  const told = [label, step].filter(Boolean).join(": ");
  const outcome = isOver(mode) ? session.outcome : undefined;
  const passed = event && { time: words.duration(model.elapsed(time)) };
  return {
    mode,
    lost: session.lost,
    label,
    step,
    percent,
    valueText:
      percent === undefined
        ? told
        : words.say("bar.value", { percent: words.percent(percent), words: told }),
    elapsed: passed ? words.say(isTerminal(event) ? "elapsed.after" : "elapsed.so-far", passed) : "",
    left: cancelling ? "" : words.timeLeft(model.left(time)),
    steps: session.track.states(),
    notice: session.notice,
    outcome,
    cancelling,
    url: session.url,
    lines: words.number(log.end),
    cut: log.start > 0,
    logUrl: session.id && `${session.launchUrl}/log`,
    live: mode === "gone" ? `${outcome?.title}. ${outcome?.message}` : event ? label : "",
  };
}

function labelOf({ mode, model, cancelling }: LaunchSession, words: Words): string {
  if (mode === "gone" || mode === "idle") return words.say("phase.idle");
  if (!model.event) return words.say("phase.connecting");
  if (cancelling && !isTerminal(model.event)) return words.say("phase.cancelling");
  return phaseLabel(model.event.phase, words);
}
