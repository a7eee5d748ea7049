/**
 * The address of the server that launches, checked.
 */
import type { Said, TextKey } from "../i18n/words";

/** What the page asks for cannot be, or what the server said cannot be used. */
export class UnusableError extends Error {
  /** The same for people of other languages. */
  readonly said: Said;

  constructor(key: TextKey, text: string) {
    super(text);
    this.said = { key, text };
  }
}

/**
 * The address of a binderprogress server, whole and with a slash at the end.
 *
 * @param hub - as a page writes it: whole, or from the page's own address; empty: its root
 * @returns nothing if it is not http or https
 */
export function hubUrl(hub: string): string {
  const text = hub.trim() || "/";
  const url = URL.canParse(text, document.baseURI) ? new URL(text, document.baseURI) : undefined;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") return "";
  return `${url.origin}${url.pathname.replace(/\/?$/, "/")}`;
}
