/**
 * One launch at a time: starts or resumes it, watches it and keeps its state. No DOM.
 */
import { ApiError, cancel, getState, type Started, startLaunch } from "../wire/client";
import { isPlainBinderHub } from "../wire/detect";
import type { LaunchEvent, Phase } from "../wire/event";
import { InvalidValueError, isForeign, serverUrl } from "../wire/server-url";
import type { LocalizedText, TextKey } from "../i18n/words";
import { ASK, type Failure, NOT_STARTED, type Outcome, outcomeOf } from "./outcome";
import { isTerminal, ProgressModel } from "./progress";
import type { LaunchTranscript } from "./transcript";

/** How many events are kept until the part that reads them is loaded. It may never be. */
const MAX_EARLY_EVENTS = 100_000;

/** The label of the button that starts a new launch, unless it is a retry. */
const AGAIN: Partial<Record<TextKey, TextKey>> = {
  "outcome.gone": "launch.new",
  "outcome.unusable": "launch.again",
};

/** What is shown and offered. In `gone`, there is only an {@link Outcome}. */
export type Mode = "idle" | "starting" | "running" | "ready" | "failed" | "cancelled" | "gone";

/** What a session calls. */
export interface SessionCallbacks {
  /** The state has changed. `urgent`: by more than a number or a line of the log. */
  changed(urgent: boolean): void;
  started(id: string): void;
  phase(phase: Phase, previous: Phase | undefined): void;
  ready(url: string): void;
  failed(failure: Failure): void;
  /** The server has no such launch. Returns whether that need not be shown. */
  forgotten(): boolean;
}

/** What stops a launch that was started elsewhere. */
export interface FollowedLaunch {
  /** Stop watching. */
  stop(): void;
  /** Cancel the launch. Without it, cancelling only stops watching. */
  cancel?(): Promise<void>;
}

/** Starts to follow a launch that was started elsewhere. Called again for each retry. */
export type LaunchSource = (callbacks: {
  event(event: LaunchEvent): void;
  connection(state: "open" | "reconnecting"): void;
  /** No event follows. */
  refused(error: unknown): void;
}) => FollowedLaunch;

/** Whether a launch has ended without a server. */
export function isOver(mode: Mode): boolean {
  return mode === "failed" || mode === "cancelled" || mode === "gone";
}

/** Whether a launch is being started or watched. */
export function isActive(mode: Mode): boolean {
  return mode === "starting" || mode === "running";
}

/** One launch after another. Its fields are read-only for others, except for the first four. */
export class LaunchSession {
  /** The server's address, as given by the page. */
  server = "";
  spec = "";
  /** What to open on the Jupyter server. */
  urlpath = "";
  /** Follow this instead of starting a launch. */
  source: LaunchSource | undefined;

  mode: Mode = "idle";
  /** The launch's id. A plain BinderHub gives none. */
  id = "";
  model = new ProgressModel();
  /** What happened in the launch, once {@link LaunchSession.remember} was called. */
  transcript: LaunchTranscript | undefined;
  outcome: Outcome | undefined;
  /** The validated address of the Jupyter server, with its token. */
  url = "";
  notice: LocalizedText | undefined;
  lost = false;
  /** When data last arrived before the connection was lost, in local milliseconds. */
  heard = 0;
  /** For how long the server keeps a launch without viewers, in seconds. */
  keep = NaN;
  cancelling = false;

  readonly #callbacks: SessionCallbacks;
  /** Lets the server refuse a launch of another spec: a link may name any launch. */
  #query = "";
  #newTranscript: (() => LaunchTranscript) | undefined;
  /** Events that came before {@link LaunchSession.remember} was called. */
  #earlyEvents: LaunchEvent[] = [];
  #stop: () => void = () => undefined;
  #cancel: FollowedLaunch["cancel"];
  /** Increases when a start or a watch is abandoned: its results are ignored then. */
  #attempt = 0;

  constructor(callbacks: SessionCallbacks) {
    this.#callbacks = callbacks;
  }

  /** The launch's address on the server; empty if there is none. */
  get launchUrl(): string {
    return this.id ? `${serverUrl(this.server)}api/launches/${encodeURIComponent(this.id)}` : "";
  }

  /** Ask the user before anything is started. */
  ask(): void {
    this.#end(ASK);
  }

