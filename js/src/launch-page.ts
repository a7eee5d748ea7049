/**
 * The launch page: starts or resumes a launch, watches it, and tells the view.
 */
import {
  ApiError,
  cancel,
  type Connection,
  getState,
  serverUrl,
  startLaunch,
  watch,
} from "./client";
import type { LaunchEvent } from "./event";
import { LogBuffer, plainText } from "./log";
import { phaseLabel, PhaseTrack } from "./phases";
import { isTerminal, ProgressModel } from "./progress";
import type { LaunchView, Mode } from "./view";
import { duration, timeLeft } from "./words";

const LOST = "Connection lost, trying again. The launch goes on meanwhile, and nothing is missed.";

/** Seconds between looks at a server that does not answer, the last one again and again. */
const PAUSES = [1, 2, 4, 8, 15];

/** How fast the drawn bar follows the model after a jump, in seconds. */
const FOLLOW = 0.18;

/** What the template says about the launch. */
export interface PageSettings {
  /** The server's address, with a slash at the end. */
  baseUrl: string;
  spec: string;
  /** What to call the repository. */
  title: string;
  /** What to open in the ready server. */
  urlpath: string;
  /** `same-tab`: go to the server when it is ready. */
  open: string;
  /** Ask before a launch is started: a page of another site led here. */
  ask: boolean;
}

/** One page, one launch at a time. */
export class LaunchPage {
  readonly #view: LaunchView;
  readonly #settings: PageSettings;
  readonly #calm = matchMedia("(prefers-reduced-motion: reduce)");

  #model = new ProgressModel();
  #track = new PhaseTrack();
  #log = new LogBuffer();
  #mode: Mode = "starting";
  #id = "";
  #stop: () => void = () => undefined;
  #lost = false;
  #failures = 0;
  #retry = 0;
  #cancelling = false;
  #pending = false;
  #drawn = 0;
  #drawnAt = 0;
  #moving = false;

  constructor(view: LaunchView, settings: PageSettings) {
    this.#view = view;
    this.#settings = settings;
    view.cancel.addEventListener("click", () => void this.#cancel());
    view.again.addEventListener("click", () => void this.#begin());
    // Someone pasted the link to another launch of the same repository.
    addEventListener("hashchange", () => location.reload());
    setInterval(() => this.#tick(), 1000);
  }

  /** Resume the launch that the address names; without one, start it. */
  async run(): Promise<void> {
    const id = new URLSearchParams(location.hash.slice(1)).get("launch");
    if (id) await this.#resume(id);
    else if (this.#settings.ask) this.#ask();
    else await this.#begin();
  }

  #ask(): void {
    this.#view.setOutcome({
      title: "Launch this repository?",
      message: "A page of another site led you here.",
      advice: "Its code will run on this server. Launch it if you trust it.",
      evidence: [],
      again: "Launch",
    });
    this.#setMode("gone");
  }

  async #begin(): Promise<void> {
    this.#reset();
    try {
      const { id } = await startLaunch(this.#settings.baseUrl, { spec: this.#settings.spec });
      // A reload then resumes this launch instead of starting a second one.
      history.replaceState(history.state, "", `#launch=${encodeURIComponent(id)}`);
      await this.#resume(id);
    } catch (error) {
      this.#refused("The launch could not be started", error);
    }
  }

  async #resume(id: string): Promise<void> {
    this.#id = id;
    this.#view.setLogUrl(`${this.#url()}/log`);
    try {
      const before = now();
      const state = await getState(this.#url());
      this.#model.offset = state.now - (before + now()) / 2;
    } catch (error) {
      this.#unreachable(error);
      return;
    }
    this.#stop();
    this.#setMode("running");
    this.#stop = watch(
      `${this.#url()}/events`,
      {
        event: (event) => this.#take(event),
        connection: (connection) => this.#connected(connection),
        error: (error) => console.error(error),
      },
      this.#model.event?.id,
    );
  }

  #reset(): void {
    this.#stop();
    clearTimeout(this.#retry);
    this.#model = new ProgressModel(this.#model.offset);
    this.#track = new PhaseTrack();
    this.#log = new LogBuffer();
    this.#view.log.clear();
    this.#view.setNotice("");
    this.#setLost(false);
    this.#failures = 0;
    this.#draw(0);
    this.#cancelling = false;
    this.#setMode("starting");
  }

