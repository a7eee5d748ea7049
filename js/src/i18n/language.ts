/**
 * Which language an element speaks.
 */
import type { ReactiveController, ReactiveControllerHost } from "lit";
import { Words } from "./words";

/** Speaks the language of the page around, and else the person's. */
export class Language implements ReactiveController {
  words = new Words();
  /** Kept once there is nothing to load any more. */
  loading: Promise<void> | undefined;

  readonly #host: ReactiveControllerHost & HTMLElement;
  readonly #changed: () => void;
  #lang = "en";

  /** @param changed - called when another language is spoken */
  constructor(host: ReactiveControllerHost & HTMLElement, changed: () => void) {
    this.#host = host;
    this.#changed = changed;
    host.addController(this);
  }

  hostConnected(): void {
    this.choose();
  }

  /** Look again which language it is. */
  choose(): void {
    const around = this.#host.closest("[lang]")?.getAttribute("lang");
    const wanted = around || navigator.language;
    const lang = Words.knows(wanted) ? wanted : "en";
    if (lang === this.#lang) return;
    this.#lang = lang;
    this.loading = this.#learn(lang);
  }

  async #learn(lang: string): Promise<void> {
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
