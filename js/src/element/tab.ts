/**
 * Shows a launch in the browser's tab: in the page's title and icon. Loaded on demand.
 */
import type { ViewState } from "./view-state";
import { percentText } from "../i18n/times";
import type { Words } from "../i18n/words";

const COLOURS: Partial<Record<ViewState["mode"], string>> = {
  ready: "#17723f",
  failed: "#ad2418",
  cancelled: "#7d8a86",
  gone: "#7d8a86",
};

/** Changes the page's title and icon, and restores them. */
export class Tab {
  readonly #title = document.title;
  readonly #link: HTMLLinkElement;
  readonly #hadLink: boolean;
  readonly #href: string;
  readonly #type: string;
  #drawn = "";

  constructor() {
    const existing = document.querySelector<HTMLLinkElement>('link[rel~="icon"]');
    this.#hadLink = existing !== null;
    this.#link = existing ?? Object.assign(document.createElement("link"), { rel: "icon" });
    this.#href = this.#link.href;
    this.#type = this.#link.type;
    if (!existing) document.head.append(this.#link);
  }

  /** Show the state of a launch. */
  show({ mode, label, percent = 0 }: ViewState, words: Words): void {
    if (mode === "idle") return this.restore();
    const hasEnded = mode !== "starting" && mode !== "running";
    // In steps of five percent: browsers decode each new icon.
    const drawn = hasEnded ? 100 : Math.floor(percent / 5) * 5;
    const title = [...(hasEnded || mode === "starting" ? [] : [percentText(words, percent)]), label];
    document.title = [...title, this.#title].join(" · ");
    if (this.#drawn === `${mode}${drawn}`) return;
    this.#drawn = `${mode}${drawn}`;
    this.#link.type = "image/svg+xml";
    this.#link.href = `data:image/svg+xml,${encodeURIComponent(icon(mode, drawn))}`;
  }

  /** Restore the page's own title and icon. */
  restore(): void {
    this.#drawn = "";
    document.title = this.#title;
    if (this.#hadLink) Object.assign(this.#link, { href: this.#href, type: this.#type });
    else this.#link.remove();
  }
}

/** A ring that fills. At the end, it has a symbol, so that the state does not depend on colour alone. */
function icon(mode: ViewState["mode"], percent: number): string {
  const colour = COLOURS[mode] ?? "#1a8a8f";
  const symbols: Partial<Record<ViewState["mode"], string>> = {
    ready: "M9.5 16.5l4.5 4.5 8.5-9.5",
    failed: "M11 11l10 10M21 11L11 21",
  };
  const symbol = symbols[mode];
  const ring = (stroke: string, length: number) =>
    `<circle cx="16" cy="16" r="13" stroke="${stroke}" pathLength="100" ` +
    `stroke-dasharray="${length} 100" transform="rotate(-90 16 16)"/>`;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="none" stroke-width="5">` +
    ring("#9aa5a166", 100) +
    ring(colour, percent) +
    (symbol ? `<path d="${symbol}" stroke="${colour}" stroke-width="4"/>` : "") +
    "</svg>"
  );
}
