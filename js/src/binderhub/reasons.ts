/**
 * Why a launch failed, read from its log as the server does it, by the server's own table: for
 * plain BinderHubs. No DOM; loaded when wanted.
 */
import more from "../i18n/catalogs/more/en.json";
import tables from "./tables.json";
import type { Catalog } from "../i18n/words";

/** What is known of a failure. */
export interface Diagnosis {
  /** For programs. */
  reason: string;
  /** What it is about, as the requirement that cannot be satisfied; in the message already. */
  subject: string;
  /** What happened, in one sentence, in English. */
  message: string;
  /** What to do, in one sentence, in English. */
  advice: string;
  /** The lines of the log that say so, in their order. */
  evidence: string[];
}

const texts: Catalog = more;
const { drawn, limits } = tables;
const ESCAPES = new RegExp(tables.escapes, "g");
// "s": in Python, too, a dot is everything but a line feed, and there is none in a line.
const REASONS = tables.reasons.map((reason) => ({
  ...reason,
  pattern: new RegExp(reason.pattern, "is"),
  below: reason.below ? new RegExp(reason.below, "is") : undefined,
}));

/** Text without escape sequences and control characters; tabs and line feeds stay. */
export function plain(text: string): string {
  return text.replace(ESCAPES, "");
}

/**
 * Find out from the last lines of a log why it failed.
 *
 * @param lines - in their order; each may be more than one
 * @param otherwise - the reason where no line tells; the last lines are the evidence then
 */
export function diagnose(lines: readonly string[], otherwise = "unknown"): Diagnosis {
  const cleaned = lastLines(lines);
  for (const reason of REASONS) {
    const found = cleaned.flatMap((line, at) => {
      const match = reason.pattern.exec(line);
      return match ? [{ at, line, name: firstGroup(match) }] : [];
    });
    if (!found.length) continue;
    let name = found.find((one) => one.name)?.name ?? "";
    let evidence = found.map(({ line }) => line);
    if (!name && reason.below) {
      const wrapped = lookBelow(reason.below, cleaned.slice(found[0]!.at).slice(0, limits.evidence));
      if (wrapped) ({ name, evidence } = wrapped);
    }
    const subject = reason.named ? subjectOf(name) : "";
    return said(reason.key, subject, evidence.slice(0, limits.evidence));
  }
  return said(otherwise, "", cleaned.slice(-limits.evidence));
}

/** The last lines that say something, plain, as far as a diagnosis reads. */
function lastLines(messages: readonly string[]): string[] {
  const lines: string[] = [];
  let [characters, count] = [0, 0];
  for (let at = messages.length - 1; at >= 0; at -= 1) {
    // A message may be more than one line.
    const parts = messages[at]!.slice(-limits.log).split(/[\r\n]+/);
    for (const line of parts.reverse()) {
      const text = line.slice(0, limits.line);
      characters += text.length;
      count += 1;
      if (characters > limits.log || count > limits.lines) return lines.reverse();
      const shown = plain(text).trim();
      if (shown) lines.push(shown);
    }
  }
  return lines.reverse();
}

/** What is said of a reason that is known. */
export function said(reason: string, subject = "", evidence: string[] = []): Diagnosis {
  const sentence = subject ? texts[`reason.${reason}.named`] : texts[`reason.${reason}`];
  return {
    reason,
    subject,
    // A function: a subject may have dollar signs in it.
    message: (sentence ?? "").replace("{subject}", () => subject),
    advice: texts[`advice.${reason}`] ?? "",
    evidence,
  };
}

function firstGroup(match: RegExpExecArray): string {
  return match.slice(1).find(Boolean) ?? "";
}

/** The name that is in some of the first lines, joined, and those lines: some programs wrap. */
function lookBelow(
  pattern: RegExp,
  lines: string[],
): { name: string; evidence: string[] } | undefined {
  const undrawn = lines.map((line) => line.slice(lengthOf(line, drawn)));
  for (let count = 1; count <= lines.length; count += 1) {
    const match = pattern.exec(undrawn.slice(0, count).join(" ").slice(0, limits.line));
    if (match) return { name: match[1] ?? "", evidence: lines.slice(0, count) };
  }
  return undefined;
}

/** How many characters at the beginning of a text are some of these. */
function lengthOf(text: string, characters: string): number {
  let length = 0;
  while (length < text.length && characters.includes(text[length]!)) length += 1;
  return length;
}

function subjectOf(name: string): string {
  // Not from the front: ".binder/Dockerfile" has its dot there.
  let [begin, end] = [0, name.length];
  while (begin < end && " ,:;'\"`".includes(name[begin]!)) begin += 1;
  while (begin < end && " .,:;'\"`".includes(name[end - 1]!)) end -= 1;
  const characters = [...name.slice(begin, end)];
  if (characters.length <= limits.subject) return characters.join("");
  return `${characters.slice(0, limits.subject).join("")}…`;
}
