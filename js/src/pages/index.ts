// The script of index.html: launches an entry of the gallery in its card. Without it, and in a new
// tab, the card's link leads to the launch page.
import "./index.css";
import type { BinderProgressElement } from "../element/element";
import type {} from "../element/element-events";
import { withoutTicket } from "./ticket";

/** Milliseconds after which a card has the height of its launch. */
const SETTLED_AFTER = 2000;

const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
const storage = sessionStorageOrNothing();

/** A card of the gallery. */
class Card {
  readonly #card: HTMLElement;
  readonly #link: HTMLAnchorElement;
  /**
   * The storage key of its launch, which a reload resumes. The id is not in the page's address: there
   * are many cards, and addresses are shared while the id is secret.
   */
  readonly #key: string;
  #panel: HTMLElement | undefined;
  /** Whether a launch is running. */
  #isRunning = false;
  /** What is shown as its phase. */
  #label = "";

  constructor(card: HTMLElement) {
    this.#card = card;
    this.#link = part(card, "launch");
    this.#key = `binderprogress.launch.${card.dataset.slug}`;
    this.#link.addEventListener("click", (event) => {
      // The browser opens a new tab or window, or downloads the link.
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      void this.#launch();
    });
    const launch = storage?.getItem(this.#key);
    if (launch) void this.#resume(launch);
  }

  async #launch(): Promise<void> {
    try {
      await loadElement();
    } catch (error) {
      console.error(error);
      location.assign(this.#link.href);
      return;
    }
    // The link was clicked twice.
    if (this.#panel) return;
    const { top } = this.#card.getBoundingClientRect();
    const element = this.#open("");
    await element.updateComplete;
    element.focus({ preventScroll: true });
    this.#stayAt(top);
    element.addEventListener("progress", () => this.#scrollToCard(), { once: true });
    // Not with `autostart`, which moves the focus when the server is ready.
    void element.start();
  }

  /** Show all of the card, also as it grows by what the first events say. */
  #scrollToCard(): void {
    const behavior = reducedMotion.matches ? "instant" : "smooth";
    const sizes = new ResizeObserver(() => this.#card.scrollIntoView({ block: "nearest", behavior }));
    sizes.observe(this.#card);
    setTimeout(() => sizes.disconnect(), SETTLED_AFTER);
  }

  async #resume(launch: string): Promise<void> {
    await loadElement();
    this.#open(launch);
  }

  /** @param launch - the id of a launch to resume; empty for a new one */
  #open(launch: string): BinderProgressElement {
    const { spec = "", urlpath = "" } = this.#card.dataset;
    const { content } = document.querySelector<HTMLTemplateElement>("#run")!;
    const panel = document.importNode(content, true).firstElementChild as HTMLElement;
    this.#isRunning = true;
    const title = this.#card.querySelector("h3")!.id;
    panel.setAttribute("aria-labelledby", title);
    const element = panel.querySelector("binder-progress")!;
    element.setAttribute("spec", spec);
    element.setAttribute("urlpath", urlpath);
    if (launch) {
      element.setAttribute("launch", launch);
      this.#linkTo(panel, launch);
    }
    element.addEventListener("started", ({ detail }) => {
      this.#isRunning = true;
      storage?.setItem(this.#key, detail.launch);
      this.#linkTo(panel, detail.launch);
    });
    const close = part<HTMLButtonElement>(panel, "close");
    close.setAttribute("aria-describedby", title);
    close.addEventListener("click", () => {
      if (this.#isRunning) this.#hide(panel, element);
      else this.#close();
    });
    for (const type of ["ready", "failed"] as const) {
      element.addEventListener(type, () => (this.#isRunning = false));
    }
    element.addEventListener("progress", ({ detail }) => (this.#label = detail.label));
    element.addEventListener("phasechange", ({ detail }) => {
      if (detail.phase === "cancelled") this.#isRunning = false;
    });
    this.#panel = panel;
    this.#link.hidden = true;
    this.#card.toggleAttribute("data-open", true);
    this.#card.append(panel);
    return element;
  }

  /** Close the panel. A server that is ready keeps running. */
  #close(): void {
    storage?.removeItem(this.#key);
    const { top } = this.#card.getBoundingClientRect();
    this.#panel!.remove();
    this.#panel = undefined;
    this.#link.hidden = false;
    this.#card.toggleAttribute("data-open", false);
    this.#stayAt(top);
    this.#link.focus();
  }

  /** Hide the panel of a running launch, which goes on. The card says how far it is. */
  #hide(panel: HTMLElement, element: BinderProgressElement): void {
    const { content } = document.querySelector<HTMLTemplateElement>("#behind")!;
    const behind = document.importNode(content, true).firstElementChild as HTMLElement;
    const state = part(behind, "state");
    const say = (mode: "running" | "ready" | "failed") => {
      const text = state.dataset[mode]!.replace("{phase}", this.#label);
      // Screen readers announce each change.
      if (state.textContent !== text) state.textContent = text;
    };
    const goesOn = () => this.#isRunning && say("running");
    const stop = new AbortController();
    element.addEventListener("progress", goesOn, stop);
    element.addEventListener("failed", () => say("failed"), stop);
    element.addEventListener("ready", () => say("ready"), stop);
    const show = part<HTMLButtonElement>(behind, "show");
    show.setAttribute("aria-describedby", panel.getAttribute("aria-labelledby")!);
    show.addEventListener("click", () => {
      stop.abort();
      behind.remove();
      this.#toggle(panel, true);
      element.focus({ preventScroll: true });
    });
    this.#toggle(panel, false);
    this.#card.append(behind);
    // After it was added, so that screen readers announce it.
    goesOn();
    show.focus();
  }

  #toggle(panel: HTMLElement, isOpen: boolean): void {
    const { top } = this.#card.getBoundingClientRect();
    panel.hidden = !isOpen;
    this.#card.toggleAttribute("data-open", isOpen);
    this.#stayAt(top);
  }

  /** Keep the card at its place in the window when the layout changes. */
  #stayAt(top: number): void {
    const moved = this.#card.getBoundingClientRect().top - top;
    scrollBy({ top: moved, behavior: "instant" });
  }

  #linkTo(panel: HTMLElement, launch: string): void {
    const link = part<HTMLAnchorElement>(panel, "own-page");
    link.href = `${withoutTicket(this.#link.href)}#launch=${encodeURIComponent(launch)}`;
    link.hidden = false;
  }
}

function part<T extends HTMLElement>(within: HTMLElement, name: string): T {
  return within.querySelector<T>(`[data-part="${name}"]`)!;
}

/** Load the element and its view. */
function loadElement(): Promise<unknown> {
  return Promise.all([import("../element/register"), import("../element/view")]);
}

/** Return nothing if the browser allows no storage. A reload then forgets launches. */
function sessionStorageOrNothing(): Storage | undefined {
  try {
    return sessionStorage;
  } catch (error) {
    console.warn(error);
    return undefined;
  }
}

const cards = document.querySelector<HTMLElement>(".cards")!;
for (const card of cards.querySelectorAll<HTMLElement>(".card")) new Card(card);

for (const type of ["pointerenter", "focusin"]) {
  // If this fails, a click leads to the launch page.
  cards.addEventListener(type, () => void loadElement().catch(console.warn), { once: true });
}
