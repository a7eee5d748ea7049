/**
 * What is said about an outcome, in words. No DOM; loaded when a launch starts.
 */
import type { LocalizedText, TextKey, Words } from "../i18n/words";
import type { Outcome } from "./outcome";

/** Titles that say more than the message, or that the message refers to. Others are only for programs. */
const TITLES: ReadonlySet<TextKey> = new Set<TextKey>([
  "ask",
  "outcome.gone",
  "outcome.unshown",
  "outcome.unusable",
  "problem",
]);

/** The texts of an outcome. All but the heading may be empty. */
export interface OutcomeText {
  /** What happened, in one sentence. */
  heading: string;
  /** More about it. */
  message: string;
  /** The server's own English sentence, if it says more than the translation. */
  original: string;
  advice: string;
}

/** Return the texts of an outcome. */
export function outcomeText({ title, message, advice, event }: Outcome, words: Words): OutcomeText {
  const { file = "", subject = "" } = event ?? {};
  const isGeneral = isEnglishOf(message, words);
  const { key = "" } = message;
  // A rule's own sentence is more specific than the translation of its reason: show both.
  const sentence = isGeneral
    ? words.localize(message)
    : words.localize({ ...message, key: key.replace(/\.named$/, "") });
  const original = !isGeneral && message.text !== sentence ? (message.text ?? "") : "";
  const general = { ...advice, values: { file, subject } };
  const adviceText = isEnglishOf(general, words) ? words.localize(general) : (advice.text ?? "");
  // "Cancelled." says less than the title.
  const isDone = key === "reason.cancelled";
  if (!sentence || isDone || TITLES.has(title)) {
    return { heading: words.say(title), message: isDone ? "" : sentence, original, advice: adviceText };
  }
  const [heading, rest] = splitAfterSentence(sentence);
  return { heading, message: rest, original, advice: adviceText };
}

/** The first sentence of a text, and the others. A point within a word, as of an address, ends none. */
function splitAfterSentence(text: string): [first: string, rest: string] {
  const [, first = text, rest = ""] = /^(.+?(?:[.!?؟](?=\s)|[。！？]))\s*(.+)$/su.exec(text) ?? [];
  return [first, rest];
}

/** What a screen reader says of an outcome: all that is needed to go on. */
export function spokenOutcome(outcome: Outcome, words: Words): string {
  const { heading, message, advice } = outcomeText(outcome, words);
  return [heading, message, advice].filter(Boolean).map(asSentence).join(" ");
}

function asSentence(text: string): string {
  return /[.!?؟。！？]$/u.test(text) ? text : `${text}.`;
}

/** Whether a text is the English one with its key, so that its translation says the same. */
function isEnglishOf({ key = "", text, values = {} }: LocalizedText, words: Words): boolean {
  const english = words.english(key).replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? "");
  return text === undefined || !words.has(key) || text === english;
}
