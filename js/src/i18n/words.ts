/**
 * Texts and numbers in the reader's language. No DOM.
 */
import core from "./catalogs/en.json";
import type more from "./catalogs/more/en.json";

/** The keys of all texts. Each catalog has each of them, which a test checks. */
export type TextKey = keyof typeof core | keyof typeof more;

/** A text of the catalogs, an English text of a server, or both. */
export interface LocalizedText {
  /** The key of the text. A key that no catalog has is ignored. */
  key?: string;
  values?: Readonly<Record<string, string>>;
  /** The English text of a server, which may be more specific than the catalogs. */
  text?: string;
}

/** Texts by key. `{name}` in a text stands for a value. */
export type Catalog = Readonly<Record<string, string>>;

/** The English texts. Parts that are loaded on demand add theirs. */
const english: Record<string, string> = { ...core };

/** Add the English texts of a part that is loaded on demand. */
export function addEnglish(texts: Catalog): void {
  Object.assign(english, texts);
}

/** The texts of one language. */
export class Words {
  /** The language, as a BCP 47 tag. */
  readonly lang: string;

  readonly #catalog: Catalog;

  /**
   * @param lang - the language of texts and numbers, as a BCP 47 tag
   * @param catalog - its texts; missing ones are shown in English
   */
  constructor(lang = "en", catalog: Catalog = {}) {
    this.lang = lang;
    this.#catalog = catalog;
  }

  /** Whether the browser can format numbers in the language of a page's `lang`. */
  static supports(lang: string): boolean {
    try {
      return Intl.NumberFormat.supportedLocalesOf(lang).length > 0;
    } catch {
      // Not a language tag: a page may have anything there.
      return false;
    }
  }

  /** The writing direction of this language. */
  get dir(): "ltr" | "rtl" {
    return /^(ar|fa|he|ur)\b/.test(this.lang) ? "rtl" : "ltr";
  }

  /** Whether there is a text with this key, in this language or in English. */
  has(key: string): key is TextKey {
    return key in this.#catalog || key in english;
  }

  /** Return a text with its values. */
  say(key: TextKey, values: Readonly<Record<string, string>> = {}): string {
    const text = this.#catalog[key] ?? english[key] ?? key;
    // In right-to-left text, isolate values: they may be left-to-right.
    const [before, after] = this.dir === "rtl" ? ["\u2068", "\u2069"] : ["", ""];
    return text.replace(/\{([\w-]+)\}/g, (placeholder, name: string) => {
      const value = values[name];
      return value === undefined ? placeholder : before + value + after;
    });
  }

  /** Return the accessible name of a control: a page may have several elements. */
  named(what: string, spec: string): string {
    // Of a repository that is named by its whole address, the end says enough.
    const [, address = "", ...ref] = spec.split("/");
    const names = address.split(/%2F/i);
    const short = names.length > 2 ? [...names.slice(-2), ...ref].join("/") : spec;
    return spec ? this.say("named", { what, spec: short }) : what;
  }

  /** Return the English text, as servers send it. */
  english(key: string): string {
    return english[key] ?? "";
  }

  /** Return a text in this language if there is one, else the English text. */
  localize({ key = "", values, text }: LocalizedText): string {
    if (text !== undefined && !(key in this.#catalog)) return text;
    return this.say(key as TextKey, values);
  }

  /** Format a whole number. */
  number(value: number): string {
    return new Intl.NumberFormat(this.lang).format(value);
  }

  /** A time of day: `14:32`, or `2:32 PM` where that is usual. British readers of English have 24 hours. */
  clock(time: number): string {
    const own = globalThis.navigator?.languages.find((each) => each.split("-")[0] === this.lang.split("-")[0]);
    return new Intl.DateTimeFormat(own ?? this.lang, { timeStyle: "short" }).format(time);
  }
}
