/**
 * One launch at a time: starts or resumes it, watches it, keeps what is known of it. No DOM.
 */
import { ApiError, cancel, getState, startLaunch, watch } from "../wire/client";
import { speaks } from "../wire/detect";
import type { LaunchEvent, Phase } from "../wire/event";
import { hubUrl, UnusableError } from "../wire/server-url";
import { isTerminal, ProgressModel } from "./progress";
import type { LaunchRecord } from "./record";
import type { Said, TextKey } from "../i18n/words";

/** So many events are kept for a part that may never be loaded. */
const EARLY = 100_000;

/** How it is, for what is offered. `gone`: there is only an {@link Outcome} to show. */
export type Mode = "idle" | "starting" | "running" | "ready" | "failed" | "cancelled" | "gone";

/** What is said when a launch came to no server. */
export interface Outcome {
  title: TextKey;
  message: Said;
  advice: Said;
  /** Lines of the log that say why. */
  evidence: readonly string[];
  /** What the button says that starts anew. */
  again: TextKey;
}

/** Why there is no server. */
export interface Failure {
  /**
   * For programs: the event's own, or `refused` (the server would not), `unreachable` (it did not
   * answer), `gone` (it does not know the launch), `unusable` (what it said, or what was asked for,
   * cannot be used).
   */
  reason: string;
  /** In one sentence, in English. */
  message: string;
  /** What to do, in one sentence; may be empty. */
  advice: string;
  /** Lines of the log that say why. */
  evidence: readonly string[];
}

/** What a session tells. */
export interface SessionCallbacks {
  /** There is something else to show; `urgent`: not only another number or line. */
  changed(urgent: boolean): void;
  started(id: string): void;
  phase(phase: Phase, previous: Phase | undefined): void;
  ready(url: string): void;
  failed(failure: Failure): void;
}

/** What a launch that others start tells, and how it is stopped. */
export interface Followed {
  /** Stop watching. */
  stop(): void;
  /** Cancel it; without, to cancel is to leave it alone. */
  cancel?(): Promise<void>;
}

/** Where such a launch is told; asked for again when somebody wants to try again. */
export type Source = (tell: {
  event(event: LaunchEvent): void;
  connection(state: "open" | "reconnecting"): void;
  /** There will be no event. */
  refused(error: unknown): void;
}) => Followed;

/** Whether nothing more comes in this mode by itself. */
export function isOver(mode: Mode): boolean {
  return mode === "failed" || mode === "cancelled" || mode === "gone";
}

/** One launch after the other; fields are for reading, but for what the element is told. */
export class LaunchSession {
  /** The server's address, as the page wrote it. */
  hub = "";
  spec = "";
  /** What to open in the ready server. */
  urlpath = "";

  mode: Mode = "idle";
  /** The key of the launch; a plain BinderHub gives none. */
  id = "";
  model = new ProgressModel();
  /** What is remembered of it, once {@link LaunchSession.remember} was called. */
  record: LaunchRecord | undefined;
  outcome: Outcome | undefined;
  /** The address of the ready server, checked and with its token. */
  url = "";
  notice: Said | undefined;
  lost = false;
  cancelling = false;

  /** What to follow instead of starting anything. */
  source: Source | undefined;

  readonly #tell: SessionCallbacks;
  /** Lets the server refuse a launch that is not of `spec`: a link may name any. */
  #query = "";
  #newRecord: (() => LaunchRecord) | undefined;
  /** What came before the part that remembers was loaded. */
  #early: LaunchEvent[] = [];
  #stop: () => void = () => undefined;
  #call: Followed["cancel"];
  /** Goes up when what is under way is not wanted any more. */
  #turn = 0;

  constructor(callbacks: SessionCallbacks) {
    this.#tell = callbacks;
  }

  /** Where the launch is found; empty without one. */
  get launchUrl(): string {
    return this.id ? `${hubUrl(this.hub)}api/launches/${encodeURIComponent(this.id)}` : "";
  }

