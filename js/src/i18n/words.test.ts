import { expect, test } from "vitest";
import { addEnglish, Words } from "./words";

const french = new Words("fr-CH", { launch: "Lancer", "launch.of": "Lancer {spec}" });

test("says it in its language, and else in English", () => {
  expect(french.say("launch")).toBe("Lancer");
  expect(french.say("retry")).toBe("Try again");
});

test("what stands for a value that is not there stays", () => {
  expect(french.say("launch.of", { spec: "gh/a/b" })).toBe("Lancer gh/a/b");
  expect(french.say("launch.of")).toBe("Lancer {spec}");
});

test("attack: a value is never looked into", () => {
  expect(french.say("launch.of", { spec: "{spec} $& {launch}" })).toBe("Lancer {spec} $& {launch}");
});

test("learns the English of a part that is loaded later", () => {
  const words = new Words();
  expect(words.has("test.later")).toBe(false);
  addEnglish({ "test.later": "Now" });
  expect(words.has("test.later")).toBe(true);
  expect(french.has("test.later")).toBe(true);
});

test("what a server said is said as it is, unless this language has it", () => {
  const said = { key: "launch", text: "Go!" };
  expect(new Words().localize(said)).toBe("Go!");
  expect(french.localize(said)).toBe("Lancer");
  expect(french.localize({ key: "reason.unheard-of", text: "No." })).toBe("No.");
  expect(new Words().localize({ key: "launch" })).toBe("Launch");
});

test.each([
  ["ar", "rtl"],
  ["ar-EG", "rtl"],
  ["arn", "ltr"],
  ["en", "ltr"],
])("%s is written %s", (lang, dir) => {
  expect(new Words(lang).dir).toBe(dir);
});

test.each([
  ["de-AT", true],
  ["zh-Hant-TW", true],
  ["", false],
  ["tlh-x", false],
  ["not a language", false],
])("whether %j is a language that a browser can count in: %s", (lang, known) => {
  expect(Words.supports(lang)).toBe(known);
});

test("from the right to the left, values keep their own order", () => {
  const arabic = new Words("ar", { "launch.of": "تشغيل {spec}" });
  expect(arabic.say("launch.of", { spec: "gh/a/b" })).toBe("تشغيل \u2068gh/a/b\u2069");
});
