/**
 * Follows a server that a JupyterHub starts, by the Hub's own progress stream. No DOM.
 *
 * The stream has no ids: whoever connects again gets it from the start, and once the start is over
 * only its end.
 */
import { BinderHubLaunch, type BinderHubRecord, messageOf, readRecord } from "../binderhub/binderhub-events";
import { ApiError } from "../wire/client";
import type { LaunchEvent } from "../wire/event";
import { Repeats } from "../binderhub/replay";
import { readEvents } from "../wire/stream";

/** Seconds before each try to connect again; after the last one it is given up. */
const PAUSES = [1, 2, 4, 8, 15];

/** Nothing came for so long, in seconds, that the connection must be dead: the Hub sends every 8 s. */
const SILENCE = 60;

/** What {@link followSpawn} needs. */
export interface SpawnOptions {
  /** The address of the stream, as the Hub's page has it. */
  url: string;
  /** More headers, which show that the Hub's page asks. */
  headers: Record<string, string>;
  event(event: LaunchEvent): void;
  connection(state: "open" | "reconnecting"): void;
  /** Told when the Hub has nothing to tell of this server. */
  refused(error: unknown): void;
  /** Waits so many seconds. */
  wait?(seconds: number, signal: AbortSignal): Promise<void>;
}

/**
 * Follow the start of a server.
 *
 * @returns a function that stops watching; the start goes on
 */
export function followSpawn(options: SpawnOptions): () => void {
  const follower = new Follower(options);
  void follower.run();
  return () => follower.abort.abort();
}

class Follower {
  readonly abort = new AbortController();
  readonly #options: SpawnOptions;
  readonly #launch: BinderHubLaunch;
  readonly #repeats = new Repeats();
  #failures = 0;

  constructor(options: SpawnOptions) {
    this.#options = options;
    this.#launch = new BinderHubLaunch((event) => options.event(event), now());
  }

  get #isOver(): boolean {
    return this.#launch.over || this.abort.signal.aborted;
  }

  async run(): Promise<void> {
    while (!this.#isOver) {
      try {
        await this.#connect();
      } catch (error) {
        if (error instanceof ApiError && error.final) {
          this.abort.abort();
          this.#options.refused(error);
        }
      }
      if (this.#isOver) return;
      await this.#pause();
    }
  }

  async #connect(): Promise<void> {
    const { url, headers } = this.#options;
    const silent = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE * 1000);
    };
    try {
      alive();
      const signal = AbortSignal.any([silent.signal, this.abort.signal]);
      const response = await fetch(url, {
        headers: { Accept: "text/event-stream", ...headers },
        cache: "no-store",
        signal,
      });
      if (!response.ok || !response.body) {
        await response.body?.cancel();
        const { status } = response;
        throw new ApiError(`The server answered with status ${status}.`, status, "");
      }
      this.#options.connection("open");
      this.#repeats.begin();
      await readEvents(response.body, (data) => this.#take(data), alive);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Take the data of an event; says whether there is more to take. */
  #take(data: string): boolean {
    if (this.#isOver) return false;
    const record = asBinderHub(readRecord(data));
    if (record.phase === "launching" && this.#repeats.has(messageOf(record), false)) return true;
    this.#failures = 0;
    this.#launch.take(record, now());
    return !this.#isOver;
  }

  async #pause(): Promise<void> {
    const pause = PAUSES[this.#failures];
    this.#failures += 1;
    if (pause === undefined) {
      this.#launch.fail("hub-unreachable", now());
      return;
    }
    this.#options.connection("reconnecting");
    await (this.#options.wait ?? wait)(pause, this.abort.signal);
  }
}

/** Say a record of the Hub as a BinderHub does. Its `html_message` is markup, and not looked at. */
function asBinderHub(record: BinderHubRecord): BinderHubRecord {
  const { message, raw_event: raw, failed, ready, url } = record;
  const told = message ?? (raw as { message?: unknown } | null | undefined)?.message;
  if (failed === true) return { phase: "failed", message: told };
  if (ready !== true) return { phase: "launching", message: told };
  const absolute = typeof url === "string" ? new URL(url, location.href).href : undefined;
  return { phase: "ready", message: told, url: absolute };
}

function now(): number {
  return Date.now() / 1000;
}

function wait(seconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    const stop = () => {
      clearTimeout(timer);
      resolve();
    };
    signal.addEventListener("abort", stop, { once: true });
  });
}
