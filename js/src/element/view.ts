/**
 * Shows a launch: panel, buttons, log and browser tab. Loaded when a launch starts.
 */
import { nothing } from "lit";
import { Announcer } from "./announcer";
import { Bar } from "./bar";
import { lineHref, lineRange, logName, logSections } from "./log-names";
import { percentText } from "../i18n/times";
import { EarlierVersion, sheet as earlierSheet } from "./earlier";
import { Lazy } from "./lazy";
import { Notifier } from "./notify";
// For the session: it may be offline when it needs them.
import "../session/explain";
import "../wire/watch";
import { LaunchTranscript } from "../session/transcript";
import { buttons, log, panel, sheet } from "./running";
import { buildLogUrl, type EarlierLog, earlierLog } from "../session/build-log";
import { type LaunchSession, now } from "../session/session";
import { isWaiting, type ViewState, viewState } from "./view-state";
import { wake } from "./wake";
import type { Parts } from "./template";
import type { Words } from "../i18n/words";

/** The lines of a log that are kept in the page if the server has all of them. */
const HELD_LINES = 20_000;

/** The interface of the element to its view. */
export interface ViewHost {
  readonly session: LaunchSession;
  readonly shadow: ShadowRoot;
  /** The spec of the launch. */
  spec(): string;
  /** The line of the log to show, or several, counted from 1; 0 for none. */
  line(): number | string;
  /** Called when that line is shown. */
  lineShown(): void;
  /** Whether to show the launch in the page's title and icon. */
  showsInTab(): boolean;
  words(): Words;
  cancel(): void;
  changed(): void;
  /** A part could not be loaded. */
  missed(): void;
}

/** The view of an element, for all its launches. */
export class LaunchView {
  state: ViewState;

