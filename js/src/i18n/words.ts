/**
 * Words, numbers and times in a person's language. No DOM.
 */
import core from "./catalogs/en.json";
import type more from "./catalogs/more/en.json";

/** The names of all texts. A catalog has each of them; so a test says. */
export type TextKey = keyof typeof core | keyof typeof more;

/** Something to say: a text of the catalogs, or what a server said in English, or both. */
export interface Said {
  /** The name of the text; one that no catalog has is not used. */
  key?: string;
  values?: Readonly<Record<string, string>>;
  /** In English. It may tell more than the catalogs know. */
  text?: string;
}

/** Texts by their names; `{name}` in a text stands for a value. */
export type Catalog = Readonly<Record<string, string>>;

/** What is always there. Parts that are loaded when wanted bring their own English with them. */
const english: Record<string, string> = { ...core };

/** Add the English of a part that is loaded when wanted. */
export function learn(texts: Catalog): void {
  Object.assign(english, texts);
}

/** Says things in one language. */
export class Words {
  /** As a BCP 47 tag. */
  readonly lang: string;

  readonly #catalog: Catalog;

  /**
   * @param lang - as a BCP 47 tag; also for numbers
   * @param catalog - what it lacks is said in English
   */
  constructor(lang = "en", catalog: Catalog = {}) {
    this.lang = lang;
    this.#catalog = catalog;
  }

  /** Whether a page's `lang` is one that numbers can be formatted in. */
  static knows(lang: string): boolean {
    try {
      return Intl.NumberFormat.supportedLocalesOf(lang).length > 0;
    } catch {
      // It is no language tag at all; a page may have anything there.
      return false;
    }
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
    // In a line that is written from the right, what is written from the left keeps its own order.
    const [before, after] = this.dir === "rtl" ? ["\u2068", "\u2069"] : ["", ""];
    return text.replace(/\{([\w-]+)\}/g, (whole, name: string) => {
      const value = values[name];
      return value === undefined ? whole : before + value + after;
    });
  }

  /** The English of a text: servers speak it, too. */
  english(key: string): string {
    return english[key] ?? "";
  }

  /** Something in this language if it can be, and else in English. */
  tell({ key = "", values, text }: Said): string {
    if (text !== undefined && !(key in this.#catalog)) return text;
    return this.say(key as TextKey, values);
  }

  /** A whole number. */
  number(value: number): string {
    return new Intl.NumberFormat(this.lang).format(value);
  }
}