  /** Ask a person before anything is started. */
  ask(): void {
    this.#over({
      title: "ask",
      message: { key: "ask.message" },
      advice: { key: "ask.advice" },
      again: "launch",
    });
  }

  /** Remember launches from now on, also what came of this one already. */
  remember(newRecord: () => LaunchRecord): void {
    this.#newRecord = newRecord;
    this.record = newRecord();
    for (const event of this.#early.splice(0)) this.record.accept(event);
  }

  /** Start a launch, whatever there was before. */
  async start(): Promise<void> {
    const turn = this.#reset();
    if (this.source) return this.#follow(this.source, "lost");
    try {
      if (!this.spec) {
        throw new UnusableError("unusable.spec", "There is nothing to launch: no spec is given.");
      }
      const hub = checkedHub(this.hub);
      // Only a server of another site is asked first: it would refuse what is not its own.
      const kind = isForeign(hub) ? await speaks(hub) : "binderprogress";
      if (turn !== this.#turn) return;
      if (kind === "binderhub") await this.#startOnBinderHub(hub, turn);
      else await this.#start(hub, turn);
    } catch (error) {
      if (turn === this.#turn) this.#refused("outcome.refused", error);
    }
  }

  /** Watch a launch that was started before; of the one it had, from where it stopped. */
  resume(id: string): void {
    if (id !== this.id || this.mode === "idle") {
      this.#reset();
      this.id = id;
      if (this.spec) this.#query = `?spec=${encodeURIComponent(this.spec)}`;
    }
    try {
      checkedHub(this.hub);
    } catch (error) {
      this.#refused("outcome.unshown", error);
      return;
    }
    this.#watch();
  }

  /** Cancel the launch; its end comes as an event, unless it has not begun. */
  async cancel(): Promise<void> {
    if (this.mode === "starting" && !this.id) {
      this.pause();
      const nothing = { text: "" };
      this.#over({
        title: "outcome.cancelled",
        message: nothing,
        advice: nothing,
        again: "launch.again",
      });
    }
    if (this.cancelling || (this.mode !== "running" && this.mode !== "starting")) return;
    this.cancelling = true;
    this.#tell.changed(true);
    const call = this.#call;
    if (!this.id && !call) {
      this.leave();
      return;
    }
    try {
      await (call ? call() : cancel(this.launchUrl));
    } catch (error) {
      this.cancelling = false;
      console.error(error);
      this.notice = { key: "cancel.failed" };
      this.#tell.changed(true);
    }
  }

  /** Stop watching: the launch goes on, but a plain BinderHub's cannot be found again. */
  leave(): void {
    this.pause();
    const event = this.model.event;
    if (this.id || !event || isTerminal(event) || this.mode !== "running") return;
    const { id, elapsed, progress } = event;
    const time = now();
    const message = "This page stopped watching the launch. A build that is running continues.";
    this.#take({ id: id + 1, phase: "cancelled", time, elapsed, progress, reason: "left", message });
  }

  /** Stop watching; the launch goes on. */
  pause(): void {
    this.#turn += 1;
    this.#stop();
  }

  #reset(): number {
    this.pause();
    this.id = this.#query = "";
    this.#call = undefined;
    this.model = new ProgressModel(this.model.offset);
    this.record = this.#newRecord?.();
    this.#early = [];
    this.outcome = undefined;
    this.url = "";
    this.notice = undefined;
    this.lost = false;
    this.cancelling = false;
    this.#setMode("starting");
    return this.#turn;
  }

  async #start(hub: string, turn: number): Promise<void> {
    let id: string;
    try {
      ({ id } = await startLaunch(hub, { spec: this.spec }));
    } catch (error) {
      // It may be a BinderHub on the page's own site.
      const strange = error instanceof ApiError && (error.status === 404 || error.status === 405);
      if (!strange || (await speaks(hub)) !== "binderhub") throw error;
      if (turn === this.#turn) await this.#startOnBinderHub(hub, turn);
      return;
    }
    if (turn !== this.#turn) {
      // It was cancelled meanwhile, and nobody else knows of it.
      await cancel(`${hub}api/launches/${encodeURIComponent(id)}`).catch(console.error);
      return;
    }
    this.id = id;
    this.#tell.started(id);
    this.#watch();
  }

  async #startOnBinderHub(hub: string, turn: number): Promise<void> {
    const { launchOnBinderHub } = await import("../binderhub/binderhub");
    if (turn !== this.#turn) return;
    const { spec } = this;
    this.#follow((tell) => ({ stop: launchOnBinderHub({ binderhub: hub, spec, ...tell }) }), "lost.binderhub");
  }

  #follow(source: Source, lost: TextKey): void {
    this.model.offset = 0;
    this.#tell.started("");
    this.#setMode("running");
    const { stop, cancel } = source({
      event: (event) => this.#take(event),
      connection: (state) => this.#setLost(state !== "open", lost),
      refused: (error) => this.#refused("outcome.refused", error),
    });
    this.#stop = stop;
    this.#call = cancel;
  }

  #watch(): void {
    this.pause();
    this.#stop = watch(
      `${this.launchUrl}/events${this.#query}`,
      {
        event: (event) => this.#take(event),
        open: () => this.#opened(),
        lost: (error) => this.#lost(error),
        refused: (error) => this.#gone(error),
        error: (error) => console.error(error),
      },
      this.model.event?.id,
    );
  }

  #opened(): void {
    this.#setLost(false);
    if (this.mode === "starting") this.#setMode("running");
    void this.#setClock();
  }

  /** Find out how much the server's clock is ahead of ours: curves are drawn by it. */
  async #setClock(): Promise<void> {
    const { id } = this;
    const before = now();
    try {
      const state = await getState(this.launchUrl);
      if (id === this.id) this.model.offset = state.now - (before + now()) / 2;
    } catch (error) {
      // The stream tells what there is to know; the clocks may well agree.
      console.warn(error);
    }
  }

  #take(event: LaunchEvent): void {
    const previous = this.model.event?.phase;
    this.model.accept(event);
    if (this.record) this.record.accept(event);
    else if (this.#early.length < EARLY) this.#early.push(event);
    if (event.phase === "ready") void this.#ready(event);
    else if (isTerminal(event)) this.#end(event);
    else this.#tell.changed(false);
    if (event.phase !== previous) this.#tell.phase(event.phase, previous);
    if (event.phase === "failed") this.#failed(event.reason);
  }

  #setLost(lost: boolean, key: TextKey = "lost"): void {
    if (lost === this.lost) return;
    this.lost = lost;
    this.notice = lost ? { key } : undefined;
    this.#tell.changed(true);
  }

  #lost(error: unknown): void {
    this.#setLost(true);
    // Nothing ever came: it may be more than the network.
    if (!this.model.event && isForeign(this.hub)) this.notice = why(error, this.hub);
    this.#tell.changed(true);
  }

  #gone(error: ApiError): void {
    if (error.status !== 404 && error.status !== 410) {
      this.#refused("outcome.unshown", error);
      return;
    }
    this.#over({
      title: "outcome.gone",
      message: { key: "gone", text: "The server does not know it any more." },
      advice: {
        key: "gone.advice",
        text: "Start a new one: what was built already is not built again.",
      },
      again: "launch.new",
    });
    this.#failed("gone");
  }

  #refused(title: TextKey, error: unknown): void {
    const known = error instanceof ApiError || error instanceof UnusableError;
    if (!known) console.error(error);
    this.#over({ title, message: why(error, this.hub), advice: { text: "" }, again: "retry" });
    if (error instanceof ApiError) this.#failed(error.reason || "refused");
    else this.#failed(known ? "unusable" : "unreachable");
  }

  #over(outcome: Omit<Outcome, "evidence">): void {
    this.lost = false;
    this.notice = undefined;
    this.outcome = { ...outcome, evidence: [] };
    this.#setMode("gone");
  }

  #end(event: LaunchEvent): void {
    this.lost = false;
    this.notice = undefined;
    const { phase, reason = "", subject = "", message = "", advice = "", evidence = [] } = event;
    const failed = phase === "failed";
    this.outcome = {
      title: failed ? "outcome.failed" : "outcome.cancelled",
      message: {
        key: `reason.${reason}${subject && ".named"}`,
        values: { subject },
        text: message.trim(),
      },
      advice: { key: `advice.${reason}`, text: advice },
      evidence,
      again: failed ? "retry" : "launch.again",
    };
    this.#setMode(failed ? "failed" : "cancelled");
  }

  async #ready(event: LaunchEvent): Promise<void> {
    const turn = this.#turn;
    try {
      const { serverUrl } = await import("../element/jupyter-server-url");
      if (turn !== this.#turn) return;
      this.url = serverUrl(event, this.urlpath);
    } catch (error) {
      if (turn !== this.#turn) return;
      const message = why(error, this.hub);
      const advice = { text: "" };
      this.outcome = {
        title: "outcome.unusable",
        message,
        advice,
        evidence: [],
        again: "launch.again",
      };
      this.#setMode("failed");
      this.#failed("unusable");
      return;
    }
    this.lost = false;
    this.notice = undefined;
    this.#setMode("ready");
    this.#tell.ready(this.url);
  }

  #failed(reason = ""): void {
    const { message, advice, evidence = [] } = this.outcome ?? {};
    const english = { message: message?.text ?? "", advice: advice?.text ?? "" };
    this.#tell.failed({ reason, ...english, evidence });
  }

  #setMode(mode: Mode): void {
    this.mode = mode;
    this.#tell.changed(true);
  }
}

