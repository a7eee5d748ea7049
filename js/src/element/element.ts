/**
 * The element `<binder-progress>`. Importing this does not register it, `define.ts` does.
 */
import { LitElement, nothing, type PropertyValues, unsafeCSS } from "lit";
import styles from "./element.css?inline";
import type { BinderProgressEventMap, ProgressDetail } from "./element-events";
import type { Phase } from "../wire/event";
import { FocusKeeper } from "./focus";
import { Language } from "../i18n/language";
import { Lazy } from "./lazy";
import type { Outcome } from "../session/outcome";
import { isOver, LaunchSession, type LaunchSource, type Mode, now } from "../session/session";
import type { ViewState } from "./view-state";
import { type Parts, template } from "./template";
import type { ViewHost } from "./view";

/** Listeners with the types of the element's events: the DOM's `progress` has another type. */
export interface BinderProgressElement {
  addEventListener<K extends keyof BinderProgressEventMap>(
    type: K,
    listener: (this: BinderProgressElement, event: BinderProgressEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject,
    options?: boolean | AddEventListenerOptions,
  ): void;
}

/**
 * Launches a repository, and shows its progress until the Jupyter server responds.
 *
 * @fires started - the element has started a launch: `{ launch, spec }`
 * @fires phasechange - the launch has entered another phase: `{ phase, previous }`
 * @fires progress - the percentage, step or label has changed: {@link ProgressDetail}
 * @fires ready - the Jupyter server responds: `{ url, launch }`
 * @fires failed - there will be no Jupyter server: `{ reason, message, advice, evidence }`
 */
export class BinderProgressElement extends LitElement {
  static override styles = unsafeCSS(styles);

  static override properties = {
    server: {},
    hub: {},
    spec: {},
    urlpath: {},
    open: {},
    launch: {},
    autostart: { type: Boolean },
    ask: { type: Boolean },
    tab: { type: Boolean },
    line: {},
  };

  static override get observedAttributes(): string[] {
    return [...super.observedAttributes, "lang"];
  }

  /** The address of the binderprogress server; by default, the root of the page's own site. */
  declare server: string;
  /** The old name of `server`. */
  declare hub: string | undefined;
  /** What to launch: `<provider>/<...>/<ref>`. */
  declare spec: string;
  /** What to open on the Jupyter server, such as `lab/tree/index.ipynb`. */
  declare urlpath: string;
  /** How to open the Jupyter server when it is ready. Any other value counts as `none`. */
  declare open: "none" | "same-tab" | "new-tab";
  /** The id of the launch: one to resume, or the one that the element has started. */
  declare launch: string;
  /** Start without a click. */
  declare autostart: boolean;
  /** Ask before `autostart` starts a launch, because the user followed a link from another site. */
  declare ask: boolean;
  /** Show the progress in the page's title and icon. */
  declare tab: boolean;
  /** Open the log at this line, counted from 1, or at several, such as `10-20`. */
  declare line: number | string;

