/**
 * The element `<binder-progress>`. Importing this registers nothing; `define.ts` does.
 */
import { LitElement, nothing, type PropertyValues, unsafeCSS } from "lit";
import styles from "./element.css?inline";
import type { BinderProgressEventMap, ProgressDetail } from "./element-events";
import type { Phase } from "../wire/event";
import { FocusKeeper } from "./focus";
import { Language } from "../i18n/language";
import { Lazy } from "./lazy";
import { isOver, LaunchSession, type Mode, now, type Outcome, type Source } from "../session/session";
import type { Shown } from "./shown";
import { type Parts, template } from "./template";
import type { ViewHost } from "./view";

/** What the DOM's own types do not know: its `progress` has another type. */
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
 * Launches a repository, and shows how far it is until its server answers.
 *
 * @fires started - a launch was started here: `{ launch, spec }`
 * @fires phasechange - the launch is in another phase: `{ phase, previous }`
 * @fires progress - the percent, the step or the words changed: {@link ProgressDetail}
 * @fires ready - the server answers: `{ url, launch }`
 * @fires failed - there will be no server: `{ reason, message, advice, evidence }`
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
    line: { type: Number },
  };

  static override get observedAttributes(): string[] {
    return [...super.observedAttributes, "lang"];
  }

  /** The address of the binderprogress server; by default the root of the page's own. */
  declare server: string;
  /** The older name of `server`. */
  declare hub: string | undefined;
  /** What to launch: `<provider>/<...>/<ref>`. */
  declare spec: string;
  /** What to open in the ready server, as `lab/tree/index.ipynb`. */
  declare urlpath: string;
  /** What to do with a ready server besides showing its link; anything else is `none`. */
  declare open: "none" | "same-tab" | "new-tab";
  /** The id of the launch: of one to resume, or of the one that was started here. */
  declare launch: string;
  /** Start without a click. */
  declare autostart: boolean;
  /** Let `autostart` ask first: somebody else's link led here. */
  declare ask: boolean;
  /** Show the state in the page's title and icon. */
  declare tab: boolean;
  /** The line of the log to show, from 1; the log is opened there. */
  declare line: number;

  readonly #session = new LaunchSession({
    changed: (urgent) => this.#changed(urgent),
    started: (launch) => {
      this.launch = launch;
      this.#fire("started", { launch, spec: this.spec });
    },
    phase: (phase, previous) => this.#fire("phasechange", { phase, previous }),
    ready: (url) => this.#ready(url),
    failed: (failure) => {
      const broken = this.#session.mode === "failed";
      if (broken) void this.updateComplete.then(() => this.#view.value?.openLog());
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
  #told: ProgressDetail | undefined;
  #appeared = false;
  #left = false;
  #clock: ReturnType<typeof setInterval> | undefined;
  #pending = false;
  #moving = false;

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
      wanted: this.#session.mode === "ready" ? "open" : "",
      fallback: isOver(this.#session.mode) ? "again" : "panel",
    }));
  }

  /** The phase of the launch; nothing before its first event. */
  get phase(): Phase | undefined {
    return this.#session.model.event?.phase;
  }

  /** Start a launch. One that is under way goes on, and no second one is started. */
  async start(): Promise<void> {
    const { mode } = this.#session;
    if (mode !== "idle" && !isOver(mode)) return;
    this.#settings();
    this.#view.want();
    await this.#session.start();
  }

  /** Show a launch that is told by others; trying again asks them anew. */
  async follow(source: Source): Promise<void> {
    this.#session.source = source;
    await this.start();
  }

  /** Cancel the launch; it ends with the phase `cancelled`. */
  async cancel(): Promise<void> {
    await this.#session.cancel();
  }

  /** Start anew when a launch came to no server; else nothing happens. */
  async retry(): Promise<void> {
    if (isOver(this.#session.mode)) await this.start();
  }

  /** Focus what matters most of it now. */
  override focus(options?: FocusOptions): void {
    const all = ["open", "again", "launch", "panel"].map((id) => `#${id}:not([hidden])`);
    this.shadowRoot?.querySelector<HTMLElement>(all.join())?.focus(options);
  }

  override connectedCallback(): void {
    super.connectedCallback();
    // Whoever makes the element may set it up after it is in the page.
    queueMicrotask(() => {
      if (this.isConnected) this.#appear();
    });
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    // Unless it is only moved: a plain BinderHub's launch cannot be found again.
    queueMicrotask(() => {
      if (!this.isConnected) this.#leave();
    });
  }

  override attributeChangedCallback(name: string, old: string | null, value: string | null): void {
    super.attributeChangedCallback(name, old, value);
    if (name === "lang" && this.isConnected) this.#language.choose();
  }

  #appear(): void {
    const { mode, id } = this.#session;
    if (this.#appeared) {
      // It was taken out of the page, and put into it again.
      if (this.#left && (mode === "running" || mode === "starting") && id) this.#resume(id);
    } else if (this.launch) {
      this.#resume(this.launch);
    } else if (this.autostart) {
      if (this.ask) this.#session.ask();
      else void this.start();
    }
    this.#appeared = true;
    this.#left = false;
  }

  #leave(): void {
    this.#left = true;
    this.#session.leave();
    clearInterval(this.#clock);
    this.#clock = undefined;
    this.#view.value?.leave();
  }

  #resume(id: string): void {
    this.#settings();
    this.#view.want();
    this.#session.resume(id);
  }

  #settings(): void {
    this.#session.hub = (this.server || this.hub) ?? "";
    this.#session.spec = this.spec ?? "";
    this.#session.urlpath = this.urlpath ?? "";
  }

  /** Nothing is shown in English first, to be replaced a moment later. */
  protected override async scheduleUpdate(): Promise<void> {
    await this.#language.loading;
    super.scheduleUpdate();
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("line") && this.line) this.#changed(false);
    if (!this.#appeared || !changed.has("launch")) return;
    if (this.launch && this.launch !== this.#session.id) this.#resume(this.launch);
  }

  protected override render(): unknown {
    const { mode, lost, notice, outcome } = this.#session;
    const { words } = this.#language;
    const over = isOver(mode) ? outcome : undefined;
    const frame = {
      mode,
      lost,
      notice: notice ? words.tell(notice) : "",
      again: over ? words.say(over.again) : "",
      live: this.#live(over),
      spec: this.spec,
      start: () => void this.start(),
    };
    const view = mode === "idle" ? undefined : this.#view.value;
    return template(frame, { ...view?.parts(), ...this.#ended(over) }, words);
  }

  #live(over: Outcome | undefined): string {
    if (this.#session.mode !== "gone" || !over) return this.#view.value?.shown.live ?? "";
    const { words } = this.#language;
    // Said once, and whole.
    if (this.#ending.failed) return words.tell(over.message);
    return this.#ending.value ? `${words.say(over.title)}. ${words.tell(over.message)}` : "";
  }

  #ended(over: Outcome | undefined): Pick<Parts, "outcome" | "waterfall"> {
    const { words } = this.#language;
    const part = this.#ending.value;
    if (part) return part.ending(this.#session, words);
    // Offline it cannot be loaded, and why is what matters most.
    const why = over && this.#ending.failed ? words.tell(over.message) : nothing;
    return { outcome: why, waterfall: nothing };
  }

  #fire<K extends keyof BinderProgressEventMap>(
    type: K,
    detail: BinderProgressEventMap[K]["detail"],
  ): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  #ready(url: string): void {
    this.#fire("ready", { url, launch: this.#session.id });
    this.#view.value?.tellReady();
    // A browser may keep it from opening a tab without a click; the link stays.
    if (this.open === "new-tab") window.open(url, "_blank", "noopener");
    if (this.open !== "same-tab") return;
    // `replace`: going back must not come here, if that would lead forth again.
    if (this.autostart || this.hasAttribute("launch")) location.replace(url);
    else location.assign(url);
  }

  #changed(urgent: boolean): void {
    this.#pending = true;
    // Not at the next frame: a page in the background has none.
    if (urgent) this.#tick();
    if (!this.isConnected) return;
    this.#clock ??= setInterval(() => this.#tick(), 1000);
    if (this.#moving) return;
    this.#moving = true;
    requestAnimationFrame((time) => this.#frame(time));
  }

  /** Words, numbers and steps: after events, and once a second. */
  #tick(): void {
    this.#pending = false;
    const { mode } = this.#session;
    if (mode !== "idle" && mode !== "starting") this.#ending.want();
    this.requestUpdate();
    const shown = this.#view.value?.tick(now());
    if (shown) this.#tell(shown);
    if (!isMoving(mode)) {
      clearInterval(this.#clock);
      this.#clock = undefined;
    }
  }

  #tell({ label, step, percent }: Shown): void {
    const told = this.#told;
    if (label === told?.label && step === told.step && percent === told.percent) return;
    const { model } = this.#session;
    const [elapsed, left] = [model.elapsed(now()), model.left(now())];
    this.#told = { phase: this.phase, label, step, percent, elapsed, left };
    this.#fire("progress", this.#told);
  }

  /** The bar and the log, before the browser draws; until the end is drawn. */
  #frame(time: number): void {
    if (this.#pending) this.#tick();
    const gliding = this.#view.value?.frame(time, now()) === true;
    this.#moving = this.isConnected && (isMoving(this.#session.mode) || gliding);
    if (this.#moving) requestAnimationFrame((next) => this.#frame(next));
  }

  #viewHost(): ViewHost {
    return {
      session: this.#session,
      shadow: this.shadowRoot!,
      spec: () => this.spec,
      line: () => this.line,
      lineTaken: () => {
        this.line = 0;
      },
      inTab: () => this.tab && this.isConnected,
      words: () => this.#language.words,
      cancel: () => void this.cancel(),
      changed: () => this.#changed(true),
    };
  }
}

function isMoving(mode: Mode): boolean {
  return mode === "starting" || mode === "running";
}
