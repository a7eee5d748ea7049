/**
 * Explains errors, to visitors of a page and, in the browser's console, to its author. No DOM; loaded
 * when a launch starts.
 */
import more from "../i18n/catalogs/more/en.json";
import type { LocalizedText } from "../i18n/words";
import { ApiError } from "../wire/client";
import { InvalidValueError, isForeign, pageOrigin, serverUrl } from "../wire/server-url";
import type { Outcome } from "./outcome";

/** What an {@link Outcome} says about an error. */
export interface Explanation extends Pick<Outcome, "message" | "advice" | "page" | "retryAt"> {
  /** For programs, as in {@link Failure}. */
  reason: string;
}

const NOTHING: LocalizedText = { text: "" };

/** Statuses with which servers answer that do not know what to do with a launch. */
const UNKNOWN = [404, 405, 501];

/** Say that a launch has expired: the server does not know it, or no longer. */
export function expired(): Explanation {
  return { message: text("gone"), advice: text("gone.advice"), reason: "gone" };
}

/**
 * Explain why there is no launch.
 *
 * @param server - its address, as given by the page
 * @param spec - what should have been launched
 */
export function explain(error: unknown, server: string, spec: string): Explanation {
  if (error instanceof InvalidValueError) {
    // An invalid address of the Jupyter server is not the page's.
    if (error.localized.key !== "unusable.url") tellAuthor(error.message);
    return { message: error.localized, advice: NOTHING, reason: "unusable" };
  }
  const isUnknown = error instanceof ApiError && !error.own && UNKNOWN.includes(error.status);
  if (isUnknown || error instanceof SyntaxError) return notOurs(server);
  if (error instanceof ApiError) return refused(error);
  const message = unreachable(error, server);
  if (!message.values?.host) return { message, advice: NOTHING, reason: "unreachable" };
  tellAuthor(forAuthor(message));
  // An address, such as https://github.com/user/repo, has no page.
  const page = /^[a-z]+\//.test(spec) ? `${serverUrl(server)}v2/${spec}` : "";
  return { message, advice: text("unusable.advice"), page, reason: "unreachable" };
}

/**
 * Say why a server does not answer. Pages cannot tell what their browser forbids from a server that is
 * down.
 *
 * @returns a message with the value `host` if the reason may be that this page is on another site
 */
export function unreachable(error: unknown, server: string): LocalizedText {
  if (error instanceof ApiError) return { text: error.message };
  if (!navigator.onLine || !isForeign(server)) return text("not-answered");
  const { host, hostname, protocol } = new URL(serverUrl(server));
  const origin = pageOrigin();
  const isLocal = /^(localhost|127(\.\d+){3}|\[::1\])$|\.localhost$/.test(hostname);
  if (globalThis.isSecureContext && protocol === "http:" && !isLocal) return text("unusable.mixed", { host });
  if (origin === "null") return text("unusable.sandbox", { host });
  return text("cors", { host, origin });
}

/** The server is neither a binderprogress server nor a BinderHub, or the page names none. */
function notOurs(server: string): Explanation {
  const message = text(server ? "unusable.answer" : "unusable.no-server");
  tellAuthor(
    `${serverUrl(server)} is neither a binderprogress server nor a BinderHub. ` +
      `${server ? "Correct" : "Set"} the attribute "server", such as server="https://hub.example.org".`,
  );
  return { message, advice: text("unusable.advice"), reason: "unusable" };
}

/** The server, or a proxy in front of it, refuses the launch. */
function refused({ message, own, reason, retryAfter, status }: ApiError): Explanation {
  const explanation = { message: { text: message }, advice: NOTHING, reason: reason || "refused" };
  // The server's sentence says for how long, too, but that does not count down.
  if (retryAfter && status === 429) {
    return { ...explanation, message: text("reason.rate-limited"), retryAt: Date.now() + 1000 * retryAfter };
  }
  // The proxy's server may be restarting.
  return own || status < 500 ? explanation : { ...explanation, advice: text("advice.hub-unreachable") };
}

/** What the author of a page can do about a server that does not answer. */
function forAuthor({ key, values: { host, origin } = {}, text }: LocalizedText): string {
  if (key === "unusable.mixed") {
    return `A page with https can only use a server with https. Set the attribute "server" to the https address of ${host}.`;
  }
  if (key === "unusable.sandbox") {
    return (
      `This page has no origin that ${host} could allow. If it is in a sandboxed frame, add allow-same-origin to the ` +
      `frame's attribute "sandbox". If it is a local file, serve it, for example with "python -m http.server".`
    );
  }
  return `${text} The origin is "${origin}".`;
}

function tellAuthor(text: string): void {
  console.error(`<binder-progress>: ${text}`);
}

function text(key: keyof typeof more, values: Record<string, string> = {}): LocalizedText {
  const filled = more[key].replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? "");
  return { key, values, text: filled };
}
