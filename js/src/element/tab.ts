/**
 * The state of a launch in the browser's tab: in the page's title and icon. Loaded when wanted.
 */
import type { Shown } from "./shown";
import { percentText } from "../i18n/times";
import type { Words } from "../i18n/words";

const COLOURS: Partial<Record<Shown["mode"], string>> = {
  ready: "#17723f",
  failed: "#ad2418",
  cancelled: "#7d8a86",
  gone: "#7d8a86",
};

/** Keeps a page's title and icon, and gives them back. */
export class Tab {
  readonly #title = document.title;
  readonly #link: HTMLLinkElement;
  readonly #hadLink: boolean;
  readonly #href: string;
  readonly #type: string;
  #told = "";

  constructor() {
    const found = document.querySelector<HTMLLinkElement>('link[rel~="icon"]');
    this.#hadLink = found !== null;
    this.#link = found ?? Object.assign(document.createElement("link"), { rel: "icon" });
    this.#href = this.#link.href;
    this.#type = this.#link.type;
    if (!found) document.head.append(this.#link);
  }

  /** Show a state. */
  show({ mode, label, percent = 0 }: Shown, words: Words): void {
    if (mode === "idle") return this.restore();
    const over = mode !== "starting" && mode !== "running";
    // Every five percent: a new icon is decoded each time.
    const drawn = over ? 100 : Math.floor(percent / 5) * 5;
    const title = [...(over || mode === "starting" ? [] : [percentText(words, percent)]), label];
    document.title = [...title, this.#title].join(" · ");
    if (this.#told === `${mode}${drawn}`) return;
    this.#told = `${mode}${drawn}`;
    this.#link.type = "image/svg+xml";
    this.#link.href = `data:image/svg+xml,${encodeURIComponent(icon(mode, drawn))}`;
  }

  /** Give the page its own title and icon back. */
  restore(): void {
    this.#told = "";
    document.title = this.#title;
    if (this.#hadLink) Object.assign(this.#link, { href: this.#href, type: this.#type });
    else this.#link.remove();
  }
}

/** A ring that closes; at the end with a sign in it, so that it is not told by colour alone. */
function icon(mode: Shown["mode"], percent: number): string {
  const colour = COLOURS[mode] ?? "#1a8a8f";
  const signs: Partial<Record<Shown["mode"], string>> = {
    ready: "M9.5 16.5l4.5 4.5 8.5-9.5",
    failed: "M11 11l10 10M21 11L11 21",
  };
  const sign = signs[mode];
  const ring = (stroke: string, length: number) =>
    `<circle cx="16" cy="16" r="13" stroke="${stroke}" pathLength="100" ` +
    `stroke-dasharray="${length} 100" transform="rotate(-90 16 16)"/>`;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="none" stroke-width="5">` +
    ring("#9aa5a166", 100) +
    ring(colour, percent) +
    (sign ? `<path d="${sign}" stroke="${colour}" stroke-width="4"/>` : "") +
    "</svg>"
  );
}
