/**
 * Why a launch failed, read from its log as `core/log/diagnosis.py` does it, by its rules: for plain
 * BinderHubs. No DOM; loaded when wanted.
 */
import more from "../i18n/catalogs/more/en.json";
import {
  endOf,
  fileOf,
  isNoise,
  lengthOf,
  type Line,
  type Log,
  readLog,
  stripped,
  withoutStamp,
} from "./segments";
import tables from "./tables.json";
import type { Catalog } from "../i18n/words";
import type { LaunchEvent } from "../wire/event";

/** What is known about a failure. */
export interface Diagnosis {
  /** For programs. */
  reason: string;
  /** What it is about, such as the requirement that cannot be satisfied. */
  subject: string;
  /** What happened, in English. */
  message: string;
  /** What to do, in English. */
  advice: string;
  /** The lines of the log that say so, in their order. */
  evidence: string[];
  /** Who can mend it: repository, request, server, network or unknown. */
  fault: NonNullable<LaunchEvent["fault"]>;
  /** Whether trying again can help. */
  retry: boolean;
  /** The file of the repository to change, and the line in it; empty and 0: not known. */
  file: string;
  line: number;
  /** The id of the rule that matched; empty: none. */
  rule: string;
}

/** A rule of the tables; what is empty is left out there. */
interface RuleTable {
  id: string;
  reason: string;
  patterns: string[];
  where?: string[];
  above?: string;
  below?: string;
  nearby?: string;
  title?: string;
  cause?: string;
  overcome?: string;
  requiresAbove?: boolean;
  requiresNearby?: boolean;
  furthest?: boolean;
  warnings?: boolean;
  printed?: boolean;
  evidenceAbove?: number;
  evidenceBelow?: number;
  sentence?: string;
  advice?: string;
  file?: string;
  fault?: Diagnosis["fault"];
  retry?: boolean;
}

interface ReasonTable {
  fault: Diagnosis["fault"];
  retry: boolean;
  file: string;
  defaultFile: string;
  named: boolean;
  detailed: string;
}

type Groups = Record<string, string>;

const texts: Catalog = more;
const { drawn, limits } = tables;
const REASONS: Record<string, ReasonTable> = tables.reasons as Record<string, ReasonTable>;
const ESCAPES = new RegExp(tables.escapes, "g");
const WARNING = new RegExp(`^(?:${tables.warning})`, "i");
const RULES = (tables.rules as RuleTable[]).map((rule) => ({
  ...rule,
  patterns: rule.patterns.map(expression),
  above: optional(rule.above),
  below: optional(rule.below),
  nearby: optional(rule.nearby),
  title: optional(rule.title),
  cause: optional(rule.cause),
  overcome: optional(rule.overcome),
}));
type Rule = (typeof RULES)[number];

/** A rule that matched, where in which lines, what its groups have found, and more evidence. */
interface Match {
  rule: Rule;
  starts: Map<number, number>;
  groups: Groups;
  more: number[];
}

// "s": in Python, too, a dot is everything but a line feed, and there is none in a line.
function expression(text: string): RegExp {
  return new RegExp(text, "is");
}

function optional(text: string | undefined): RegExp | undefined {
  return text ? expression(text) : undefined;
}

/** Text without escape sequences and control characters; tabs and line feeds stay. */
export function plain(text: string): string {
  return text.replace(ESCAPES, "");
}

/**
 * Find out from the last lines of a log why it failed.
 *
 * @param lines - in their order; each may be more than one
 * @param otherwise - the reason if no rule matches; the last lines of the step are the evidence then
 * @param kind - the kind of step that the lines begin in, if it is known
 */
export function diagnose(lines: readonly string[], otherwise = "unknown", kind = ""): Diagnosis {
  const log = readLog(lastLines(lines), kind);
  const match = best(log);
  return match ? explained(match, log) : unexplained(log, otherwise);
}

/** What is said of a reason that is known. */
export function diagnosisOf(reason: string, subject = "", evidence: string[] = []): Diagnosis {
  const { fault, retry, file } = REASONS[reason]!;
  const groups = subject ? { subject } : {};
  return {
    reason,
    subject,
    message: filled([texts[`reason.${reason}.named`], texts[`reason.${reason}`]], groups),
    advice: filled([texts[`advice.${reason}`]], groups),
    evidence,
    fault,
    retry,
    file,
    line: 0,
    rule: "",
  };
}

function best(log: Log): Match | undefined {
  const { kind, lines } = log.segment;
  let far: Match | undefined;
  for (const rule of RULES) {
    if (!appliesTo(rule, kind)) continue;
    const match = matched(rule, log);
    if (!match) continue;
    if (Math.max(...match.starts.keys()) >= lines.length - limits.near) return match;
    far ??= match;
  }
  return far;
}