  readonly #host: ViewHost;
  readonly #bar: Bar;
  readonly #announcer = new Announcer();
  /** The log of the build of a launch that is ready, as far as the server was asked. */
  #builtBefore: { id: string; log?: EarlierLog | undefined } | undefined;
  /** When the connection was lost, or the storage, in seconds since 1970. */
  #lostAt: number | undefined;
  readonly #notifier: Notifier;
  readonly #earlier: EarlierVersion;
  /** For the lines of the log. It outlives what is drawn around it. */
  readonly #logBox = Object.assign(document.createElement("div"), { id: "log-view" });
  readonly #tab = new Lazy(
    async () => new (await import("./tab")).Tab(),
    () => this.#host.changed(),
  );
  readonly #log = new Lazy(
    async () => {
      const { LogView } = await import("../log/log-view");
      const { session, shadow } = this.#host;
      return new LogView(this.#logBox, shadow, {
        words: this.#host.words(),
        spec: () => session.spec,
        source: () => ({
          text: session.id ? `${session.launchUrl}/log?format=plain` : undefined,
          parts: session.id ? `${session.launchUrl}/log` : "",
          permanent: buildLogUrl(session),
        }),
        name: () => logName(this.#host.spec(), session.transcript?.commit ?? ""),
        lineHref: (line, to) => lineHref(session, line, to),
        sections: () => logSections(session, this.#host.words()),
        progress: () => {
          const { label, percent, url } = this.state;
          const text = percent === undefined ? "" : percentText(this.#host.words(), percent);
          return { phase: label, percent: text, url };
        },
      });
    },
    (view) => {
      const { session } = this.#host;
      if (view && session.notice?.key === "not-part") {
        session.notice = undefined;
        this.#host.changed();
      }
      if (view) return this.#showLog();
      this.#host.missed();
    },
  );

  constructor(host: ViewHost) {
    this.#host = host;
    this.#bar = new Bar((id) => this.#part(id));
    this.#notifier = new Notifier((notice) => {
      if (notice) host.session.notice = notice;
      host.changed();
    });
    host.session.remember(() => new LaunchTranscript());
    this.#earlier = new EarlierVersion(host.session, () => host.changed());
    host.shadow.adoptedStyleSheets.push(sheet, earlierSheet);
    // Nothing moves where nobody sees it.
    new IntersectionObserver((entries) => {
      const isUnseen = entries.at(-1)?.isIntersecting === false;
      host.shadow.querySelector(".root")?.toggleAttribute("data-unseen", isUnseen);
    }).observe(host.shadow.host);
    this.state = this.tick(now());
  }

  /** Update texts and numbers for a local time: after events, and once a second. */
  tick(time: number): ViewState {
    const { session } = this.#host;
    const words = this.#host.words();
    // The server has the others.
    if (session.id && session.transcript) session.transcript.log.maxLines = HELD_LINES;
    // What the server does meanwhile is not known.
    this.#lostAt = session.lost || isWaiting(session) ? (this.#lostAt ?? time) : undefined;
    const state = viewState(session, this.#lostAt ?? time, words, this.#notifier.wanted);
    this.state = { ...state, live: this.#announcer.text(session, state, words, time) };
    if (this.#host.showsInTab()) {
      this.#tab.want();
      this.#tab.value?.show(this.state, words);
    }
    this.#earlier.update();
    void this.#askForBuild();
    const log = this.#log.value;
    if (log && log.words !== words) log.words = words;
    log?.refresh();
    return this.state;
  }

  /** Draw the bar and the log, after the parts have been drawn. */
  frame(now: number): void {
    const { model, transcript } = this.#host.session;
    if (lineRange(this.#host.line()) && this.#part("log")) this.openLog();
    if (transcript && this.#isLogOpen()) {
      // If it could not be loaded before.
      this.#log.want();
      this.#log.value?.show(transcript);
    }
    this.#bar.set(model.at(this.#lostAt ?? now));
  }

  /** The parts to draw. */
  parts(): Pick<Parts, "panel" | "buttons" | "earlier" | "log"> {
    const words = this.#host.words();
    const actions = {
      cancel: () => this.#host.cancel(),
      reconnect: wake,
      notify: () => void this.#notifier.toggle(),
      logToggled: () => this.#showLog(),
    };
    const { mode } = this.state;
    if (mode === "gone") return {};
    // A bar that stands still says nothing: the reason takes its place.
    const hasPanel = mode !== "failed" && mode !== "cancelled";
    return {
      panel: hasPanel ? panel(this.state, words) : nothing,
      buttons: buttons(this.state, words, actions, this.#builtBefore?.log),
      earlier: this.#earlier.part(words),
      log: log(this.state, words, actions, this.#logBox),
    };
  }

  /** Open the log. The parts have been drawn before. */
  openLog(): void {
    const details = this.#part<HTMLDetailsElement>("log");
    if (details) details.open = true;
    this.#showLog();
  }

  /** Notify the user that the server is ready, if wanted. */
  notifyReady(): void {
    const { session } = this.#host;
    this.#notifier.notify(this.#host.words().say("notify.ready"), this.#host.spec(), session.id);
  }

  /** Whether the user has started an earlier version meanwhile. */
  get hasEarlier(): boolean {
    return this.#earlier.isStarted;
  }

  /** The element was removed: restore the page's title and icon, and stop watching. */
  leave(): void {
    this.#tab.value?.restore();
    this.#earlier.pause();
  }

  /** Ask for the log of the build, once the server is ready without one. */
  async #askForBuild(): Promise<void> {
    const { id, launchUrl, mode } = this.#host.session;
    if (this.#builtBefore?.id === id) return;
    this.#builtBefore = undefined;
    if (mode !== "ready" || !id) return;
    const asked: { id: string; log?: EarlierLog | undefined } = (this.#builtBefore = { id });
    try {
      asked.log = await earlierLog(launchUrl);
    } catch (error) {
      // It is no more than an offer.
      console.warn(error);
    }
    if (asked.log) this.#host.changed();
  }

  #showLog(): void {
    const { transcript } = this.#host.session;
    if (!transcript || !this.#isLogOpen()) return;
    this.#log.want();
    if (!this.#log.value) return;
    this.#log.value.show(transcript);
    const lines = lineRange(this.#host.line());
    if (!lines) return;
    this.#log.value.goTo(...lines);
    this.#host.lineShown();
  }

  #isLogOpen(): boolean {
    return this.#part<HTMLDetailsElement>("log")?.open === true;
  }

  #part<T extends HTMLElement>(id: string): T | null {
    return this.#host.shadow.querySelector<T>(`#${id}`);
  }
}
