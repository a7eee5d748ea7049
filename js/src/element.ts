/**
 * The element `<binder-progress>`. Importing this registers nothing; `define.ts` does.
 */
import { LitElement, type PropertyValues, unsafeCSS } from "lit";
import styles from "./element.css?inline";
import type { BinderProgressEventMap, ProgressDetail } from "./element-events";
import type { Phase } from "./event";
import type { LogView } from "./log-view";
import { isOver, LaunchSession, type Mode, now } from "./session";
import { show, type Shown } from "./shown";
import { template } from "./template";
import { Words } from "./words";

/** How fast the drawn bar follows the model after a jump, in seconds. */
const FOLLOW = 0.18;

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
    hub: {},
    spec: {},
    urlpath: {},
    open: {},
    launch: {},
    autostart: { type: Boolean },
    ask: { type: Boolean },
  };

  /** The address of the binderprogress server; by default the root of the page's own. */
  declare hub: string;
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

  readonly #calm = matchMedia("(prefers-reduced-motion: reduce)");
  readonly #session = new LaunchSession({
    changed: (urgent) => this.#changed(urgent),
    started: (launch) => {
      this.launch = launch;
      this.#fire("started", { launch, spec: this.spec });
    },
    phase: (phase, previous) => this.#fire("phasechange", { phase, previous }),
    ready: (url) => this.#ready(url),
    failed: (failure) => {
      if (this.#session.mode === "failed") this.#openLog();
      this.#fire("failed", failure);
    },
  });
  #words = new Words();
  #shown: Shown = show(this.#session, 0, this.#words);
  #told: ProgressDetail | undefined;
  #log: LogView | undefined;
  #logLoading = false;
  #appeared = false;
  #hadFocus: Element | null = null;
  #shownMode: Mode = "idle";
  #clock: ReturnType<typeof setInterval> | undefined;
  #pending = false;
  #moving = false;
  #drawn = 0;
  #drawnAt = 0;

  constructor() {
    super();
    this.hub = "";
    this.spec = "";
    this.urlpath = "";
    this.open = "none";
    this.launch = "";
    this.autostart = false;
    this.ask = false;
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
    await this.#session.start();
  }

  /** Cancel the launch; it ends with the phase `cancelled`. */
  async cancel(): Promise<void> {
    await this.#session.cancel();
  }

  /** Start anew when a launch came to no server; else nothing happens. */
  async retry(): Promise<void> {
    if (isOver(this.#session.mode)) await this.start();
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
    this.#session.pause();
    clearInterval(this.#clock);
    this.#clock = undefined;
  }

  #appear(): void {
    const { mode, id } = this.#session;
    if (this.#appeared) {
      // It was taken out of the page, or moved in it.
      if (mode === "running" || (mode === "starting" && id)) void this.#resume(id);
    } else if (this.launch) {
      void this.#resume(this.launch);
    } else if (this.autostart) {
      if (this.ask) this.#session.ask();
      else void this.start();
    }
    this.#appeared = true;
  }

  #resume(id: string): Promise<void> {
    this.#settings();
    return this.#session.resume(id);
  }

  #settings(): void {
    this.#session.hub = this.hub ?? "";
    this.#session.spec = this.spec ?? "";
    this.#session.urlpath = this.urlpath ?? "";
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    this.#hadFocus = this.shadowRoot?.activeElement ?? null;
    if (!this.#appeared || !changed.has("launch")) return;
    if (this.launch && this.launch !== this.#session.id) void this.#resume(this.launch);
  }

  protected override render(): unknown {
    return template(this.#shown, this.#words, this.spec, {
      start: () => void this.start(),
      cancel: () => void this.cancel(),
      logToggled: () => this.#logToggled(),
    });
  }

  protected override updated(): void {
    const { mode } = this.#session;
    if (mode === this.#shownMode) return;
    this.#shownMode = mode;
    const had = this.#hadFocus;
    // Unless someone reads the log, or is elsewhere in a page that holds more than this.
    const free = this.autostart && document.activeElement === document.body;
    if (mode === "ready" && ((had && !this.#part("log").contains(had)) || free)) {
      this.#part("open").focus();
    } else if (had instanceof HTMLElement && had.hidden) {
      // A button that vanishes must not take the focus with it.
      this.#part(isOver(mode) ? "again" : "panel").focus();
    }
  }

  #part<T extends HTMLElement>(id: string): T {
    return this.renderRoot.querySelector<T>(`#${id}`)!;
  }

  #fire<K extends keyof BinderProgressEventMap>(
    type: K,
    detail: BinderProgressEventMap[K]["detail"],
  ): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }

  #ready(url: string): void {
    this.#fire("ready", { url, launch: this.#session.id });
    // A browser may keep it from opening a tab without a click; the link stays.
    if (this.open === "new-tab") window.open(url, "_blank", "noopener");
    if (this.open !== "same-tab") return;
    // `replace`: going back must not come here, if that would lead forth again.
    if (this.autostart || this.hasAttribute("launch")) location.replace(url);
    else location.assign(url);
  }

  #openLog(): void {
    void this.updateComplete.then(() => {
      this.#part<HTMLDetailsElement>("log").open = true;
      this.#logToggled();
    });
  }

  #logToggled(): void {
    if (this.#log) this.#log.render(this.#session.log);
    else if (this.#part<HTMLDetailsElement>("log").open) void this.#loadLog();
  }

  async #loadLog(): Promise<void> {
    if (this.#logLoading) return;
    this.#logLoading = true;
    try {
      const { LogView } = await import("./log-view");
      this.#log = new LogView(this.#part("log-view"), this.shadowRoot!, {
        words: this.#words,
        source: () => ({ text: this.#shown.logUrl }),
        name: () => "log.txt",
        lineHref: (line) => `#launch=${encodeURIComponent(this.#session.id)}&line=${line}`,
      });
      this.#logToggled();
    } catch (error) {
      console.error(error);
      this.#part("log-view").textContent = this.#words.say("not-part");
    }
    this.#logLoading = false;
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
    const shown = show(this.#session, now(), this.#words);
    this.#shown = shown;
    this.requestUpdate();
    if (this.#calm.matches) this.#draw(shown.percent ?? 0);
    const { label, step, percent } = shown;
    const told = this.#told;
    if (label !== told?.label || step !== told.step || percent !== told.percent) {
      const { model } = this.#session;
      const [elapsed, left] = [model.elapsed(now()), model.left(now())];
      this.#told = { phase: this.phase, label, step, percent, elapsed, left };
      this.#fire("progress", this.#told);
    }
    if (!isMoving(shown.mode)) {
      clearInterval(this.#clock);
      this.#clock = undefined;
    }
  }

  /** The bar and the log, before the browser draws; until the end is drawn. */
  #frame(time: number): void {
    if (this.#pending) this.#tick();
    const { model, log, mode } = this.#session;
    this.#log?.render(log);
    // A new launch begins at the left again, at once.
    if (!model.event) this.#draw(0);
    const gap = this.#calm.matches ? 0 : model.at(now()) - this.#drawn;
    const seconds = Math.max(time - this.#drawnAt, 0) / 1000;
    this.#drawnAt = time;
    if (gap !== 0) {
      const share = Math.abs(gap) < 0.05 ? 1 : 1 - Math.exp(-seconds / FOLLOW);
      this.#draw(this.#drawn + gap * share);
    }
    this.#moving = this.isConnected && (isMoving(mode) || gap !== 0);
    if (this.#moving) requestAnimationFrame((next) => this.#frame(next));
  }

  #draw(percent: number): void {
    const fill = this.renderRoot?.querySelector<HTMLElement>("#fill");
    if (percent === this.#drawn || !fill) return;
    this.#drawn = percent;
    const rest = (100 - percent).toFixed(3);
    fill.style.setProperty("clip-path", `inset(0 ${rest}% 0 0 round 99px)`);
  }
}

function isMoving(mode: Mode): boolean {
  return mode === "starting" || mode === "running";
}
