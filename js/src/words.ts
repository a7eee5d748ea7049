/**
 * Words, numbers and times in a person's language. No DOM.
 */
import core from "./catalogs/en.json";
import type more from "./catalogs/more/en.json";

/** The names of all texts. A catalog has each of them; so a test says. */
export type TextKey = keyof typeof core | keyof typeof more;

/** Texts by their names; `{name}` in a text stands for a value. */
export type Catalog = Readonly<Record<string, string>>;

/** What is always there. Parts that are loaded when wanted bring their own English with them. */
const english: Record<string, string> = { ...core };

/** Add the English of a part that is loaded when wanted. */
export function learn(texts: Catalog): void {
  Object.assign(english, texts);
}

/** The units that durations are told in, and how many seconds they have. */
const UNITS = { second: 1, minute: 60, hour: 3600 } as const;
type Unit = keyof typeof UNITS;

/** Says things in one language. */
export class Words {
  /** As a BCP 47 tag. */
  readonly lang: string;

  readonly #catalog: Catalog;

  /**
   * @param lang - for numbers, too: one that the browser can format with
   * @param catalog - what it lacks is said in English
   */
  constructor(lang = "en", catalog: Catalog = {}) {
    this.lang = lang;
    this.#catalog = catalog;
  }

  /** Which way this language is written. */
  get dir(): "ltr" | "rtl" {
    return /^(ar|fa|he|ur)\b/.test(this.lang) ? "rtl" : "ltr";
  }

  /** Whether a text of this name is known, in this language or in English. */
  has(key: string): key is TextKey {
    return key in this.#catalog || key in english;
  }

  /** A text with its values. */
  say(key: TextKey, values: Readonly<Record<string, string>> = {}): string {
    const text = this.#catalog[key] ?? english[key] ?? key;
    return text.replace(/\{([\w-]+)\}/g, (whole, name: string) => values[name] ?? whole);
  }

  /** A whole number. */
  number(value: number): string {
    return new Intl.NumberFormat(this.lang).format(value);
  }

  /** Whole percent. */
  percent(value: number): string {
    return new Intl.NumberFormat(this.lang, { style: "percent" }).format(value / 100);
  }

  /** A duration that has passed: `8 sec`, `1 min 05 sec`, `2 hr 03 min`. */
  duration(seconds: number): string {
    const whole = Math.max(Math.floor(seconds), 0);
    if (whole < 60) return this.#unit("second").format(whole);
    const [large, small]: Unit[] = whole < 3600 ? ["minute", "second"] : ["hour", "minute"];
    const rest = Math.floor((whole % UNITS[large!]) / UNITS[small!]);
    return `${this.#unit(large!).format(Math.floor(whole / UNITS[large!]))} ${this.#unit(small!, 2).format(rest)}`;
  }

  /**
   * What is left, no more exactly than anybody can know: `about 20 sec left`, `15–40 sec left`,
   * `longer than usual`.
   *
   * @param left - from `ProgressModel.left`; nothing if nobody knows
   */
  timeLeft(left: { median: number; low?: number; high?: number } | undefined): string {
    if (!left) return "";
    const { median, low = median, high = median } = left;
    if (high <= 0) return this.say("left.longer");
    if (high < 5) return this.say("left.few");
    const from = coarse(Math.max(low, 0));
    const to = coarse(high);
    const time = this.#unit(to.unit).format(to.value);
    if (from.value === 0) return this.say("left.up-to", { time });
    if (from.value === to.value && from.unit === to.unit) return this.say("left.about", { time });
    const range =
      from.unit === to.unit
        ? this.#unit(to.unit).formatRange(from.value, to.value)
        : `${this.#unit(from.unit).format(from.value)} – ${time}`;
    return this.say("left.range", { time: range });
  }

  #unit(unit: Unit, minimumIntegerDigits = 1): Intl.NumberFormat {
    return new Intl.NumberFormat(this.lang, { style: "unit", unit, minimumIntegerDigits });
  }
}

/** Round so that the number does not flicker: to 5 s, then to minutes, then to half hours. */
function coarse(seconds: number): { value: number; unit: Unit } {
  const fives = Math.round(seconds / 5) * 5;
  if (fives < 60) return { value: fives, unit: "second" };
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return { value: minutes, unit: "minute" };
  return { value: Math.round(seconds / 1800) / 2, unit: "hour" };
}