  /** The address of the launch: by the page's own address, which is right behind any proxy. */
  #url(): string {
    return `${this.#settings.baseUrl}api/launches/${encodeURIComponent(this.#id)}`;
  }

  #take(event: LaunchEvent): void {
    this.#connected("open");
    this.#model.accept(event);
    this.#track.accept(event.phase);
    if (event.message) this.#log.write(event.message);
    if (isTerminal(event)) this.#end(event);
    else this.#pending = true;
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
    if (lost === this.#lost) return;
    this.#lost = lost;
    this.#view.setLost(lost);
    this.#view.setNotice(lost ? LOST : "");
  }

  #later(): void {
    const pause = PAUSES[Math.min(this.#failures, PAUSES.length - 1)] ?? 1;
    this.#failures += 1;
    clearTimeout(this.#retry);
    this.#retry = window.setTimeout(() => void this.#resume(this.#id), pause * 1000);
  }

  #unreachable(error: unknown): void {
    if (!(error instanceof ApiError) || error.status >= 500 || error.status === 429) {
      this.#setLost(true);
      this.#later();
    } else if (error.status === 404 || error.status === 410) {
      this.#setLost(false);
      this.#view.setOutcome({
        title: "This launch is over",
        message: "The server does not know it any more.",
        advice: "Start a new one: what was built already is not built again.",
        evidence: [],
        again: "Start a new launch",
      });
      this.#setMode("gone");
    } else {
      this.#refused("This launch cannot be shown", error);
    }
  }

  #refused(title: string, error: unknown): void {
    if (!(error instanceof ApiError)) console.error(error);
    const message =
      error instanceof ApiError ? error.message : "The server did not answer. Are you online?";
    this.#view.setOutcome({ title, message, advice: "", evidence: [], again: "Try again" });
    this.#view.announce(`${title}. ${message}`);
    this.#setMode("gone");
  }

  #end(event: LaunchEvent): void {
    const message = plainText(event.message ?? "").trim();
    if (event.phase === "ready") {
      this.#ready(event);
    } else {
      const failed = event.phase === "failed";
      this.#view.setOutcome({
        title: failed ? "The launch failed" : "The launch was cancelled",
        message: message,
        advice: event.advice ?? "",
        evidence: (event.evidence ?? []).map(plainText),
        again: failed ? "Try again" : "Launch again",
      });
      if (failed) this.#view.log.open();
      this.#setMode(failed ? "failed" : "cancelled");
    }
  }

  #ready(event: LaunchEvent): void {
    let url: string;
    try {
      url = serverUrl(event, this.#settings.urlpath);
    } catch (error) {
      const message = (error as Error).message;
      const title = "The server is ready, but cannot be opened from here";
      this.#view.setOutcome({ title, message, advice: "", evidence: [], again: "Launch again" });
      this.#setMode("failed");
      return;
    }
    this.#setMode("ready");
    this.#view.setOpen(url);
    // `replace`: going back must not come here, which would lead forth again.
    if (this.#settings.open === "same-tab") location.replace(url);
  }

  async #cancel(): Promise<void> {
    if (this.#cancelling) return;
    this.#cancelling = true;
    this.#tick();
    try {
      await cancel(this.#url());
    } catch (error) {
      this.#cancelling = false;
      console.error(error);
      this.#view.setNotice("The launch could not be cancelled. It goes on.");
    }
  }

  #setMode(mode: Mode): void {
    this.#mode = mode;
    this.#view.setMode(mode);
    this.#tick();
    if (this.#moving) return;
    this.#moving = true;
    requestAnimationFrame((time) => this.#frame(time));
  }

  /** Words, numbers and steps: after events, and once a second. */
  #tick(): void {
    this.#pending = false;
    const event = this.#model.event;
    const time = now();
    const percent = event ? Math.floor(this.#model.at(time)) : undefined;
    const label = this.#label(event);
    const step = event && !isTerminal(event) ? (event.step ?? "") : "";

    this.#view.setHeadline(label, step);
    this.#view.setSteps(this.#track.states());
    const words = [label, step].filter(Boolean).join(": ");
    this.#view.setPercent(percent, percent === undefined ? words : `${percent}%, ${words}`);
    const left = this.#cancelling ? "" : timeLeft(this.#model.left(time));
    this.#view.setTimes(event ? passed(event, this.#model.elapsed(time)) : "", left);
    this.#view.setCancelling(this.#cancelling);
    if (event) this.#view.announce(label);
    this.#setTitle(label, percent);
    if (this.#calm.matches) this.#draw(percent ?? 0);
  }

  /** The bar and the log, before the browser draws; until the end is drawn. */
  #frame(time: number): void {
    if (this.#pending) this.#tick();
    this.#view.log.render(this.#log);
    const gap = this.#calm.matches ? 0 : this.#model.at(now()) - this.#drawn;
    const seconds = Math.max(time - this.#drawnAt, 0) / 1000;
    this.#drawnAt = time;
    if (gap !== 0) {
      const share = Math.abs(gap) < 0.05 ? 1 : 1 - Math.exp(-seconds / FOLLOW);
      this.#draw(this.#drawn + gap * share);
    }
    this.#moving = !isEnd(this.#mode) || gap !== 0;
    if (this.#moving) requestAnimationFrame((next) => this.#frame(next));
  }

  #draw(percent: number): void {
    if (percent === this.#drawn) return;
    this.#drawn = percent;
    this.#view.drawBar(percent);
  }

  #label(event: LaunchEvent | undefined): string {
    if (this.#mode === "gone") return "Not running";
    if (!event) return "Connecting";
    if (this.#cancelling && !isTerminal(event)) return "Cancelling";
    return phaseLabel(event.phase);
  }

  #setTitle(label: string, percent: number | undefined): void {
    const shown = percent !== undefined && this.#mode === "running" ? [`${percent}%`] : [];
    const title = [...shown, label, this.#settings.title].join(" · ");
    if (document.title !== title) document.title = title;
  }
}

function passed(event: LaunchEvent, seconds: number): string {
  return isTerminal(event) ? `after ${duration(seconds)}` : `${duration(seconds)} so far`;
}

function isEnd(mode: Mode): boolean {
  return mode !== "starting" && mode !== "running";
}

/** The local clock, in seconds since 1970. */
function now(): number {
  return Date.now() / 1000;
}
