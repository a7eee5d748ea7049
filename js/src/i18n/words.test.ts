import { expect, test, vi } from "vitest";
import { addEnglish, Words } from "./words";

const french = new Words("fr-CH", { launch: "Lancer", "launch.of": "Lancer {spec}" });

test("missing texts are in English", () => {
  expect(french.say("launch")).toBe("Lancer");
  expect(french.say("retry")).toBe("Try again");
});

test("placeholders without a value are kept", () => {
  expect(french.say("launch.of", { spec: "gh/a/b" })).toBe("Lancer gh/a/b");
  expect(french.say("launch.of")).toBe("Lancer {spec}");
});

test("attack: a value is never looked into", () => {
  expect(french.say("launch.of", { spec: "{spec} $& {launch}" })).toBe("Lancer {spec} $& {launch}");
});

test("English texts can be added later", () => {
  const words = new Words();
  expect(words.has("test.later")).toBe(false);
  addEnglish({ "test.later": "Now" });
  expect(words.has("test.later")).toBe(true);
  expect(french.has("test.later")).toBe(true);
});

test("a server's text is kept unless there is a translation", () => {
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
])("whether browsers support %j: %s", (lang, known) => {
  expect(Words.supports(lang)).toBe(known);
});

test("values are isolated in right-to-left text", () => {
  const arabic = new Words("ar", { "launch.of": "تشغيل {spec}" });
  expect(arabic.say("launch.of", { spec: "gh/a/b" })).toBe("تشغيل \u2068gh/a/b\u2069");
});

test.each([
  ["gh/user/repo/HEAD", "Cancel: gh/user/repo/HEAD"],
  ["git/https%3A%2F%2Fexample.org%2Fgroup%2Frepo.git/HEAD", "Cancel: group/repo.git/HEAD"],
  ["git/https%3A%2F%2Fexample.org%2Frepo/a/b", "Cancel: example.org/repo/a/b"],
  ["zenodo/10.5281/zenodo.3242074", "Cancel: zenodo/10.5281/zenodo.3242074"],
  ["", "Cancel"],
])("names a control of %s", (spec, name) => {
  expect(new Words().named("Cancel", spec)).toBe(name);
});

test.each([
  ["en", ["de", "en-GB"], "14:32"],
  ["en", ["de", "en-US"], "2:32 PM"],
  ["de", ["en-US"], "14:32"],
])("the time of day in %s for a reader of %s", (lang, languages, time) => {
  vi.stubGlobal("navigator", { languages });
  const shown = new Words(lang).clock(new Date(2026, 5, 1, 14, 32).getTime());
  // Some versions of ICU write a narrow space.
  expect(shown.replace(/\s/g, " ")).toBe(time);
  vi.unstubAllGlobals();
});
