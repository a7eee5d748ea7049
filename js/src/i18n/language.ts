/**
 * The language of the element.
 */
import type { ReactiveController, ReactiveControllerHost } from "lit";
import { Words } from "./words";

/** Chooses the language of the surrounding page, else the language of the browser. */
export class Language implements ReactiveController {
  words = new Words();
  /** Resolves when the texts are loaded. */
  loading: Promise<void> | undefined;

  readonly #host: ReactiveControllerHost & HTMLElement;
  readonly #changed: () => void;
  #lang = "en";

  /** @param changed - called when the texts of another language are loaded */
  constructor(host: ReactiveControllerHost & HTMLElement, changed: () => void) {
    this.#host = host;
    this.#changed = changed;
    host.addController(this);
  }

  hostConnected(): void {
    this.choose();
  }

  /** Choose the language again. */
  choose(): void {
    const page = this.#host.closest("[lang]")?.getAttribute("lang");
    const preferred = page || navigator.language;
    const lang = Words.supports(preferred) ? preferred : "en";
    if (lang === this.#lang) return;
    this.#lang = lang;
    this.loading = this.#load(lang);
  }

  async #load(lang: string): Promise<void> {
    let words = new Words();
    if (/^en\b/i.test(lang)) {
      words = new Words(lang);
    } else {
      try {
        const catalog = await (await import("./catalogs")).loadCatalog(lang);
        if (catalog) words = new Words(lang, catalog);
      } catch (error) {
        console.error(error);
      }
    }
    if (lang !== this.#lang) return;
    this.words = words;
    this.#changed();
  }
}
