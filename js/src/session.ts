/**
 * One launch at a time: starts or resumes it, watches it, keeps what is known of it. No DOM.
 */
import {
  ApiError,
  cancel,
  type Connection,
  getState,
  hubUrl,
  serverUrl,
  startLaunch,
  watch,
} from "./client";
import type { LaunchEvent, Phase } from "./event";
import { LogBuffer } from "./log";
import { PhaseTrack } from "./phases";
import { isTerminal, ProgressModel } from "./progress";

const LOST = "Connection lost, trying again. The launch goes on meanwhile, and nothing is missed.";

/** Seconds between looks at a server that does not answer, the last one again and again. */
const PAUSES = [1, 2, 4, 8, 15];

/** How it is, for what is offered. `gone`: there is only an {@link Outcome} to show. */
export type Mode = "idle" | "starting" | "running" | "ready" | "failed" | "cancelled" | "gone";

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

/** Why there is no server. */
export interface Failure {
  /**
   * For programs: the event's own, or `refused` (the server would not), `unreachable` (it did not
   * answer), `gone` (it does not know the launch), `unusable` (what it said, or what was asked for,
   * cannot be used).
   */
  reason: string;
  /** In one sentence. */
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
  id = "";
  model = new ProgressModel();
  track = new PhaseTrack();
  log = new LogBuffer();
  outcome: Outcome | undefined;
  /** The address of the ready server, checked and with its token. */
  url = "";
  notice = "";
  lost = false;
  cancelling = false;