function appliesTo({ where }: Rule, kind: string): boolean {
  if (!where) return true;
  const kinds = where.flatMap((one) => (one === "build" ? tables.segments.build : [one]));
  const usual = ["fetch", ...tables.segments.build];
  return kind ? kinds.includes(kind) : kinds.some((one) => usual.includes(one));
}

function matched(rule: Rule, log: Log): Match | undefined {
  const lines = log.segment.lines.map(({ text }) => text);
  let found = lines.flatMap((line, at) => {
    if (!rule.warnings && WARNING.test(line.slice(lengthOf(line, " \t")))) return [];
    const match = leftmost(rule.patterns, line);
    return match ? [{ at, match }] : [];
  });
  const { overcome } = rule;
  if (found.length && overcome) {
    const after = lines.findLastIndex((line) => overcome.test(line));
    found = found.filter(({ at }) => at > after);
  }
  if (!found.length) return undefined;
  const groups: Groups = {};
  for (const { match } of found) add(groups, match);
  const place = found[0]!.at;
  const more: number[] = [];
  if (rule.above && !above(rule, rule.above, lines, place, groups) && rule.requiresAbove) return undefined;
  if (rule.below) more.push(...below(rule.below, lines, place, groups));
  if (rule.nearby) {
    const where = nearby(rule.nearby, lines, place, groups);
    if (where === undefined && rule.requiresNearby) return undefined;
    if (where !== undefined) more.push(where);
  }
  const title = rule.title?.exec(log.segment.title);
  if (title) add(groups, title);
  const { cause, evidenceAbove = 0, evidenceBelow = 0 } = rule;
  if (cause) {
    const causes = lines.flatMap((line, at) => (cause.test(line) ? [at] : []));
    more.push(...causes.slice(-limits.causes));
  }
  more.push(...range(Math.max(place - evidenceAbove, 0), place));
  const last = found.at(-1)!.at;
  more.push(...range(last + 1, last + 1 + evidenceBelow));
  return { rule, starts: new Map(found.map(({ at, match }) => [at, match.index])), groups, more };
}

/** The match that begins first in a line; of those, the first pattern's. */
function leftmost(patterns: readonly RegExp[], line: string): RegExpExecArray | undefined {
  let first: RegExpExecArray | undefined;
  for (const pattern of patterns) {
    const match = pattern.exec(line);
    if (match && (!first || match.index < first.index)) first = match;
  }
  return first;
}

function add(groups: Groups, match: RegExpExecArray): void {
  for (const [name, value] of Object.entries(match.groups ?? {})) {
    if (value) groups[name.replace(/\d$/, "")] ??= value;
  }
}

function above(rule: Rule, pattern: RegExp, lines: string[], place: number, groups: Groups): boolean {
  const order = range(0, place + 1);
  if (!rule.furthest) order.reverse();
  for (const at of order) {
    const match = pattern.exec(lines[at]!);
    if (!match) continue;
    add(groups, match);
    return true;
  }
  return false;
}

function below(pattern: RegExp, lines: string[], place: number, groups: Groups): number[] {
  const following = lines.slice(place, place + limits.evidence);
  const undrawn = following.map((line) => line.slice(lengthOf(line, drawn)));
  for (let count = 1; count <= following.length; count += 1) {
    const joined = [undrawn, following].map((some) =>
      some.slice(0, count).join(" ").slice(0, limits.line),
    );
    const match = pattern.exec(joined[0]!) ?? pattern.exec(joined[1]!);
    if (!match) continue;
    add(groups, match);
    return range(place, place + count);
  }
  return [];
}

function nearby(pattern: RegExp, lines: string[], place: number, groups: Groups): number | undefined {
  for (const at of [...range(place, lines.length), ...range(0, place).reverse()]) {
    const match = pattern.exec(lines[at]!);
    if (!match) continue;
    add(groups, match);
    return at;
  }
  return undefined;
}

function explained({ rule, starts, groups: raw, more }: Match, log: Log): Diagnosis {
  const groups = Object.fromEntries(Object.entries(raw).map(([name, value]) => [name, subjectOf(value)]));
  const { lines } = log.segment;
  const places = [...starts.keys(), ...more.filter((at) => at < lines.length)];
  const chosen = [...new Set(places.slice(0, limits.evidence))].sort((a, b) => a - b);
  const evidence = chosen.map((at) => excerpt(lines[at]!, starts.get(at) ?? 0));
  const own = rule.printed ? printed(log) : [];
  return told(rule.reason, groups, own.length ? own : evidence, log, rule);
}

