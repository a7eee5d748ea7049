/**
 * Launches on a plain BinderHub by its `/build/` endpoint. No DOM; loaded on demand.
 *
 * There, one GET both starts a launch and streams its events, which have no ids. During a build, a
 * second request joins it. Once the image exists, a second request starts a second server: so after
 * that, we never reconnect.
 */
import { BinderHubLaunch, isLogged, messageOf, phaseOf, readRecord } from "./binderhub-events";
import { ApiError } from "../wire/client";
import type { LaunchEvent } from "../wire/event";
import { Repeats } from "./replay";
import { type Body, follow, type Reconnectable } from "../wire/reconnect";

/** After this many failed attempts in a row, the BinderHub is given up. */
const MAX_FAILURES = 5;

/** Options of {@link launchOnBinderHub}. */
export interface BinderHubOptions {
  /** The BinderHub's absolute address, with a trailing slash. */
  binderhub: string;
  /** What to launch: `<provider>/<...>/<ref>`, as in BinderHub's links. */
  spec: string;
  /** Gets each event, as our server would send it. The last one is `ready` or `failed`. */
  event(event: LaunchEvent): void;
  /** Called when the BinderHub answers, and when the connection is lost. */
  connection(state: "open" | "reconnecting"): void;
  /**
   * Called if nothing could be started. No event follows.
   *
   * @param error - an {@link ApiError} if the BinderHub's answer cannot be used; else the error of
   *   `fetch`: it is unreachable, or does not allow pages of this origin
   */
  refused(error: unknown): void;
}

/**
 * Launch on a plain BinderHub.
 *
 * Its protocol leaves one gap: if the connection breaks after `built` and `launching` were sent but
 * before either arrived, reconnecting starts another server.
 *
 * @returns a function that stops watching: no event follows. A build continues, and a server that
 *   was already requested may still start.
 */
export function launchOnBinderHub(options: BinderHubOptions): () => void {
  const abort = new AbortController();
  const stop = () => abort.abort();
  void follow(new BuildStream(options, stop), abort.signal);
  return stop;
}

/** The `/build/` stream of one launch. */
class BuildStream implements Reconnectable {
  readonly #options: BinderHubOptions;
  readonly #stop: () => void;
  readonly #launch: BinderHubLaunch;
  readonly #repeats = new Repeats();
  /** Whether any connection has been open. */
  #wasOpen = false;
  #isOpen = false;
  /** Whether this connection has brought any event. */
  #hasEvents = false;

  constructor(options: BinderHubOptions, stop: () => void) {
    this.#options = options;
    this.#stop = stop;
    this.#launch = new BinderHubLaunch((event) => options.event(event), now());
  }

  async open(signal: AbortSignal): Promise<Body> {
    // First a harmless request, whatever the answer: if pages of this origin are not allowed, a
    // launch would start all the same, and its server would never be found. Not `/versions`, which
    // allows every origin.
    const response = await fetch(`${this.#options.binderhub}_config`, { cache: "no-store", signal });
    await response.body?.cancel();
    return requestBuild(this.#options, signal);
  }

  opened(): void {
    this.#wasOpen = this.#isOpen = true;
    this.#hasEvents = false;
    this.#repeats.begin();
    this.#options.connection("open");
  }

  take(data: string): boolean {
    this.#hasEvents = true;
    const record = readRecord(data);
    const isStatus = phaseOf(record) === "waiting";
    if (isLogged(record) && this.#repeats.has(messageOf(record), isStatus)) return false;
    this.#launch.take(record, now());
    // A BinderHub keeps the connection open: for 60 s after `ready`, else for ever.
    if (this.#launch.over) this.#stop();
    return true;
  }

  lost(error: unknown, _heard: number, failures: number): boolean {
    const wasOpen = this.#isOpen;
    this.#isOpen = false;
    if (!this.#wasOpen) {
      this.#options.refused(error);
      return false;
    }
    if (wasOpen && this.#mayHaveServer) {
      this.#launch.fail("connection-lost", now());
      return false;
    }
    if (failures >= MAX_FAILURES) {
      this.#launch.fail("unreachable", now());
      return false;
    }
    if (!wasOpen) return true;
    this.#options.connection("reconnecting");
    return true;
  }

  /** Whether a server may have been requested: then reconnecting would start another one. */
  get #mayHaveServer(): boolean {
    // If the image exists, a server is requested at once, and the event that says so may be lost.
    if (!this.#hasEvents) return true;
    return this.#launch.phase === "built" || this.#launch.phase === "launching";
  }
}

async function requestBuild(options: BinderHubOptions, signal: AbortSignal): Promise<Body> {
  // BinderHub accepts exactly this value.
  const headers = { Accept: "text/event-stream" };
  const response = await fetch(buildUrl(options), { headers, cache: "no-store", signal });
  const { status, body } = response;
  const type = response.headers.get("Content-Type") ?? "";
  if (status === 200 && body && /^text\/event-stream\b/i.test(type)) return body;
  await body?.cancel();
  if (status === 200) throw new ApiError("This is not a BinderHub.", status, "unusable");
  throw new ApiError(`The server answered with status ${status}.`, status, "");
}

/** The address that starts a launch. */
function buildUrl({ binderhub, spec }: BinderHubOptions): string {
  if (/^\s*[a-z]+:/i.test(spec)) {
    // An address may have a password in it, which must not get into a URL.
    const message = "A BinderHub needs a spec, such as gh/binder-examples/requirements/HEAD.";
    throw new ApiError(message, 400, "unusable");
  }
  const build = `${binderhub}build/`;
  // These characters have a meaning in an address, but not in a spec.
  const url = new URL(build + spec.replace(/[?#\\\s]/g, encodeURIComponent));
  if (!url.href.startsWith(build)) {
    throw new ApiError("This is not a valid spec.", 400, "unusable");
  }
  return url.href;
}

function now(): number {
  return Date.now() / 1000;
}
