/**
 * Where in the log the evidence of a failure is. No DOM.
 */
import type { LogSource } from "../log/lines";
import { plainText, shownText } from "../log/plain-text";

/** How many lines are searched, from the newest on. The evidence is near the end. */
const MAX_LINES = 5000;

/** How many lines before the evidence are shown if there is room. */
const MAX_BEFORE = 12;

/** What was found, which is asked for each time the failure is drawn. */
const known = new WeakMap<readonly string[], { end: number; lines: (number | undefined)[] }>();

/**
 * Return the numbers of the evidence's lines in the log, counted from 0; nothing for a line that is
 * not there, such as one of Kubernetes.
 */
export function evidenceLines(log: LogSource, evidence: readonly string[]): (number | undefined)[] {
  const { end, start } = log;
  const before = known.get(evidence);
  if (before?.end === end) return before.lines;
  // Backwards, because a line may be there more than once, and the last one counts.
  const oldest = Math.max(start, end - MAX_LINES);
  let next = end;
  const lines = evidence.map<number | undefined>(() => undefined);
  for (const [index, line] of [...evidence.entries()].reverse()) {
    const found = lastLine(log, line, oldest, next);
    lines[index] = found;
    next = found ?? next;
  }
  known.set(evidence, { end, lines });
  return lines;
}

/** Return the lines that led to the evidence: those before the first line of it that is in the log. */
export function linesBefore(log: LogSource, evidence: readonly (number | undefined)[]): { line: number; text: string }[] {
  const first = evidence.find((line) => line !== undefined) ?? log.start;
  const from = Math.max(log.start, first - MAX_BEFORE);
  return Array.from({ length: first - from }, (_, index) => ({
    line: from + index,
    text: shownText(log.line(from + index)),
  })).filter(({ text }) => text.trim());
}

/** The last line before `end` with a text, which may be an excerpt of a longer line. */
function lastLine(log: LogSource, evidence: string, oldest: number, end: number): number | undefined {
  const text = evidence.replace(/^…|…$/g, "").trim();
  if (!text) return undefined;
  for (let line = end - 1; line >= oldest; line -= 1) {
    if (plainText(log.line(line)).includes(text)) return line;
  }
  return undefined;
}