function unexplained(log: Log, otherwise: string): Diagnosis {
  const own = printed(log);
  const shown = own.length ? own : log.segment.lines.filter(({ text }) => !isNoise(text));
  const lines = shown.slice(-limits.evidence);
  if (log.command) {
    return told("build-step-failed", { subject: subjectOf(log.command), code: log.code }, lines, log);
  }
  const found = told(otherwise, {}, lines, log);
  if (!log.said) return found;
  return { ...found, message: cut(/[.!?]$/.test(log.said) ? log.said : `${log.said}.`, limits.sentence) };
}

function told(key: string, groups: Groups, lines: readonly Line[], log: Log, rule?: Rule): Diagnosis {
  const reason = REASONS[key]!;
  const { file, place } = fileToChange(reason, groups, log, rule);
  const values = { ...groups, file: place };
  const line = /^\d{1,6}$/.test(groups.line ?? "") ? Number(groups.line) : 0;
  const shown = new Map<string, string>();
  for (const line of lines) {
    const text = stripped(line.text, " \t");
    // Kubernetes repeats its events.
    const key = withoutStamp(text);
    if (!isNoise(text) && !shown.has(key)) shown.set(key, text);
  }
  return {
    reason: key,
    subject: reason.named || rule?.sentence ? (groups.subject ?? "") : "",
    message: filled(
      [rule?.sentence, reason.detailed, texts[`reason.${key}.named`], texts[`reason.${key}`]],
      values,
    ),
    advice: filled([rule?.advice, texts[`advice.${key}`]], values),
    evidence: [...shown.values()].slice(0, limits.evidence),
    fault: rule?.fault ?? reason.fault,
    retry: rule?.retry ?? reason.retry,
    file,
    line: line || (file.endsWith("Dockerfile") ? log.dockerfileLine : 0),
    rule: rule?.id ?? "",
  };
}

/** The file to change, and what the advice calls it. */
function fileToChange(
  reason: ReasonTable,
  groups: Groups,
  { command, dockerfile, segment }: Log,
  rule?: Rule,
): { file: string; place: string } {
  const fixed = groups.file || rule?.file || reason.file;
  if (fixed) return { file: fixed, place: fixed };
  if (!rule && command && dockerfile) return { file: "Dockerfile", place: "the Dockerfile" };
  if (!reason.defaultFile || segment.kind === "push" || segment.kind === "spawn") {
    return { file: "", place: "" };
  }
  if (dockerfile) return { file: "Dockerfile", place: "the Dockerfile" };
  if (segment.kind === "conda" && reason.defaultFile === "requirements.txt") {
    const file = fileOf(segment) || "environment.yml";
    return { file, place: `the pip section of ${file}` };
  }
  const file = fileOf(segment) || reason.defaultFile;
  return { file, place: file };
}

/** The first template all of whose values are known, with them. */
function filled(templates: readonly (string | undefined)[], values: Groups): string {
  const isFull = (text: string) => [...text.matchAll(/\{(\w+)\}/g)].every(([, name]) => values[name!]);
  const template = templates.find((text) => text && isFull(text)) ?? templates.at(-1) ?? "";
  // A function: a value may have dollar signs in it.
  return template.replace(/\{(\w+)\}/g, (_, name: string) => values[name] || "the file");
}

function printed({ segment }: Log): Line[] {
  return segment.lines.filter((line) => line.printed && !isNoise(line.text)).slice(-limits.evidence);
}

function excerpt(line: Line, start: number): Line {
  const characters = [...line.text];
  if (characters.length <= limits.evidenceLine) return line;
  const begin = Math.max([...line.text.slice(0, start)].length - limits.before, 0);
  const end = begin + limits.evidenceLine;
  const text = characters.slice(begin, end).join("");
  return { ...line, text: `${begin ? "…" : ""}${text}${end < characters.length ? "…" : ""}` };
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
      const shown = plain(text);
      if (stripped(shown, " \t")) lines.push(shown.slice(0, endOf(shown, " \t")));
    }
  }
  return lines.reverse();
}

function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(to - from, 0) }, (_, index) => from + index);
}

function subjectOf(name: string): string {
  const bare = name.replace(/[‘’]/g, "");
  // Not from the front: ".binder/Dockerfile" has its dot there.
  const rest = bare.slice(lengthOf(bare, " ,:;'\"`"));
  return cut(rest.slice(0, endOf(rest, " .,:;'\"`")), limits.subject);
}

function cut(text: string, longest: number): string {
  const characters = [...text];
  return characters.length <= longest ? text : `${characters.slice(0, longest).join("")}…`;
}