  readonly #tell: SessionCallbacks;
  #stop: () => void = () => undefined;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
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
    this.outcome = {
      title: "Launch this repository?",
      message: "A page of another site led you here.",
      advice: "Its code will run on this server. Launch it if you trust it.",
      evidence: [],
      again: "Launch",
    };
    this.#setMode("gone");
  }

  /** Start a launch, whatever there was before. */
  async start(): Promise<void> {
    const turn = this.#reset();
    try {
      if (!this.spec) throw new UnusableError("There is nothing to launch: no spec is given.");
      const { id } = await startLaunch(checkedHub(this.hub), { spec: this.spec });
      this.id = id;
      this.#tell.started(id);
      if (turn === this.#turn) await this.#watch();
    } catch (error) {
      if (turn === this.#turn) this.#refused("The launch could not be started", error);
    }
  }

  /** Watch a launch that was started before; of the one it had, from where it stopped. */
  async resume(id: string): Promise<void> {
    if (id !== this.id || this.mode === "idle") {
      this.#reset();
      this.id = id;
    }
    await this.#watch();
  }

  /** Cancel the launch; its end comes as an event. */
  async cancel(): Promise<void> {
    if (this.cancelling || this.mode !== "running") return;
    this.cancelling = true;
    this.#tell.changed(true);
    try {
      await cancel(this.launchUrl);
    } catch (error) {
      this.cancelling = false;
      console.error(error);
      this.notice = "The launch could not be cancelled. It goes on.";
      this.#tell.changed(true);
    }
  }

  /** Stop watching; the launch goes on. */
  pause(): void {
    this.#turn += 1;
    this.#stop();
    clearTimeout(this.#retry);
  }

  #reset(): number {
    this.pause();
    this.id = "";
    this.model = new ProgressModel(this.model.offset);
    this.track = new PhaseTrack();
    this.log = new LogBuffer();
    this.outcome = undefined;
    this.url = "";
    this.notice = "";
    this.lost = false;
    this.cancelling = false;
    this.#failures = 0;
    this.#setMode("starting");
    return this.#turn;
  }

  async #watch(): Promise<void> {
    this.pause();
    const turn = this.#turn;
    try {
      checkedHub(this.hub);
      const before = now();
      const state = await getState(this.launchUrl);
      if (turn !== this.#turn) return;
      this.model.offset = state.now - (before + now()) / 2;
    } catch (error) {
      if (turn === this.#turn) this.#unreachable(error);
      return;
    }
    this.#setMode("running");
    this.#stop = watch(
      `${this.launchUrl}/events`,
      {
        event: (event) => this.#take(event),
        connection: (connection) => this.#connected(connection),
        error: (error) => console.error(error),
      },
      this.model.event?.id,
    );
  }

  #take(event: LaunchEvent): void {
    this.#connected("open");
    const previous = this.model.event?.phase;
    this.model.accept(event);
    this.track.accept(event.phase);
    if (event.message) this.log.write(event.message);
    if (isTerminal(event)) this.#end(event);
    else this.#tell.changed(false);
    if (event.phase !== previous) this.#tell.phase(event.phase, previous);
    if (this.mode === "ready") this.#tell.ready(this.url);
    if (this.mode === "failed") this.#failed(event.reason || "unusable");
  }

  #connected(connection: Connection): void {
    if (connection === "open") {
      this.#failures = 0;
      this.#setLost(false);
      return;
    }
    this.#setLost(true);
    // The browser gives up when a proxy answers for a server that restarts; we do not.
    if (connection === "closed") this.#later();
  }

  #setLost(lost: boolean): void {
    if (lost === this.lost) return;
    this.lost = lost;
    this.notice = lost ? LOST : "";
    this.#tell.changed(true);
  }

  #later(): void {
    const pause = PAUSES[Math.min(this.#failures, PAUSES.length - 1)] ?? 1;
    this.#failures += 1;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.#watch(), pause * 1000);
  }

  #unreachable(error: unknown): void {
    if (error instanceof ApiError && (error.status === 404 || error.status === 410)) {
      this.lost = false;
      this.notice = "";
      this.outcome = {
        title: "This launch is over",
        message: "The server does not know it any more.",
        advice: "Start a new one: what was built already is not built again.",
        evidence: [],
        again: "Start a new launch",
      };
      this.#setMode("gone");
      this.#failed("gone");
    } else if (error instanceof UnusableError || (error instanceof ApiError && isFinal(error))) {
      this.#refused("This launch cannot be shown", error);
    } else {
      this.#setLost(true);
      // Nothing ever came: it may be more than the network.
      if (!this.model.event && isForeign(this.hub)) this.notice = `${why(error, this.hub)} Trying again.`;
      this.#tell.changed(true);
      this.#later();
    }
  }

  #refused(title: string, error: unknown): void {
    const known = error instanceof ApiError || error instanceof UnusableError;
    if (!known) console.error(error);
    const message = why(error, this.hub);
    this.lost = false;
    this.notice = "";
    this.outcome = { title, message, advice: "", evidence: [], again: "Try again" };
    this.#setMode("gone");
    if (error instanceof ApiError) this.#failed(error.reason || "refused");
    else this.#failed(known ? "unusable" : "unreachable");
  }

  #end(event: LaunchEvent): void {
    if (event.phase === "ready") {
      this.#ready(event);
      return;
    }
    const failed = event.phase === "failed";
    this.outcome = {
      title: failed ? "The launch failed" : "The launch was cancelled",
      message: withoutColours(event.message ?? "").trim(),
      advice: event.advice ?? "",
      evidence: (event.evidence ?? []).map(withoutColours),
      again: failed ? "Try again" : "Launch again",
    };
    this.#setMode(failed ? "failed" : "cancelled");
  }

  #ready(event: LaunchEvent): void {
    try {
      this.url = serverUrl(event, this.urlpath);
    } catch (error) {
      const message = (error as Error).message;
      const title = "The server is ready, but cannot be opened from here";
      this.outcome = { title, message, advice: "", evidence: [], again: "Launch again" };
      this.#setMode("failed");
      return;
    }
    this.#setMode("ready");
  }

  #failed(reason: string): void {
    const { message = "", advice = "", evidence = [] } = this.outcome ?? {};
    this.#tell.failed({ reason, message, advice, evidence });
  }

  #setMode(mode: Mode): void {
    this.mode = mode;
    this.#tell.changed(true);
  }
}

/** What the page asks for cannot be. */
class UnusableError extends Error {}

function checkedHub(hub: string): string {
  const url = hubUrl(hub);
  if (!url) throw new UnusableError("The server's address (hub) does not begin with http:// or https://.");
  return url;
}

/** Whether asking again would change nothing. */
function isFinal(error: ApiError): boolean {
  return error.status < 500 && error.status !== 429;
}

function isForeign(hub: string): boolean {
  return new URL(hubUrl(hub)).origin !== location.origin;
}

/** Why the server did not do it. What CORS keeps from a page looks like a lost connection to it. */
function why(error: unknown, hub: string): string {
  if (error instanceof ApiError || error instanceof UnusableError) return error.message;
  if (error instanceof SyntaxError) return "What answered is not a binderprogress server.";
  if (!isForeign(hub)) return "The server did not answer. Are you online?";
  const { host } = new URL(hubUrl(hub));
  return (
    `${host} did not answer this page. Either it cannot be reached, or it does not allow pages of ` +
    `${location.origin}: whoever runs it can, with c.Web.allowed_origins.`
  );
}

/** A sentence, or a line of evidence: the server made them plain, a plain BinderHub did not. */
function withoutColours(text: string): string {
  return text.replace(/\u001b\[[\d;]*m|[\u0000-\u0008\u000b-\u001f\u007f]/g, "");
}

/** The local clock, in seconds since 1970. */
export function now(): number {
  return Date.now() / 1000;
}
