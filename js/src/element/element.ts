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
import { Memory } from "./memory";
import type { Outcome } from "../session/outcome";
import { isActive, isOver, LaunchSession, type LaunchSource, now } from "../session/session";
import type { ViewState } from "./view-state";
import { type Parts, template } from "./template";
import type { ViewHost } from "./view";
import { isOutdated } from "../wire/outdated";

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
    memory: {},
    variant: {},
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
  /** Where the id of the launch is remembered for a reload. Any value but `tab` counts as `none`. */
  declare memory: "tab" | "none";
  /** How large it is. Any other value counts as `block`. */
  declare variant: "block" | "compact" | "page";
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
      this.#isRemembered = false;
      this.#remember();
      this.#fire("started", { launch, spec: this.spec });
    },
    phase: (phase, previous) => {
      if (phase === "cancelled") this.#memory.value = undefined;
      this.#fire("phasechange", { phase, previous });
    },
    forgotten: () => this.#forgotten(),
    ready: (url) => this.#ready(url),
    failed: (failure) => {
      const opens = this.#session.mode === "failed" && this.variant === "page";
      if (opens) void this.updateComplete.then(() => this.#view.value?.openLog());
      this.#fire("failed", failure);
    },
  });
  readonly #language = new Language(this, () => this.#changed(true));
  readonly #view = new Lazy(
    async () => new (await import("./view")).LaunchView(this.#viewHost()),
    (view) => (view ? this.#changed(true) : this.#missed()),
  );
  readonly #ending = new Lazy(
    () => import("./ending"),
    (part) => {
      if (!part) return this.#missed();
      this.shadowRoot?.adoptedStyleSheets.push(part.sheet);
      this.#changed(true);
    },
  );
  readonly #memory = new Memory();
  /** Whether the page is from before an upgrade of the server. */
  #isOutdated = false;
  /** Whether the launch was started before the page was loaded. */
  #isRemembered = false;
  /** What can be launched, as the session knows it. */
  #target = "";
  #progress: ProgressDetail | undefined;
  #wasConnected = false;
  #wasRemoved = false;
  #clock: ReturnType<typeof setInterval> | undefined;
  #hasChanges = false;
  #isDrawing = false;

  constructor() {
    super();
    this.server = "";
    this.spec = "";
    this.urlpath = "";
    this.open = "none";
    this.launch = "";
    this.memory = "tab";
    this.variant = "block";
    this.line = 0;
    this.autostart = false;
    this.ask = false;
    this.tab = false;
    new FocusKeeper(this, () => ({
      awaited: this.#session.mode === "ready" ? "open" : "",
      fallback: this.#isOutdated ? "reload" : isOver(this.#session.mode) ? "again" : "panel",
    }));
  }

  /** The current phase; nothing before the first event. */
  get phase(): Phase | undefined {
    return this.#session.model.event?.phase;
  }

  /** Start a launch, unless one is running. */
  async start(): Promise<void> {
    if (isActive(this.#session.mode)) return;
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
    const all = ["reload", "open", "again", "launch", "panel"].map((id) => `#${id}:not([hidden])`);
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
    if (!this.#wasConnected) this.#begin();
    else if (this.#wasRemoved) {
      // It was removed from the page and added again.
      this.#configure();
      if (isActive(mode) && id) this.#resume(id);
    }
    this.#wasConnected = true;
    this.#wasRemoved = false;
  }

  /** Show the launch that the page names or the tab remembers, or start one if that is wanted. */
  #begin(): void {
    this.#configure();
    const known = this.#memory.value;
    this.#isRemembered = !this.launch && !!known;
    if (known && this.#isRemembered) {
      this.launch = known.id;
      this.#session.urlpath ||= known.urlpath;
    }
    if (this.launch) this.#resume(this.launch);
    else if (this.autostart && this.ask) this.#session.ask();
    else if (this.autostart) void this.start();
  }

  /** Remember the launch. A plain BinderHub's cannot be resumed. */
  #remember(opened = false): void {
    const { id, urlpath } = this.#session;
    this.#memory.value = id ? { id, urlpath, opened } : undefined;
  }

  /** The server has no such launch. Nobody asked for it if it was only remembered. */
  #forgotten(): boolean {
    this.#memory.value = undefined;
    if (!this.#isRemembered) return false;
    this.launch = "";
    this.#session.clear();
    this.#begin();
    return true;
  }

  #removed(): void {
    this.#wasRemoved = true;
    this.#target = "";
    this.#memory.release();
    this.#session.leave();
    clearInterval(this.#clock);
    this.#clock = undefined;
    this.#view.value?.leave();
  }

  #resume(id: string): void {
    this.#view.want();
    this.#session.resume(id);
  }

  /** What can be launched, in one text. */
  get #wanted(): string {
    return `${(this.server || this.hub) ?? ""} ${this.spec ?? ""}`;
  }

  /** Tell the session what to launch, unless it is a launch that it has begun. */
  #configure(): void {
    this.#session.urlpath = this.urlpath ?? "";
    if (this.#target === this.#wanted) return;
    this.#target = this.#wanted;
    this.#session.server = (this.server || this.hub) ?? "";
    this.#session.spec = this.spec ?? "";
    if (this.memory === "tab") this.#memory.choose(this.#session.server, this.spec);
  }

  /** Wait for the language: English texts must not appear for a moment. */
  protected override async scheduleUpdate(): Promise<void> {
    await this.#language.loading;
    super.scheduleUpdate();
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("line") && this.line) this.#changed(false);
    if (!this.#wasConnected || this.#wasRemoved) return;
    if (this.#target !== this.#wanted && !this.#session.source) {
      // Another repository. The launch of the last one goes on, and the tab remembers it.
      this.#session.clear();
      if (!changed.has("launch")) this.launch = "";
      this.#begin();
    } else if (changed.has("launch") && this.launch && this.launch !== this.#session.id) {
      this.#configure();
      this.#resume(this.launch);
    }
  }

  protected override render(): unknown {
    const { mode, lost, notice, outcome } = this.#session;
    const { words } = this.#language;
    const shown = isOver(mode) ? outcome : undefined;
    const view = mode === "idle" ? undefined : this.#view.value;
    const { variant } = this;
    const frame = {
      mode,
      variant: variant === "compact" || variant === "page" ? variant : "block",
      lost,
      notice: this.#isOutdated ? words.say("outdated") : notice ? words.localize(notice) : lost ? (view?.state.lost ?? words.say("lost")) : "",
      again: shown ? words.say(shown.again) : this.#offersAgain ? words.say("launch.again") : "",
      waits: this.#waits,
      outdated: this.#isOutdated,
      live: this.#live(shown),
      spec: this.spec,
      start: () => void this.start(),
    };
    return template(frame, { ...view?.parts(), ...this.#endingParts(shown) }, words);
  }

  /** Whether a new attempt would be refused now. */
  get #waits(): boolean {
    return (this.#session.outcome?.retryAt ?? 0) > Date.now();
  }

  /** Whether to offer another launch beside a server that may not be there any more. */
  get #offersAgain(): boolean {
    return this.#isRemembered && this.#session.mode === "ready";
  }

  /** Announce the end once, in full: when the part is loaded that shows it. */
  #live(outcome: Outcome | undefined): string {
    const { words } = this.#language;
    if (!outcome) return this.#view.value?.state.live ?? "";
    if (outcome.retryAt && !this.#waits) return words.say("retry");
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
    const isShown = outcome && this.#ending.failed && !this.#isOutdated;
    return part ?? { outcome: isShown ? words.localize(outcome.message) : nothing };
  }

  /** A part could not be loaded: the page is offline, or older than the server. */
  #missed(): void {
    this.#session.notice = { key: "not-part" };
    this.#changed(true);
    void isOutdated().then((is) => {
      this.#isOutdated ||= is;
      if (is) this.#changed(true);
    });
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
    const { id, opened } = this.#memory.value ?? {};
    // Who has started an earlier version meanwhile may be at work there.
    if ((opened && id === this.#session.id) || this.#view.value?.hasEarlier) return;
    if (this.open === "new-tab" || this.open === "same-tab") this.#remember(true);
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
    this.#clock ??= setInterval(() => {
      this.#tick();
      this.#draw();
    }, 1000);
    this.#draw();
  }

  /** Draw the bar and the log in the next frame. */
  #draw(): void {
    if (this.#isDrawing) return;
    this.#isDrawing = true;
    requestAnimationFrame(() => {
      this.#isDrawing = false;
      if (this.#hasChanges) this.#tick();
      this.#view.value?.frame(now());
    });
  }

  /** Update texts and numbers: after events, and once a second. */
  #tick(): void {
    this.#hasChanges = false;
    const { mode } = this.#session;
    if (mode !== "idle" && mode !== "starting") this.#ending.want();
    this.requestUpdate();
    const shown = this.#view.value?.tick(now());
    if (shown) this.#fireProgress(shown);
    if (!isActive(mode) && !this.#waits) {
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
      missed: () => this.#missed(),
    };
  }
}
