/**
 * What the log is told about a launch: names, addresses and sections. No DOM.
 */
import { shortDuration } from "../i18n/times";
import type { Words } from "../i18n/words";
import type { LogSection } from "../log/folds";
import { phaseLabel, phaseName } from "../session/phases";
import { type Section, sectionsOf } from "../session/sections";
import type { LaunchSession } from "../session/session";
import type { TimelineEntry } from "../session/timeline";
import type { LaunchTranscript } from "../session/transcript";
import { serverUrl } from "../wire/server-url";
import { stepText } from "./view-state";

/** The lines that `10`, `10-20` or `L10-L20` names, counted from 1; nothing if it names none. */
export function lineRange(text: number | string): [from: number, to: number] | undefined {
  const [, first = "0", last = first] = /^L?(\d{1,9})(?:-L?(\d{1,9}))?$/.exec(String(text)) ?? [];
  const [from, to] = [Number(first), Number(last)];
  return from && to ? [Math.min(from, to), Math.max(from, to)] : undefined;
}

/** The address of lines on the launch's own page, which may be this one. */
export function lineHref({ server, spec, id }: LaunchSession, line: number, to = line): string {
  const lines = to === line ? `${line}` : `L${line}-L${to}`;
  if (!id) return `#line=${lines}`;
  const fragment = `#launch=${encodeURIComponent(id)}&line=${lines}`;
  const isOwnPage = new URLSearchParams(location.hash.slice(1)).has("launch");
  return isOwnPage ? fragment : `${serverUrl(server)}v2/${spec}${fragment}`;
}

/** The name of a log's file: the repository, and the commit or what was asked for. */
export function logName(spec: string, commit: string): string {
  const [, repository = spec, ref = ""] = /^[^/]+\/(.+)\/([^/]+)$/.exec(spec) ?? [];
  const name = `${decoded(repository).replace(/^https?:\/\//, "")}-${commit.slice(0, 7) || ref}`;
  return `${name.replace(/[^\w.]+/g, "-").replace(/^-+|-+$/g, "") || "build"}.log`;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // A lone percent sign.
    return text;
  }
}

/** What was displayed of each entry of a timeline, which is asked for in each frame. */
const known = new WeakMap<TimelineEntry, { key: string; section: LogSection }>();

/** The sections of a launch's log, in words. */
export function logSections({ transcript, mode }: LaunchSession, words: Words): LogSection[] {
  if (!transcript) return [];
  return sectionsOf(lineOf(transcript), transcript.timeline, endOf(transcript), mode).map((section) => {
    const { entry, end, duration, state } = section;
    const key = [words.lang, section.start, end, duration, state, entry.step].join();
    const before = known.get(entry);
    if (before?.key === key) return before.section;
    const shown = inWords(section, words);
    known.set(entry, { key, section: shown });
    return shown;
  });
}

/** The end of what is known to belong to steps. */
function endOf({ cutAt, lines, log, times }: LaunchTranscript): number {
  return times.some ? lines : Math.min(log.end, cutAt);
}

/** What finds the first line of a step: the server knows those that the events do not have. */
function lineOf({ cutAt, times }: LaunchTranscript): (entry: TimelineEntry) => number | undefined {
  return ({ line, start }) => (line < cutAt ? line : times.since(start));
}

function inWords(section: Section, words: Words): LogSection {
  const { entry, start, end, state } = section;
  const took = tookText(section, words);
  const result = took && state !== "done" ? `${words.say(`state.${state}`)} · ${took}` : took;
  return { start, end, label: stepText(entry, words) || phaseLabel(phaseName(entry.phase, entry.step_key), words), took, result, state };
}

function tookText({ duration: seconds }: Section, words: Words): string {
  return seconds === undefined ? "" : shortDuration(words, seconds);
}