  /** Keep a transcript from now on, with the events that came before. */
  remember(newTranscript: () => LaunchTranscript): void {
    this.#newTranscript = newTranscript;
    this.transcript = newTranscript();
    for (const event of this.#earlyEvents.splice(0)) this.transcript.accept(event);
  }

  /** Start a launch, whatever was there before. */
  async start(): Promise<void> {
    const attempt = this.#reset();
    if (this.source) return this.#follow(this.source);
    try {
      if (!this.spec) {
        throw new InvalidValueError("unusable.spec", "Nothing to launch: no spec is given.");
      }
      const server = checkedServer(this.server);
      // Ask only a server on another site for its kind. On the page's own site, a BinderHub would
      // refuse to start the launch, see #start.
      const isPlain = isForeign(server) && (await isPlainBinderHub(server));
      if (attempt !== this.#attempt) return;
      if (isPlain) await this.#startOnBinderHub(server, attempt);
      else await this.#start(server, attempt);
    } catch (error) {
      if (attempt === this.#attempt) await this.#fail("outcome.refused", error);
    }
  }

  /** Watch a launch that was started before. If it is this session's, resume where it stopped. */
  resume(id: string): void {
    if (id !== this.id || this.mode === "idle") {
      this.#reset();
      this.id = id;
      if (this.spec) this.#query = `?spec=${encodeURIComponent(this.spec)}`;
    }
    try {
      checkedServer(this.server);
      void this.#watch();
    } catch (error) {
      void this.#fail("outcome.unshown", error);
    }
  }

  /** Cancel the launch. It ends with an event, unless it has not begun. */
  async cancel(): Promise<void> {
    if (this.mode === "starting" && !this.id) {
      this.pause();
      this.#end(NOT_STARTED);
    }
    if (this.cancelling || (this.mode !== "running" && this.mode !== "starting")) return;
    this.cancelling = true;
    this.#callbacks.changed(true);
    const cancelFollowed = this.#cancel;
    if (!this.id && !cancelFollowed) {
      this.leave();
      return;
    }
    try {
      await (cancelFollowed ? cancelFollowed() : cancel(this.launchUrl));
    } catch (error) {
      this.cancelling = false;
      console.error(error);
      this.notice = { key: "cancel.failed" };
      this.#callbacks.changed(true);
    }
  }

  /** Stop watching for good: the launch continues, but a plain BinderHub's cannot be resumed. */
  leave(): void {
    this.pause();
    const event = this.model.event;
    if (this.id || !event || isTerminal(event) || this.mode !== "running") return;
    const { id, elapsed, progress } = event;
    const time = now();
    const message = "This page stopped watching the launch. A build that is running continues.";
    this.#take({ id: id + 1, phase: "cancelled", time, elapsed, progress, reason: "left", message });
  }

  /** Stop watching, and forget the launch. It continues as after {@link LaunchSession.leave}. */
  clear(): void {
    this.leave();
    this.#reset();
    this.#setMode("idle");
  }

  /** Stop watching. The launch continues. */
  pause(): void {
    this.#attempt += 1;
    this.#stop();
  }

  #reset(): number {
    this.pause();
    this.id = this.#query = "";
    this.#cancel = undefined;
    this.model = new ProgressModel(this.model.offset);
    this.transcript = this.#newTranscript?.();
    this.#earlyEvents = [];
    this.outcome = undefined;
    this.url = "";
    this.#setLost();
    this.cancelling = false;
    this.#setMode("starting");
    return this.#attempt;
  }

  async #start(server: string, attempt: number): Promise<void> {
    let started: Started;
    try {
      started = await startLaunch(server, { spec: this.spec });
    } catch (error) {
      // It may be a BinderHub on the page's own site.
      const isUnknown = error instanceof ApiError && [404, 405, 501].includes(error.status);
      if (!isUnknown || !(await isPlainBinderHub(server))) throw error;
      if (attempt === this.#attempt) await this.#startOnBinderHub(server, attempt);
      return;
    }
    const { id, urlpath } = started;
    if (attempt !== this.#attempt) {
      // It was cancelled meanwhile, and nobody else knows its id.
      await cancel(`${server}api/launches/${encodeURIComponent(id)}`).catch(console.error);
      return;
    }
    this.id = id;
    this.urlpath ||= urlpath;
    this.#callbacks.started(id);
    await this.#watch();
  }

  async #startOnBinderHub(binderhub: string, attempt: number): Promise<void> {
    const { launchOnBinderHub } = await import("../binderhub/binderhub");
    if (attempt !== this.#attempt) return;
    const { spec } = this;
    this.#follow((callbacks) => ({ stop: launchOnBinderHub({ binderhub, spec, ...callbacks }) }));
  }

  #follow(source: LaunchSource): void {
    this.model.offset = 0;
    this.#callbacks.started("");
    this.#setMode("running");
    const { stop, cancel } = source({
      event: (event) => this.#take(event),
      connection: (state) => {
        this.#setLost(state !== "open");
        this.#callbacks.changed(true);
      },
      refused: (error) => void this.#fail("outcome.refused", error),
    });
    this.#stop = stop;
    this.#cancel = cancel;
  }

  async #watch(): Promise<void> {
    this.pause();
    const attempt = this.#attempt;
    let watch: typeof import("../wire/watch").watch;
    try {
      ({ watch } = await import("../wire/watch"));
    } catch (error) {
      if (attempt === this.#attempt) await this.#fail("outcome.unshown", error);
      return;
    }
    if (attempt !== this.#attempt) return;
    this.#stop = watch(
      `${this.launchUrl}/events${this.#query}`,
      {
        event: (event) => this.#take(event),
        open: () => this.#opened(),
        lost: (error, heard) => {
          // The server itself ends the stream when it is stopped, and another one goes on.
          if (error) this.#lost(error, heard);
        },
        note: (comment) => {
          // It is shown with the next second.
          this.model.note = comment;
        },
        refused: (error) => this.#refused(error),
        error: (error) => console.error(error),
      },
      this.model.event?.id,
    );
  }

  #opened(): void {
    this.#setLost();
    this.#setMode("running");
    void this.#setClock();
  }

