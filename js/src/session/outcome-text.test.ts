import { beforeAll, expect, test } from "vitest";
import ja from "../i18n/catalogs/ja.json";
import more from "../i18n/catalogs/more/en.json";
import { addEnglish, Words } from "../i18n/words";
import type { LaunchEvent } from "../wire/event";
import { expired } from "./explain";
import { NOT_STARTED, type Outcome, outcomeOf } from "./outcome";
import { outcomeText, spokenOutcome } from "./outcome-text";

beforeAll(() => addEnglish(more));

const GONE: Outcome = { ...NOT_STARTED, title: "outcome.gone", ...expired() };

function ended(fields: Partial<LaunchEvent>): Outcome {
  return outcomeOf({ id: 1, phase: "failed", time: 0, elapsed: 0, progress: 0, ...fields } as LaunchEvent);
}

function texts(outcome: Outcome, words = new Words()): string[] {
  const { heading, message, original, advice } = outcomeText(outcome, words);
  return [heading, message, original, advice];
}

test("the sentence of a failure leads, and what follows it comes after", () => {
  const one = { reason: "disk-full", message: "The disk is full.\n", advice: "Try again later." };
  expect(texts(ended(one))).toEqual(["The disk is full.", "", "", "Try again later."]);
  const two = { reason: "x", message: "No answer of hub.example.org. It may be down. Or not.\n" };
  expect(texts(ended(two))).toEqual(["No answer of hub.example.org.", "It may be down. Or not.", "", ""]);
});

test("a translation leads, and the server's more specific sentence is below it", () => {
  const [heading, message, original] = texts(
    ended({ reason: "left", message: "This page stopped watching the launch. A build that is running continues.\n" }),
    new Words("ja", ja),
  );
  expect(`${heading}${message}`).toBe(ja["reason.left"]);
  expect(heading).toMatch(/。$/);
  expect(message).not.toBe("");
  expect(original).toBe("");
  const own = ended({ reason: "disk-full", message: "No room on /srv.\n" });
  expect(texts(own, new Words("ja", ja))[2]).toBe("No room on /srv.");
});

test("titles that the message refers to stay", () => {
  expect(texts(GONE).slice(0, 2)).toEqual(["This launch has expired", "The server no longer has any record of it."]);
  expect(texts(NOT_STARTED).slice(0, 2)).toEqual(["The launch was cancelled", ""]);
  const cancelled = ended({ phase: "cancelled", reason: "cancelled", message: "Cancelled.\n" });
  expect(texts(cancelled)).toEqual(["The launch was cancelled", "", "", ""]);
});

test("a screen reader says all of it, in sentences", () => {
  expect(spokenOutcome(GONE, new Words())).toBe(
    "This launch has expired. The server no longer has any record of it. " +
      "Start a new launch. Anything already built is reused.",
  );
});
