/**
 * Texts and numbers of the statistics page, in the language of the page. No DOM.
 */
import type more from "../i18n/catalogs/more/en.json";
import type pages from "../i18n/catalogs/pages/en.json";
import { Words } from "../i18n/words";
import * as series from "./stats-series";

type Key = keyof typeof pages | keyof typeof more;

/** What the page's own catalog says, and how its language writes numbers. */
export class StatsWords {
  readonly #words: Words;
  readonly #day: Intl.DateTimeFormat;
  readonly #shortDay: Intl.DateTimeFormat;
  readonly #clock: Intl.DateTimeFormat;

  /**
   * @param lang - the language of the page
   * @param texts - texts by key, of which the server wrote those of this page into it
   */
  constructor(lang: string, texts: Readonly<Record<string, string>>) {
    this.#words = new Words(lang, texts);
    // The server knows more languages than some browsers.
    const known = Words.supports(lang) ? lang : "en";
    this.#day = new Intl.DateTimeFormat(known, { dateStyle: "medium", timeZone: "UTC" });
    this.#shortDay = new Intl.DateTimeFormat(known, { month: "short", day: "numeric", timeZone: "UTC" });
    this.#clock = new Intl.DateTimeFormat(known, { timeStyle: "medium" });
  }

  say(key: Key, values: Readonly<Record<string, string>> = {}): string {
    // `Words` knows the keys of the element only.
    return this.#words.localize({ key, values });
  }

  /** Whether there is a text with this key. */
  has(key: string): key is Key {
    return this.#words.has(key);
  }

  /** `Builds: 1,234` */
  value(key: Key, value: string | number): string {
    const shown = typeof value === "number" ? this.number(value) : value;
    return this.say("stats.js.value", { name: this.say(key), value: shown });
  }

  number(value: number): string {
    return this.#words.number(value);
  }

  percent(share: number): string {
    return series.percent(this.#words.lang, share);
  }

  seconds(value: number): string {
    return series.seconds(this.#words.lang, value);
  }

  /** A day such as `2026-11-25`, in full. */
  day(day: string): string {
    return this.#day.format(Date.parse(day));
  }

  /** A day without its year, at an axis. `time` is its start in seconds since 1970. */
  shortDay(time: number): string {
    return this.#shortDay.format(time * 1000);
  }

  clock(time: Date): string {
    return this.#clock.format(time);
  }

  /** A phase, or the whole launch (`total`). */
  phase(phase: string): string {
    if (phase === "total") return this.say("stats.total");
    const key = `phase.${phase}`;
    return this.has(key) ? this.say(key) : phase;
  }

  /** `Building: 3` */
  inPhase(phase: string, launches: number): string {
    return this.say("stats.js.value", { name: this.phase(phase), value: this.number(launches) });
  }

  cold(cold: boolean): string {
    return this.say(cold ? "stats.cold" : "stats.warm");
  }
}
