/**
 * Writes a launch into the page. It decides nothing: `launch-page.ts` does.
 */
import { part, setText } from "./dom";
import { LogView } from "./log-view";
import { STEPS, type Step, type StepState } from "./phases";

/** How the page is, for its style and its buttons. */
export type Mode = "starting" | "running" | "ready" | "failed" | "cancelled" | "gone";

/** What is said when a launch came to no server. */
export interface Outcome {
  title: string;
  message: string;
  advice: string;
  /** Lines of the log that say why. */
  evidence: readonly string[];
  /** What the button says that starts anew. */
  again: string;
}

const STATE_WORDS: Record<StepState, string> = {
  done: "done",
  current: "now",
  upcoming: "to come",
  skipped: "skipped",
  failed: "failed",
  cancelled: "cancelled",
};

/** The parts of the launch page. */
export class LaunchView {
  readonly log: LogView;
  readonly cancel: HTMLButtonElement;
  readonly again: HTMLButtonElement;

  readonly #root: HTMLElement;
  readonly #open: HTMLAnchorElement;
  readonly #bar: HTMLElement;
  readonly #fill: HTMLElement;
  readonly #percent: HTMLElement;
  readonly #live: HTMLElement;

  constructor(root: HTMLElement) {
    this.#root = root;
    this.log = new LogView(root);
    this.cancel = part<HTMLButtonElement>(root, "cancel");
    this.again = part<HTMLButtonElement>(root, "again");
    this.#open = part<HTMLAnchorElement>(root, "open");
    this.#bar = part(root, "bar");
    this.#fill = part(root, "fill");
    this.#percent = part(root, "percent");
    this.#live = part(root, "live");
  }

  /** Set what is offered and how it looks. */
  setMode(mode: Mode): void {
    const hadFocus = this.#root.contains(document.activeElement) ? document.activeElement : null;
    this.#root.dataset.mode = mode;
    const over = mode === "failed" || mode === "cancelled" || mode === "gone";
    this.cancel.hidden = mode !== "running";
    this.#open.hidden = mode !== "ready";
    this.again.hidden = !over;
    part(this.#root, "outcome").hidden = !over;
    part(this.#root, "panel").hidden = mode === "gone";
    part(this.#root, "log").hidden = mode === "gone";
    // A button that vanishes must not take the focus with it.
    if (over && hadFocus === this.cancel) this.again.focus();
  }

  /** Say where it stands in words. */
  setHeadline(phase: string, step: string): void {
    setText(part(this.#root, "phase"), phase);
    setText(part(this.#root, "step"), step);
  }

  /** Show the row of steps. */
  setSteps(states: Record<Step, StepState>): void {
    for (const step of STEPS) {
      const item = part(this.#root, `step-${step}`);
      const state = states[step];
      if (item.dataset.state === state) continue;
      item.dataset.state = state;
      setText(part(item, "state"), STATE_WORDS[state]);
      if (state === "current") item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    }
  }

  /** Move the bar. Called on each frame: only what is drawn. */
  drawBar(percent: number): void {
    const rest = (100 - percent).toFixed(3);
    this.#fill.style.setProperty("clip-path", `inset(0 ${rest}% 0 0 round 99px)`);
  }

  /** Say where the bar stands; nothing before anybody knows. */
  setPercent(percent: number | undefined, words: string): void {
    setText(this.#percent, percent === undefined ? "" : `${percent}%`);
    if (percent === undefined) {
      this.#bar.removeAttribute("aria-valuenow");
    } else {
      this.#bar.setAttribute("aria-valuenow", String(percent));
    }
    this.#bar.setAttribute("aria-valuetext", words);
  }

  /** Say how long it has taken and how long it will. */
  setTimes(elapsed: string, left: string): void {
    setText(part(this.#root, "elapsed"), elapsed);
    setText(part(this.#root, "left"), left);
  }

  /** Whether the server is out of reach; nothing moves then as if it were not. */
  setLost(lost: boolean): void {
    this.#root.toggleAttribute("data-lost", lost);
  }

  /** Say something about the connection; nothing when it is well. */
  setNotice(text: string): void {
    this.#optional("notice", text);
  }

  /** Say that it is being cancelled. The button keeps the focus: it is not `disabled`. */
  setCancelling(cancelling: boolean): void {
    this.cancel.setAttribute("aria-disabled", String(cancelling));
  }

  /** Say why there is no server. */
  setOutcome(outcome: Outcome): void {
    setText(part(this.#root, "outcome-title"), outcome.title);
    this.#optional("outcome-message", outcome.message);
    this.#optional("outcome-advice", outcome.advice);
    this.#optional("outcome-evidence", outcome.evidence.join("\n"));
    setText(this.again, outcome.again);
  }

  /** Offer the server, and put the focus there unless someone is reading the log. */
  setOpen(url: string): void {
    this.#open.href = url;
    if (!part(this.#root, "log").contains(document.activeElement)) this.#open.focus();
  }

  /** Where the whole log is. */
  setLogUrl(url: string): void {
    for (const link of this.#root.querySelectorAll<HTMLAnchorElement>("[data-log-link]")) {
      link.href = url;
    }
  }

  /** Say something to those who do not see the page. */
  announce(text: string): void {
    setText(this.#live, text);
  }

  #optional(name: string, text: string): void {
    const element = part(this.#root, name);
    element.hidden = text === "";
    setText(element, text);
  }
}
