/**
 * Launching on a plain BinderHub: its `/build/` only. No DOM; loaded when wanted.
 *
 * One GET there acts and streams, and its events have no ids. While something is built, whoever
 * asks again joins that build. Once there is an image, whoever asks again gets a second server: so
 * after that it is never asked again.
 */
import { BinderHubLaunch, isLogged, messageOf, phaseOf, readRecord } from "./binderhub-events";
import { ApiError } from "../wire/client";
import type { LaunchEvent } from "../wire/event";
import { Repeats } from "./replay";
import { readEvents } from "../wire/stream";

/** Seconds before each try to connect again; after the last one it is given up. */
const PAUSES = [1, 2, 4, 8, 15];

/** What {@link launchOnBinderHub} needs. */
export interface BinderHubOptions {
  /** The hub's address, whole and with a slash at the end. */
  hub: string;
  /** What to launch: `<provider>/<...>/<ref>`, as in BinderHub's links. */
  spec: string;
  /** Gets each event, as our server makes them; the last one is `ready` or `failed`. */
  event(event: LaunchEvent): void;
  /** Told when the hub answers, and when the connection is lost and tried again. */
  connection(state: "open" | "reconnecting"): void;
  /**
   * Told instead of any event when nothing could be started.
   *
   * @param error - an {@link ApiError} if the hub answered, in a way that cannot be used; else
   *   whatever `fetch` says of a hub that did not, or does not allow pages of this origin
   */
  refused(error: unknown): void;
  /** The clock: seconds since 1970. */
  now?(): number;
  fetch?: typeof fetch;
  /** Waits so many seconds, or until it is told to stop. */
  wait?(seconds: number, signal: AbortSignal): Promise<void>;
}

type Body = ReadableStream<Uint8Array<ArrayBuffer>>;

/**
 * Launch on a plain BinderHub.
 *
 * There is one gap that its protocol leaves: a hub that has sent `built` and `launching` over a
 * connection that broke before either came here is asked again, and starts another server.
 *
 * @returns a function that stops watching: no event comes any more. A build goes on; the server of
 *   a launch that is stopped late may come up all the same.
 */
export function launchOnBinderHub(options: BinderHubOptions): () => void {
  const watcher = new Watcher(options);
  void watcher.run();
  return () => watcher.stop();
}

class Watcher {
  readonly #options: BinderHubOptions;
  readonly #now: () => number;
  readonly #launch: BinderHubLaunch;
  readonly #repeats = new Repeats();
  readonly #abort = new AbortController();
  #failures = 0;
  /** Whether this connection has brought any event. */
  #isHeard = false;

  constructor(options: BinderHubOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => Date.now() / 1000);
    this.#launch = new BinderHubLaunch((event) => options.event(event), this.#now());
  }

  stop(): void {
    this.#abort.abort();
  }

  async run(): Promise<void> {
    try {
      await this.#watch();
    } finally {
      // A BinderHub keeps the connection open: 60 s after the server is ready, else for ever.
      this.#abort.abort();
    }
  }

  async #watch(): Promise<void> {
    const first = await this.#start().catch((error: unknown) => {
      if (!this.#isOver) this.#options.refused(error);
    });
    for (let body = first; body; body = await this.#again()) {
      if (this.#isOver) return;
      this.#options.connection("open");
      await this.#read(body);
      if (this.#isOver) return;
      if (this.#mayHaveServer) {
        this.#launch.fail("connection-lost", this.#now());
        return;
      }
      this.#repeats.begin();
    }
  }

  get #isOver(): boolean {
    return this.#launch.over || this.#abort.signal.aborted;
  }

  /** Whether a server may have been asked for: then asking again would start another one. */
  get #mayHaveServer(): boolean {
    // Where there is an image, a server is asked for at once: what was said of it may be lost.
    if (!this.#isHeard) return true;
    return this.#launch.phase === "built" || this.#launch.phase === "launching";
  }

  /** Connect for the first time; the error is what {@link BinderHubOptions.refused} is told. */
  async #start(): Promise<Body> {
    // Something harmless first, whatever is answered: where pages of this origin are not allowed, a
    // launch would start all the same, and nobody would ever hear of its server. Not its versions:
    // those it tells to everyone.
    const response = await this.#fetch(`${this.#options.hub}_config`);
    await response.body?.cancel();
    return this.#open();
  }

  async #open(): Promise<Body> {
    // Exactly this: a BinderHub takes no other.
    const headers = { Accept: "text/event-stream" };
    const response = await this.#fetch(addressOf(this.#options), headers);
    const { status, body } = response;
    const type = response.headers.get("Content-Type") ?? "";
    if (status === 200 && body && /^text\/event-stream\b/i.test(type)) return body;
    await body?.cancel();
    if (status === 200) throw new ApiError("What answered is not a BinderHub.", status, "unusable");
    throw new ApiError(`The server answered with status ${status}.`, status, "");
  }

  #fetch(address: string, headers: Record<string, string> = {}): Promise<Response> {
    const { signal } = this.#abort;
    return (this.#options.fetch ?? fetch)(address, { headers, cache: "no-store", signal });
  }

  /** Connect again, after a pause; nothing if that was tried often enough, or is not wanted. */
  async #again(): Promise<Body | undefined> {
    this.#options.connection("reconnecting");
    for (const pause of PAUSES.slice(this.#failures)) {
      this.#failures += 1;
      await (this.#options.wait ?? wait)(pause, this.#abort.signal);
      if (this.#isOver) return undefined;
      // However it failed: the next pause is longer.
      const body = await this.#start().catch(() => undefined);
      if (body) return body;
    }
    if (!this.#isOver) this.#launch.fail("unreachable", this.#now());
    return undefined;
  }

  /** Read one connection to its end, whatever end that is. */
  async #read(body: Body): Promise<void> {
    this.#isHeard = false;
    const take = (data: string) => {
      if (!this.#isOver) this.#take(data);
      return !this.#isOver;
    };
    try {
      await readEvents(body, take);
    } catch {
      // A cut: what follows from it is the same as from any other end.
    }
  }

  #take(data: string): void {
    this.#isHeard = true;
    const record = readRecord(data);
    const isStatus = phaseOf(record) === "waiting";
    if (isLogged(record) && this.#repeats.has(messageOf(record), isStatus)) return;
    this.#failures = 0;
    this.#launch.take(record, this.#now());
  }
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

/** Where a launch is asked for. */
function addressOf({ hub, spec }: BinderHubOptions): string {
  const build = `${hub}build/`;
  // What has a meaning in an address and none in a spec.
  const url = new URL(build + spec.replace(/[?#\\\s]/g, encodeURIComponent));
  if (!url.href.startsWith(build)) {
    throw new ApiError("The spec is not understood.", 400, "unusable");
  }
  return url.href;
}
