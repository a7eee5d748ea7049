// Every language says everything, and nothing else.
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import core from "./catalogs/en.json";
import more from "./catalogs/more/en.json";
import { loadCatalog } from "./catalogs";
import { Words } from "./words";

const english: Record<string, string> = { ...core, ...more };
const folder = new URL("./catalogs", import.meta.url);
const LANGUAGES = ["ar", "de", "es", "fr", "ja", "pt", "zh"];

function placeholders(text: string): string[] {
  return (text.match(/\{[^}]*\}/g) ?? []).sort();
}

async function catalog(lang: string): Promise<Record<string, string>> {
  return { ...(await loadCatalog(lang))! };
}

test("these languages", () => {
  const files = readdirSync(folder).filter((name) => name.endsWith(".json"));
  expect(files.sort()).toEqual([...LANGUAGES, "en"].sort().map((lang) => `${lang}.json`));
  expect(Object.keys(core).filter((key) => key in more)).toEqual([]);
});

test.each(LANGUAGES)("%s has every text, with its values", async (lang) => {
  const texts = await catalog(lang);
  expect(Object.keys(texts)).toEqual(Object.keys(english).sort());
  for (const [key, text] of Object.entries(texts)) {
    expect(text.trim(), key).toBe(text);
    expect(text, key).not.toBe("");
    expect(placeholders(text), key).toEqual(placeholders(english[key]!));
  }
});

test.each(LANGUAGES)("%s is not left in English", async (lang) => {
  const texts = await catalog(lang);
  const same = Object.keys(texts).filter((key) => texts[key] === english[key]);
  // Some words are the same, as "Phases" in French.
  expect(same.filter((key) => !["bar.value", "bar.words", "phases", "log"].includes(key))).toEqual([]);
});

test.each(LANGUAGES)("a browser knows %s", (lang) => {
  expect(Words.knows(lang)).toBe(true);
});

test.each(["fr-CA", "pt-PT", "zh-Hant-TW", "AR-eg"])("%s is the language of its region", async (lang) => {
  expect(await loadCatalog(lang)).toBe(await loadCatalog(lang.split("-")[0]!));
});

test("attack: a language is no path", async () => {
  for (const lang of ["..", "more/en", "../words", "__proto__", "constructor", "tlh"]) {
    expect(await loadCatalog(lang)).toBeUndefined();
  }
});

test("every text is used", () => {
  const sources = readdirSync(new URL("../", import.meta.url), { recursive: true })
    .map(String)
    .filter((name) => /\.ts$/.test(name) && !/\.test\.ts$/.test(name))
    .map((name) => readFileSync(new URL(`../${name}`, import.meta.url), "utf8"))
    .join("\n");
  // By the name of a phase, a state, a step or a reason: the server's tables have those.
  const made = /^(phase|state|step|reason|advice)\./;
  const unused = Object.keys(english).filter(
    (key) => !made.test(key) && !sources.includes(`"${key}"`),
  );
  expect(unused).toEqual([]);
});
