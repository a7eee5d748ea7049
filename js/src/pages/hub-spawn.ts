/**
 * Follows the start of a server by JupyterHub's own progress stream. No DOM.
 *
 * The stream has no ids. Each connection gets it from the start, or only its last event if the
 * server has started or failed.
 */
import { BinderHubLaunch, type BinderHubRecord, messageOf, readRecord } from "../binderhub/binderhub-events";
import { ApiError } from "../wire/client";
import type { LaunchEvent } from "../wire/event";
import { Repeats } from "../binderhub/replay";
import { type Body, follow, type Reconnectable } from "../wire/reconnect";

/** After this many failed attempts in a row, JupyterHub is given up. */
const MAX_FAILURES = 5;

/** Options of {@link followSpawn}. */
export interface SpawnOptions {
  /** The address of the stream, as JupyterHub's page names it. */
  url: string;
  /** Headers that show JupyterHub that its own page asks. */
  headers: Record<string, string>;
  event(event: LaunchEvent): void;
  connection(state: "open" | "reconnecting"): void;
  /** Called if JupyterHub does not know of this server. No event follows. */
  refused(error: unknown): void;
}

/**
 * Follow the start of a server.
 *
 * @returns a function that stops watching; the server still starts
 */
export function followSpawn(options: SpawnOptions): () => void {
  const abort = new AbortController();
  const stop = () => abort.abort();
  void follow(new SpawnStream(options, stop), abort.signal);
  return stop;
}

/** The progress stream of one server. */
class SpawnStream implements Reconnectable {
  readonly #options: SpawnOptions;
  readonly #stop: () => void;
  readonly #launch: BinderHubLaunch;
  readonly #repeats = new Repeats();

  constructor(options: SpawnOptions, stop: () => void) {
    this.#options = options;
    this.#stop = stop;
    // JupyterHub builds nothing.
    this.#launch = new BinderHubLaunch(
      (event) => options.event({ ...event, phases: ["launching", "ready"] }),
      now(),
    );
  }

  async open(signal: AbortSignal): Promise<Body> {
    const { url, headers } = this.#options;
    const response = await fetch(url, {
      headers: { Accept: "text/event-stream", ...headers },
      cache: "no-store",
      signal,
    });
    const { ok, status, body } = response;
    if (ok && body) return body;
    await body?.cancel();
    throw new ApiError(`The server answered with status ${status}.`, status, "");
  }

  opened(): void {
    this.#repeats.begin();
    this.#options.connection("open");
  }

  take(data: string): boolean {
    const record = asBinderHub(readRecord(data));
    if (record.phase === "launching" && this.#repeats.has(messageOf(record), false)) return false;
    this.#launch.take(record, now());
    if (this.#launch.over) this.#stop();
    return true;
  }

  lost(error: unknown, _heard: number, failures: number): boolean {
    if (error instanceof ApiError && error.final) {
      this.#options.refused(error);
      return false;
    }
    if (failures >= MAX_FAILURES) {
      this.#launch.fail("hub-unreachable", now());
      return false;
    }
    this.#options.connection("reconnecting");
    return true;
  }
}

/** Convert a record of JupyterHub to BinderHub's shape. Its `html_message` is never used. */
function asBinderHub(record: BinderHubRecord): BinderHubRecord {
  const { message: own, raw_event: raw, failed, ready, url } = record;
  const message = own ?? (raw as { message?: unknown } | null | undefined)?.message;
  if (failed === true) return { phase: "failed", message };
  if (ready !== true) return { phase: "launching", message };
  const absolute = typeof url === "string" ? new URL(url, location.href).href : undefined;
  return { phase: "ready", message, url: absolute };
}

function now(): number {
  return Date.now() / 1000;
}