  /** Measure how far the server's clock is ahead of the local one: progress curves depend on it. */
  async #setClock(): Promise<void> {
    const { id } = this;
    const before = now();
    try {
      const state = await getState(this.launchUrl);
      if (id !== this.id) return;
      this.model.offset = state.now - (before + now()) / 2;
      this.keep = state.abandon_after;
    } catch (error) {
      // The launch can be shown without it, and the clocks may well agree.
      console.warn(error);
    }
  }

  #take(event: LaunchEvent): void {
    const previous = this.model.event?.phase;
    this.model.accept(event);
    if (this.transcript) this.transcript.accept(event);
    else if (this.#earlyEvents.length < MAX_EARLY_EVENTS) this.#earlyEvents.push(event);
    if (event.phase === "ready") void this.#ready(event);
    else if (isTerminal(event)) this.#end(outcomeOf(event), event.phase as Mode);
    else this.#callbacks.changed(false);
    if (event.phase !== previous) this.#callbacks.phase(event.phase, previous);
    if (event.phase === "failed") this.#failed(event.reason);
  }

  #lost(error: unknown, heard: number): void {
    if (!this.lost) this.heard = heard;
    this.#setLost(true);
    // No event has ever arrived: it may be more than the network.
    if (!this.model.event && isForeign(this.server)) void this.#explainLoss(error);
    this.#callbacks.changed(true);
  }

  async #explainLoss(error: unknown): Promise<void> {
    const { unreachable } = await import("./explain");
    if (!this.lost) return;
    this.notice = unreachable(error, this.server);
    this.#callbacks.changed(true);
  }

  /** Without an argument, the connection is good again, or does not matter any more. */
  #setLost(lost = false): void {
    this.lost = lost;
    this.notice = undefined;
  }

  #refused(error: ApiError): void {
    const isGone = error.status === 404 || error.status === 410;
    if (isGone && this.#callbacks.forgotten()) return;
    void this.#fail(isGone ? "outcome.gone" : "outcome.unshown", error);
  }

  /** End without a server, and explain the error. */
  async #fail(title: TextKey, error: unknown, mode: Mode = "gone"): Promise<void> {
    this.#stop();
    const attempt = this.#attempt;
    if (!(error instanceof ApiError || error instanceof InvalidValueError)) console.error(error);
    // Offline, the part cannot be loaded.
    const part = await import("./explain").catch(console.error);
    const explanation =
      part && (title === "outcome.gone" ? part.expired() : part.explain(error, this.server, this.spec));
    const { reason = "unreachable", ...shown } = explanation ?? { message: { key: "not-part" } };
    const outcome = { ...NOT_STARTED, title, error, again: AGAIN[title] ?? "retry", ...shown };
    if (attempt !== this.#attempt) return;
    this.#end(outcome, mode);
    this.#failed(reason);
  }

  #end(outcome: Outcome, mode: Mode = "gone"): void {
    this.#setLost();
    this.outcome = outcome;
    this.#setMode(mode);
  }

  async #ready(event: LaunchEvent): Promise<void> {
    const attempt = this.#attempt;
    try {
      const { jupyterServerUrl } = await import("../element/jupyter-server-url");
      if (attempt !== this.#attempt) return;
      this.url = jupyterServerUrl(event, this.urlpath);
    } catch (error) {
      if (attempt !== this.#attempt) return;
      await this.#fail("outcome.unusable", error, "failed");
      return;
    }
    this.#setLost();
    this.#setMode("ready");
    this.#callbacks.ready(this.url);
  }

  #failed(reason = ""): void {
    const { message, advice, evidence = [] } = this.outcome ?? {};
    const english = { message: message?.text ?? "", advice: advice?.text ?? "" };
    this.#callbacks.failed({ reason, ...english, evidence });
  }

  #setMode(mode: Mode): void {
    this.mode = mode;
    this.#callbacks.changed(true);
  }
}

function checkedServer(server: string): string {
  const url = serverUrl(server);
  if (url) return url;
  throw new InvalidValueError(
    "unusable.server",
    "The server's address (server) must start with http:// or https://.",
  );
}

/** The local time, in seconds since 1970. */
export function now(): number {
  return Date.now() / 1000;
}