  readonly #session = new LaunchSession({
    changed: (urgent) => this.#changed(urgent),
    started: (launch) => {
      this.launch = launch;
      this.#fire("started", { launch, spec: this.spec });
    },
    phase: (phase, previous) => this.#fire("phasechange", { phase, previous }),
    ready: (url) => this.#ready(url),
    failed: (failure) => {
      const hasLog = this.#session.mode === "failed";
      if (hasLog) void this.updateComplete.then(() => this.#view.value?.openLog());
      this.#fire("failed", failure);
    },
  });
  readonly #language = new Language(this, () => this.#changed(true));
  readonly #view = new Lazy(
    async () => new (await import("./view")).LaunchView(this.#viewHost()),
    (view) => {
      if (!view) this.#session.notice = { key: "not-part" };
      this.#changed(true);
    },
  );
  readonly #ending = new Lazy(
    () => import("./ending"),
    (part) => {
      if (part) this.shadowRoot?.adoptedStyleSheets.push(part.sheet);
      this.#changed(true);
    },
  );
  #progress: ProgressDetail | undefined;
  #wasConnected = false;
  #wasRemoved = false;
  #clock: ReturnType<typeof setInterval> | undefined;
  #hasChanges = false;
  #isAnimating = false;

  constructor() {
    super();
    this.server = "";
    this.spec = "";
    this.urlpath = "";
    this.open = "none";
    this.launch = "";
    this.line = 0;
    this.autostart = false;
    this.ask = false;
    this.tab = false;
    new FocusKeeper(this, () => ({
      awaited: this.#session.mode === "ready" ? "open" : "",
      fallback: isOver(this.#session.mode) ? "again" : "panel",
    }));
  }

  /** The current phase; nothing before the first event. */
  get phase(): Phase | undefined {
    return this.#session.model.event?.phase;
  }

  /** Start a launch, unless one is running. */
  async start(): Promise<void> {
    const { mode } = this.#session;
    if (mode !== "idle" && !isOver(mode)) return;
    this.#configure();
    this.#view.want();
    await this.#session.start();
  }

  /** Show a launch that was started elsewhere. A retry calls `source` again. */
  async follow(source: LaunchSource): Promise<void> {
    this.#session.source = source;
    await this.start();
  }

  /** Cancel the launch. It ends in the phase `cancelled`. */
  async cancel(): Promise<void> {
    await this.#session.cancel();
  }

  /** Start a new launch if the last one ended without a server. */
  async retry(): Promise<void> {
    if (isOver(this.#session.mode)) await this.start();
  }

  /** Focus the most important control. */
  override focus(options?: FocusOptions): void {
    const all = ["open", "again", "launch", "panel"].map((id) => `#${id}:not([hidden])`);
    this.shadowRoot?.querySelector<HTMLElement>(all.join())?.focus(options);
  }

  override connectedCallback(): void {
    super.connectedCallback();
    // Attributes may be set right after the element is added to the page.
    queueMicrotask(() => {
      if (this.isConnected) this.#connected();
    });
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    // Not if it is only moved: a launch on a plain BinderHub could not be resumed.
    queueMicrotask(() => {
      if (!this.isConnected) this.#removed();
    });
  }

  override attributeChangedCallback(name: string, old: string | null, value: string | null): void {
    super.attributeChangedCallback(name, old, value);
    if (name === "lang" && this.isConnected) this.#language.choose();
  }

  #connected(): void {
    const { mode, id } = this.#session;
    if (this.#wasConnected) {
      // It was removed from the page and added again.
      if (this.#wasRemoved && (mode === "running" || mode === "starting") && id) this.#resume(id);
    } else if (this.launch) {
      this.#resume(this.launch);
    } else if (this.autostart) {
      if (this.ask) this.#session.ask();
      else void this.start();
    }
    this.#wasConnected = true;
    this.#wasRemoved = false;
  }

  #removed(): void {
    this.#wasRemoved = true;
    this.#session.leave();
    clearInterval(this.#clock);
    this.#clock = undefined;
    this.#view.value?.restoreTab();
  }

  #resume(id: string): void {
    this.#configure();
    this.#view.want();
    this.#session.resume(id);
  }

  #configure(): void {
    this.#session.server = (this.server || this.hub) ?? "";
    this.#session.spec = this.spec ?? "";
    this.#session.urlpath = this.urlpath ?? "";
  }

  /** Wait for the language: English texts must not appear for a moment. */
  protected override async scheduleUpdate(): Promise<void> {
    await this.#language.loading;
    super.scheduleUpdate();
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("line") && this.line) this.#changed(false);
    if (!this.#wasConnected || !changed.has("launch")) return;
    if (this.launch && this.launch !== this.#session.id) this.#resume(this.launch);
  }

  protected override render(): unknown {
    const { mode, lost, notice, outcome } = this.#session;
    const { words } = this.#language;
    const shown = isOver(mode) ? outcome : undefined;
    const view = mode === "idle" ? undefined : this.#view.value;
    const frame = {
      mode,
      lost,
      notice: notice ? words.localize(notice) : lost ? (view?.state.lost ?? words.say("lost")) : "",
      again: shown ? words.say(shown.again) : "",
      live: this.#live(shown),
      spec: this.spec,
      start: () => void this.start(),
    };
    return template(frame, { ...view?.parts(), ...this.#endingParts(shown) }, words);
  }

  /** Announce the end once, in full: when the part is loaded that shows it. */
  #live(outcome: Outcome | undefined): string {
    const { words } = this.#language;
    if (!outcome) return this.#view.value?.state.live ?? "";
    if (this.#ending.failed) return words.localize(outcome.message);
    return this.#ending.value?.spokenOutcome(outcome, words) ?? "";
  }

  #endingParts(outcome: Outcome | undefined): Partial<Parts> {
    const { words } = this.#language;
    const showLine = (line: number) => {
      this.line = line;
    };
    const part = this.#ending.value?.ending(this.#session, words, showLine);
    // Offline, the part cannot be loaded. The message matters most.
    return part ?? { outcome: outcome && this.#ending.failed ? words.localize(outcome.message) : nothing };
  }

  #fire<K extends keyof BinderProgressEventMap>(
    type: K,
    detail: BinderProgressEventMap[K]["detail"],
  ): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  #ready(url: string): void {
    this.#fire("ready", { url, launch: this.#session.id });
    this.#view.value?.notifyReady();
    // The browser may block a new tab without a click. The link remains.
    if (this.open === "new-tab") window.open(url, "_blank", "noopener");
    if (this.open !== "same-tab") return;
    // Going back must not return to a page that leads forward again.
    if (this.autostart || this.hasAttribute("launch")) location.replace(url);
    else location.assign(url);
  }

  #changed(urgent: boolean): void {
    this.#hasChanges = true;
    // Not in the next frame: a page in the background has no frames.
    if (urgent) this.#tick();
    if (!this.isConnected) return;
    this.#clock ??= setInterval(() => this.#tick(), 1000);
    if (this.#isAnimating) return;
    this.#isAnimating = true;
    requestAnimationFrame((time) => this.#frame(time));
  }

  /** Update texts and numbers: after events, and once a second. */
  #tick(): void {
    this.#hasChanges = false;
    const { mode } = this.#session;
    if (mode !== "idle" && mode !== "starting") this.#ending.want();
    this.requestUpdate();
    const shown = this.#view.value?.tick(now());
    if (shown) this.#fireProgress(shown);
    if (!isActive(mode)) {
      clearInterval(this.#clock);
      this.#clock = undefined;
    }
  }

  #fireProgress({ label, step, percent }: ViewState): void {
    const last = this.#progress;
    if (label === last?.label && step === last.step && percent === last.percent) return;
    const { model } = this.#session;
    const [elapsed, left] = [model.elapsed(now()), model.left(now())];
    this.#progress = { phase: this.phase, label, step, percent, elapsed, left };
    this.#fire("progress", this.#progress);
  }

  /** Draw the bar and the log, once a frame, until the launch has ended and the bar stands still. */
  #frame(time: number): void {
    if (this.#hasChanges) this.#tick();
    const isGliding = this.#view.value?.frame(time, now()) === true;
    this.#isAnimating = this.isConnected && (isActive(this.#session.mode) || isGliding);
    if (this.#isAnimating) requestAnimationFrame((next) => this.#frame(next));
  }

  #viewHost(): ViewHost {
    return {
      session: this.#session,
      shadow: this.shadowRoot!,
      spec: () => this.spec,
      line: () => this.line,
      lineShown: () => {
        this.line = 0;
      },
      showsInTab: () => this.tab && this.isConnected,
      words: () => this.#language.words,
      cancel: () => void this.cancel(),
      changed: () => this.#changed(true),
    };
  }
}

function isActive(mode: Mode): boolean {
  return mode === "starting" || mode === "running";
}
