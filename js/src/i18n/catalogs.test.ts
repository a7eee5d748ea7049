// All catalogs have the same texts.
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import core from "./catalogs/en.json";
import more from "./catalogs/more/en.json";
import { loadCatalog } from "./catalogs";
import { Words } from "./words";

const english: Record<string, string> = { ...core, ...more };
const folder = new URL("./catalogs", import.meta.url);
const PLURAL = /\.(zero|one|two|few|many|other)$/;
const LANGUAGES = ["ar", "de", "es", "fr", "ja", "pt", "zh"];

function placeholders(text: string): string[] {
  return (text.match(/\{[^}]*\}/g) ?? []).sort();
}

/** The keys of a catalog, with one key for all forms of a plural. */
function keysOf(texts: Record<string, string>): string[] {
  return [...new Set(Object.keys(texts).map((key) => key.replace(PLURAL, "")))];
}

/** The plural forms of a language; those for millions fall back to `other`. */
function formsOf(lang: string): string[] {
  const rules = new Intl.PluralRules(lang);
  const counts = Array.from({ length: 1000 }, (_, count) => count);
  return [...new Set(counts.map((count) => rules.select(count)))].sort();
}

async function catalog(lang: string): Promise<Record<string, string>> {
  return { ...(await loadCatalog(lang))! };
}

test("the languages", () => {
  const files = readdirSync(folder).filter((name) => name.endsWith(".json"));
  expect(files.sort()).toEqual([...LANGUAGES, "en"].sort().map((lang) => `${lang}.json`));
  expect(Object.keys(core).filter((key) => key in more)).toEqual([]);
});

test.each(LANGUAGES)("%s has every text, with its placeholders", async (lang) => {
  const texts = await catalog(lang);
  expect(Object.keys(texts)).toEqual(Object.keys(texts).sort());
  expect(keysOf(texts)).toEqual(keysOf(english).sort());
  for (const [key, text] of Object.entries(texts)) {
    expect(text.trim(), key).toBe(text);
    expect(text, key).not.toBe("");
    // A form for one number needs no placeholder.
    if (/\.(zero|one|two)$/.test(key)) continue;
    expect(placeholders(text), key).toEqual(placeholders(english[key.replace(PLURAL, ".other")]!));
  }
});

test.each(["en", ...LANGUAGES])("%s has each form of its plurals", async (lang) => {
  const texts = lang === "en" ? english : await catalog(lang);
  const plurals = Object.keys(texts).filter((key) => PLURAL.test(key));
  const forms = plurals.map((key) => key.split(".").at(-1)!);
  expect(plurals.length).toBeGreaterThan(0);
  expect([...new Set(forms)].sort()).toEqual(formsOf(lang));
});

test.each(LANGUAGES)("%s is not left in English", async (lang) => {
  const texts = await catalog(lang);
  const same = Object.keys(texts).filter((key) => texts[key] === english[key]);
  // Some words are the same, as "Phases" in French.
  expect(same.filter((key) => !["bar.value", "bar.words", "named", "phases", "log"].includes(key))).toEqual([]);
});

test.each(LANGUAGES)("browsers support %s", (lang) => {
  expect(Words.supports(lang)).toBe(true);
});

test.each(["fr-CA", "pt-PT", "zh-Hant-TW", "AR-eg"])("%s uses the catalog of its language", async (lang) => {
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
  // Keys made of the name of a phase, a state, a step or a reason.
  const made = /^(phase|state|step|reason|advice)\./;
  const unused = Object.keys(english).filter(
    (key) => !made.test(key) && !sources.includes(`"${key.replace(PLURAL, "")}"`),
  );
  expect(unused).toEqual([]);
});
