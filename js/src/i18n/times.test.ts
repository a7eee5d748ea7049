import { expect, test } from "vitest";
import { loadCatalog } from "./catalogs";
import more from "./catalogs/more/en.json";
import readyCases from "../../../tests/data/ready_by.json";
import cases from "../../../tests/data/times_left.json";
import { countText, dayText, duration, percentText, readyBy, shortDuration, timeLeft, took } from "./times";
import { addEnglish, Words } from "./words";

addEnglish(more);
const words = new Words();

test.each([
  [0, "0 sec"],
  [8.9, "8 sec"],
  [65, "1 min 05 sec"],
  [7384, "2 hr 03 min"],
])("%d s are %s", (seconds, text) => {
  expect(duration(words, seconds)).toBe(text);
});

test.each([
  [0.02, "0.1 sec"],
  [0.34, "0.3 sec"],
  [0.98, "1.0 sec"],
  [1.9, "1 sec"],
  [65, "1 min 05 sec"],
])("what took %d s took %s", (seconds, text) => {
  expect(took(words, seconds)).toBe(text);
});

test.each(cases)("$left is left: $page", ({ left, page }) => {
  expect(timeLeft(words, left)).toBe(page);
});

test.each(readyCases)("ready by: $name", ({ seconds, now, at, ...rest }) => {
  const clock = new Intl.DateTimeFormat("en", { timeStyle: "short" });
  const expected = at === null ? "" : `ready by ${clock.format(1000 * at)} at the latest`;
  expect(readyBy(words, seconds, now, "late" in rest && rest.late === true)).toBe(expected);
});

test("without an estimate, nothing is left", () => {
  expect(timeLeft(words, undefined)).toBe("");
});

test.each([
  [0.04, "0.0 sec"],
  [9.94, "9.9 sec"],
  [10, "10 sec"],
  [65, "1 min 05 sec"],
])("%d s are %s in short", (seconds, text) => {
  expect(shortDuration(words, seconds)).toBe(text);
});

test.each([
  ["en", { 0: "0 lines", 1: "1 line", 2: "2 lines", 1234: "1,234 lines" }],
  ["de", { 0: "0 Zeilen", 1: "1 Zeile", 1234: "1.234 Zeilen" }],
  ["fr", { 0: "0 ligne", 1: "1 ligne", 2: "2 lignes" }],
  ["ja", { 0: "0 行", 1: "1 行", 2: "2 行" }],
  ["ar", { 0: "لا أسطر", 1: "سطر واحد", 2: "سطران", 3: "\u20683\u2069 أسطر", 11: "\u206811\u2069 سطرًا" }],
])("lines are counted in %s", async (lang, expected) => {
  const those = new Words(lang, await loadCatalog(lang));
  for (const [count, text] of Object.entries(expected)) {
    expect(countText(those, "log.lines", Number(count))).toBe(text);
  }
});

test.each([
  ["en", "42%", "15–40 sec left"],
  ["de", "42 %", "15–40 Sek. left"],
  ["fr", "42 %", "15–40 s left"],
  ["ja", "42%", "15～40 秒 left"],
])("numbers and units of %s", (lang, share, left) => {
  const those = new Words(lang);
  expect(percentText(those, 42).replace(/\s/g, " ")).toBe(share);
  expect(timeLeft(those, { median: 20, low: 14, high: 40 }).replace(/\s/g, " ")).toBe(left);
});

test("a day has its year only if it is another one", () => {
  const now = Date.UTC(2026, 5, 15);
  expect(dayText(words, Date.UTC(2026, 2, 12, 12) / 1000, now)).toBe("March 12");
  expect(dayText(words, Date.UTC(2025, 2, 12, 12) / 1000, now)).toBe("March 12, 2025");
});
