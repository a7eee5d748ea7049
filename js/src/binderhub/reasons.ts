/**
 * Finds out from a log why a launch on a plain BinderHub failed, with the server's own table of
 * patterns. No DOM; loaded on demand.
 */
import more from "../i18n/catalogs/more/en.json";
import tables from "./tables.json";
import type { Catalog } from "../i18n/words";

/** Why a launch failed. */
export interface Diagnosis {
  /** For programs. */
  reason: string;
  /** What the reason is about, such as a requirement. It is also part of the message. */
  subject: string;
  /** What happened, in one sentence, in English. */
  message: string;
  /** What to do, in one sentence, in English. */
  advice: string;
  /** The log lines that show it, in order. */
  evidence: string[];
}

const texts: Catalog = more;
const { drawn, limits } = tables;
const ESCAPES = new RegExp(tables.escapes, "g");
// Flag "s": as in Python, where a dot only excludes line feeds, and lines have none.
const REASONS = tables.reasons.map((reason) => ({
  ...reason,
  pattern: new RegExp(reason.pattern, "is"),
  below: reason.below ? new RegExp(reason.below, "is") : undefined,
}));

/** Remove escape sequences and control characters, except tabs and line feeds. */
export function plain(text: string): string {
  return text.replace(ESCAPES, "");
}

/**
 * Find the reason of a failure in the last lines of a log.
 *
 * @param messages - in order; each may have several lines
 * @param fallback - the reason if no line matches. The evidence is the last lines then.
 */
export function diagnose(messages: readonly string[], fallback = "unknown"): Diagnosis {
  const cleaned = lastLines(messages);
  for (const reason of REASONS) {
    const matches = cleaned.flatMap((line, at) => {
      const match = reason.pattern.exec(line);
      return match ? [{ at, line, name: firstGroup(match) }] : [];
    });
    if (!matches.length) continue;
    let name = matches.find((match) => match.name)?.name ?? "";
    let evidence = matches.map(({ line }) => line);
    if (!name && reason.below) {
      const wrapped = lookBelow(reason.below, cleaned.slice(matches[0]!.at).slice(0, limits.evidence));
      if (wrapped) ({ name, evidence } = wrapped);
    }
    const subject = reason.named ? subjectOf(name) : "";
    return diagnosisOf(reason.key, subject, evidence.slice(0, limits.evidence));
  }
  return diagnosisOf(fallback, "", cleaned.slice(-limits.evidence));
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

/** The diagnosis for a known reason. */
export function diagnosisOf(reason: string, subject = "", evidence: string[] = []): Diagnosis {
  const sentence = subject ? texts[`reason.${reason}.named`] : texts[`reason.${reason}`];
  return {
    reason,
    subject,
    // A function, because the subject may contain dollar signs.
    message: (sentence ?? "").replace("{subject}", () => subject),
    advice: texts[`advice.${reason}`] ?? "",
    evidence,
  };
}

function firstGroup(match: RegExpExecArray): string {
  return match.slice(1).find(Boolean) ?? "";
}

/** Find the name in the first lines, joined, because some programs wrap their messages. */
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

/** The number of leading characters of a text that are among `characters`. */
function lengthOf(text: string, characters: string): number {
  let length = 0;
  while (length < text.length && characters.includes(text[length]!)) length += 1;
  return length;
}

function subjectOf(name: string): string {
  // Dots are removed only at the end: ".binder/Dockerfile" begins with one.
  let [begin, end] = [0, name.length];
  while (begin < end && " ,:;'\"`".includes(name[begin]!)) begin += 1;
  while (begin < end && " .,:;'\"`".includes(name[end - 1]!)) end -= 1;
  const characters = [...name.slice(begin, end)];
  if (characters.length <= limits.subject) return characters.join("");
  return `${characters.slice(0, limits.subject).join("")}…`;
}
