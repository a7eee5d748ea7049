/**
 * Shows `<binder-progress>` for the launches of thebe, and of pages that are built on thebe-core, such as
 * those of MyST and Jupyter Book: `<script type="module" src="…/static/thebe.js">`.
 *
 * thebe launches with an `EventSource` for the `/build/` of a BinderHub. This script puts another class in
 * its place, which lets the element launch, and tells thebe when the server is ready. Any other
 * `EventSource` stays as it is.
 */
import type { BinderProgressElement } from "../element/element";

/** Where the element is put, if the page says so. */
const PLACE = "[data-binder-progress]";

/** The address of a BinderHub's `/build/`: what is before it, and the spec. */
const BUILD = /^(.*?)\/build\/([a-z]+\/.+)$/;

/** An element that MyST's directive `anywidget` has made for this script. */
let widget: HTMLElement | undefined;

/** The element of the launch that the page waits for. */
let shown: HTMLElement | undefined;

/** A site that replaces its pages without loading them anew may take the place of the element away. */
const leaving = new MutationObserver(() => {
  // Callbacks of observers run before the element notices that it was removed, so its launch goes on.
  if (shown && !shown.isConnected) place(shown);
});

/** What the server and the launch of an address are; nothing if it is not that of a build. */
export function buildOf(address: string | URL): { server: string; spec: string } | undefined {
  const url = new URL(address, document.baseURI);
  const [, base, spec] = BUILD.exec(url.pathname) ?? [];
  // The element could not pass on a query, such as a build token.
  if (!spec || url.search) return undefined;
  return { server: `${url.origin}${base}/`, spec };
}

/** A launch of the element that looks like an `EventSource` of a BinderHub. */
export class LaunchSource extends EventTarget {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSED = 2;

  readonly CONNECTING = 0;
  readonly OPEN = 1;
  readonly CLOSED = 2;
  readonly withCredentials = false;
  readyState = 0;
  onopen: ((event: Event) => unknown) | null = null;
  onmessage: ((event: MessageEvent<string>) => unknown) | null = null;
  /** Never called: the element reconnects by itself, and shows failures. */
  onerror: ((event: Event) => unknown) | null = null;
  readonly #element: BinderProgressElement;

  constructor(
    readonly url: string,
    build: { server: string; spec: string },
  ) {
    super();
    void this.#load(build.server);
    const element = document.createElement("binder-progress");
    element.setAttribute("server", build.server);
    element.setAttribute("spec", build.spec);
    element.setAttribute("autostart", "");
    element.setAttribute("variant", "page");
    // thebe forgets its launches, too.
    element.setAttribute("memory", "none");
    element.addEventListener("phasechange", ({ detail }) => this.#phase(detail.phase));
    element.addEventListener("ready", ({ detail }) => this.#ready(detail.url));
    this.#element = element;
    show(element);
  }

  /** Stop. A launch that is running is cancelled, because nobody waits for its server. */
  close(): void {
    if (this.readyState === this.CLOSED) return;
    this.readyState = this.CLOSED;
    void this.#element.cancel?.();
    hide(this.#element);
  }

  /** Load the script of the element, unless the page has done so. */
  async #load(server: string): Promise<void> {
    if (customElements.get("binder-progress")) return;
    const script = elementScript(import.meta.url, server);
    try {
      await import(/* @vite-ignore */ script);
    } catch (error) {
      console.error(error);
      if (this.readyState === this.CLOSED) return;
      this.readyState = this.CLOSED;
      hide(this.#element);
      this.#message({ phase: "failed", message: `Cannot load ${script}, which shows the launch.` });
    }
  }

  #phase(phase: string): void {
    if (this.readyState === this.CONNECTING) {
      this.readyState = this.OPEN;
      this.#send(new Event("open"));
    }
    // The element has a button to try again after a failure, so thebe must not give up yet.
    if (phase === "failed" || phase === "ready") return;
    if (phase === "cancelled") this.#message({ phase: "failed", message: "The launch was cancelled." });
    else this.#message({ phase, message: "" });
  }

  #ready(opened: string): void {
    const url = new URL(opened);
    const token = url.searchParams.get("token") ?? "";
    url.search = url.hash = "";
    // The launch is over, and the page goes on with its server.
    this.readyState = this.CLOSED;
    this.#message({ phase: "ready", message: "", url: url.href, token });
    hide(this.#element);
  }

  #message(data: { phase: string; message: string; url?: string; token?: string }): void {
    this.#send(new MessageEvent("message", { data: JSON.stringify(data), origin: new URL(this.url).origin }));
  }

  #send(event: Event): void {
    this.dispatchEvent(event);
    if (event.type === "open") this.onopen?.(event);
    else this.onmessage?.(event as MessageEvent<string>);
  }
}

/**
 * The address of the element's script: beside this one. But `myst build` copies this script into the site,
 * with another name and without that of the element, which then comes from the server that launches.
 */
export function elementScript(self: string, server: string): string {
  const isCopy = !new URL(self).pathname.endsWith("/thebe.js");
  return new URL("binder-progress.js", isCopy ? `${server}static/` : self).href;
}

function show(element: HTMLElement): void {
  shown = element;
  place(element);
  leaving.observe(document, { childList: true, subtree: true });
}

function place(element: HTMLElement): void {
  const room = widget?.isConnected ? widget : document.querySelector(PLACE);
  if (room) {
    element.removeAttribute("style");
    room.replaceChildren(element);
    return;
  }
  // Not with a style sheet or an attribute, which a policy may forbid.
  Object.assign(element.style, {
    position: "fixed",
    insetBlockEnd: "1rem",
    insetInlineEnd: "1rem",
    inlineSize: "min(32rem, calc(100vw - 2rem))",
    maxBlockSize: "calc(100vh - 2rem)",
    overflow: "auto",
    zIndex: "1000",
  });
  document.body.append(element);
}

function hide(element: HTMLElement): void {
  element.remove();
  if (shown !== element) return;
  shown = undefined;
  leaving.disconnect();
}

/** Let the element do the launches of this page from now on. */
export function install(): void {
  const Original = window.EventSource;
  window.EventSource = new Proxy(Original, {
    construct(target, [address, options]: [string | URL, EventSourceInit?]) {
      const build = buildOf(address);
      return build ? new LaunchSource(String(address), build) : new target(address, options);
    },
  });
}

install();

/** For MyST's directive `anywidget`: the element appears where the directive is. */
export default {
  render({ el }: { el: HTMLElement }): () => void {
    widget = el;
    if (shown) place(shown);
    return () => {
      if (widget === el) widget = undefined;
    };
  },
};
