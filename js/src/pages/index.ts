// The script of index.html: an entry of the gallery launches in its card. Without it, and in a new
// tab, the card's link leads to the page that launches.
import "./index.css";
import type { BinderProgressElement } from "../element/element";
import type {} from "../element/element-events";
import { withoutTicket } from "./ticket";

const calm = matchMedia("(prefers-reduced-motion: reduce)");
const kept = storage();

/** A card of the gallery. */
class Card {
  readonly #card: HTMLElement;
  readonly #link: HTMLAnchorElement;
  /**
   * Under which name its launch is kept, so that a reload goes on with it. Not in the page's
   * address: that has one fragment for many cards, and is passed on, while the id is the launch's
   * key.
   */
  readonly #key: string;
  #run: HTMLElement | undefined;

  constructor(card: HTMLElement) {
    this.#card = card;
    this.#link = part(card, "launch");
    this.#key = `binderprogress.launch.${card.dataset.slug}`;
    this.#link.addEventListener("click", (event) => {
      // To a new tab or window, or to the disk.
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      void this.#launch();
    });
    const launch = kept?.getItem(this.#key);
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
    // Clicked twice.
    if (this.#run) return;
    const { top } = this.#card.getBoundingClientRect();
    const element = this.#open("");
    await element.updateComplete;
    element.focus({ preventScroll: true });
    this.#stayAt(top);
    // When it has its height: before, there would be too little to scroll to.
    element.addEventListener("progress", () => void this.#show(element), { once: true });
    // Not by `autostart`: that is for a page that has nothing else, and takes its focus when ready.
    void element.start();
  }

  async #show(element: BinderProgressElement): Promise<void> {
    await element.updateComplete;
    const behavior = calm.matches ? "instant" : "smooth";
    this.#card.scrollIntoView({ block: "nearest", behavior });
  }

  async #resume(launch: string): Promise<void> {
    await loadElement();
    this.#open(launch);
  }

  /** @param launch - the id of the one to go on with; empty: none yet */
  #open(launch: string): BinderProgressElement {
    const { spec = "", urlpath = "" } = this.#card.dataset;
    const { content } = document.querySelector<HTMLTemplateElement>("#run")!;
    const run = document.importNode(content, true).firstElementChild as HTMLElement;
    const title = this.#card.querySelector("h3")!.id;
    run.setAttribute("aria-labelledby", title);
    const element = run.querySelector("binder-progress")!;
    element.setAttribute("spec", spec);
    element.setAttribute("urlpath", urlpath);
    // The page around is English; the element speaks the language that the person reads.
    element.lang = navigator.language;
    if (launch) {
      element.setAttribute("launch", launch);
      this.#linkTo(run, launch);
    }
    element.addEventListener("started", ({ detail }) => {
      // It was closed meanwhile.
      if (this.#run !== run) return;
      kept?.setItem(this.#key, detail.launch);
      this.#linkTo(run, detail.launch);
    });
    const close = part<HTMLButtonElement>(run, "close");
    close.setAttribute("aria-describedby", title);
    close.addEventListener("click", () => {
      this.#close();
      // What is under way; a server that is ready stays.
      void element.cancel().then(() => run.remove());
    });
    this.#run = run;
    this.#link.hidden = true;
    this.#card.toggleAttribute("data-open", true);
    this.#card.append(run);
    return element;
  }

  #close(): void {
    kept?.removeItem(this.#key);
    const { top } = this.#card.getBoundingClientRect();
    this.#run!.hidden = true;
    this.#run = undefined;
    this.#link.hidden = false;
    this.#card.toggleAttribute("data-open", false);
    this.#stayAt(top);
    this.#link.focus();
  }

  /** Who looks at it must not lose it when it goes to another place in the page. */
  #stayAt(top: number): void {
    const moved = this.#card.getBoundingClientRect().top - top;
    scrollBy({ top: moved, behavior: "instant" });
  }

  #linkTo(run: HTMLElement, launch: string): void {
    const link = part<HTMLAnchorElement>(run, "own-page");
    link.href = `${withoutTicket(this.#link.href)}#launch=${encodeURIComponent(launch)}`;
    link.hidden = false;
  }
}

function part<T extends HTMLElement>(within: HTMLElement, name: string): T {
  return within.querySelector<T>(`[data-part="${name}"]`)!;
}

/** Load the element, and what it shows a launch with. */
function loadElement(): Promise<unknown> {
  return Promise.all([import("../element/define"), import("../element/view")]);
}

/** Nothing where the browser keeps nothing for this site: a reload then begins anew. */
function storage(): Storage | undefined {
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
  // If it fails, the click says so, by going to the page that launches.
  cards.addEventListener(type, () => void loadElement().catch(console.warn), { once: true });
}