function checkedHub(hub: string): string {
  const url = hubUrl(hub);
  if (url) return url;
  throw new UnusableError(
    "unusable.server",
    "The server's address (server) does not begin with http:// or https://.",
  );
}

function isForeign(hub: string): boolean {
  return new URL(hubUrl(hub)).origin !== location.origin;
}

/** Why the server did not do it. What CORS keeps from a page looks like a lost connection to it. */
function why(error: unknown, hub: string): Said {
  if (error instanceof UnusableError) return error.said;
  if (error instanceof ApiError) return { text: error.message };
  if (error instanceof SyntaxError) {
    return {
      key: "unusable.answer",
      text: "What answered is neither a binderprogress server nor a BinderHub.",
    };
  }
  if (!isForeign(hub)) {
    return { key: "not-answered", text: "The server did not answer. Are you online?" };
  }
  const { host } = new URL(hubUrl(hub));
  const { origin } = location;
  return {
    key: "cors",
    values: { host, origin },
    text:
      `${host} did not answer this page. Either it cannot be reached, or it does not allow pages ` +
      `of ${origin}: whoever runs it can, with c.Web.allowed_origins (in a BinderHub with ` +
      `c.BinderHub.cors_allow_origin).`,
  };
}

/** The local clock, in seconds since 1970. */
export function now(): number {
  return Date.now() / 1000;
}
