/**
 * The address of the server that launches. No DOM, except for a page's relative address.
 */
import type { LocalizedText, TextKey } from "../i18n/words";

/** An attribute of the element, or the response of a server, is not valid. */
export class InvalidValueError extends Error {
  /** The message for users of all languages. */
  readonly localized: LocalizedText;

  constructor(key: TextKey, text: string) {
    super(text);
    this.localized = { key, text };
  }
}

/**
 * Return the absolute address of a binderprogress server, with a trailing slash.
 *
 * @param server - as given by a page: absolute, or relative to the page; empty for the root of the
 *   page's own site
 * @returns an empty text if it is not http or https
 */
export function serverUrl(server: string): string {
  const text = server.trim() || "/";
  const url = URL.canParse(text, document.baseURI) ? new URL(text, document.baseURI) : undefined;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") return "";
  return `${url.origin}${url.pathname.replace(/\/?$/, "/")}`;
}

/** The origin of this page, as servers see it: `null` in a sandboxed frame, and for a file. */
export function pageOrigin(): string {
  return globalThis.origin;
}

/** Whether a server is on another origin than the page. */
export function isForeign(server: string): boolean {
  return new URL(serverUrl(server)).origin !== pageOrigin();
}
