/**
 * The server's API, for pages, for the element and for Node. No DOM: only `fetch`.
 */
import type { LaunchEvent, Phase } from "./event";
import { isTerminal } from "../session/progress";
import { readEvents } from "./stream";

export { hubUrl } from "./server-url";

/** Where a launch is found. */
export interface Links {
  events_url: string;
  socket_url: string;
  log_url: string;
  page_url: string;
  state_url: string;
}

/** What the server answers when it starts a launch. */
export interface Started extends Links {
  /** The key to the launch: who has it may watch, cancel and open. */
  id: string;
  spec: string;
}

/** A launch as it is now. */
export interface LaunchState {
  id: string;
  spec: string;
  phase: Phase;
  progress: number;
  repo_url: string;
  ref: string;
  /** The server's clock, in seconds since 1970. */
  now: number;
  created: number;
  /** The number of its newest event. */
  last: number;
  viewers: number;
}

/** What the server refused, in its own words. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    message: string,
    /** The HTTP status. */
    readonly status: number,
    /** Why, for programs; empty if the server did not say. */
    readonly reason: string,
  ) {
    super(message);
  }

  /** Whether asking again would change nothing. */
  get final(): boolean {
    return this.status < 500 && this.status !== 429;
  }
}

/**
 * Start a launch.
 *
 * @param baseUrl - the server's address, with a slash at the end
 * @param request - what to launch: `spec` is `<provider>/<...>/<ref>`
 * @throws ApiError with the server's sentence if it will not
 */
export async function startLaunch(baseUrl: string, request: { spec: string }): Promise<Started> {
  const response = await fetch(`${baseUrl}api/launches`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...proof(baseUrl) },
    body: JSON.stringify(request),
  });
  return answer<Started>(response);
}

/**
 * Ask how a launch stands.
 *
 * @throws ApiError, of status 404 if the server does not know the launch (any more)
 */
export function getState(stateUrl: string): Promise<LaunchState> {
  return getJson<LaunchState>(stateUrl);
}

/**
 * Ask an address of the server for its JSON.
 *
 * @throws ApiError with the server's sentence if it refuses
 */
export async function getJson<T>(url: string, signal?: AbortSignal): Promise<T> {
  const options = { cache: "no-store", headers: proof(url), ...(signal && { signal }) } as const;
  return answer<T>(await fetch(url, options));
}

/** Cancel a launch; its stream then ends with a `cancelled` event. */
export async function cancel(stateUrl: string): Promise<void> {
  const response = await fetch(stateUrl, { method: "DELETE", headers: proof(stateUrl) });
  if (!response.ok) throw await refusal(response);
}

/** Nothing came for so long, in seconds, that the connection must be dead: keepalives do. */
const SILENCE = 60;

/** Seconds before each try to connect again, the last one again and again. */
const PAUSES = [1, 2, 4, 8, 15];

/** What {@link watch} tells. */
export interface WatchCallbacks {
  /** The next event, each once and in order. */
  event(event: LaunchEvent): void;
  /** The server answers with the stream. */
  open?(): void;
  /** The connection is lost, and will be made again: nothing is missed. */
  lost?(error: unknown): void;
  /** The server does not know the launch, or not any more, or refuses: no event comes any more. */
  refused?(error: ApiError): void;
  /** The server sent something that is no event; the stream goes on. */
  error?(error: Error): void;
}

/**
 * Watch a launch until its terminal event. A lost connection goes on where it stopped; it starts
 * nothing.
 *
 * @param eventsUrl - the launch's `events_url`
 * @param callbacks - told of events and of the connection
 * @param after - the number of the last event already known
 * @returns a function that stops watching
 */
export function watch(eventsUrl: string, callbacks: WatchCallbacks, after = 0): () => void {
  const watcher = new Watcher(eventsUrl, callbacks, after);
  void watcher.run();
  return () => watcher.stop();
}

class Watcher {
  readonly #url: string;
  readonly #tell: WatchCallbacks;
  readonly #stop = new AbortController();
  #last: number;
  #failures = 0;
  #ended = false;

  constructor(url: string, callbacks: WatchCallbacks, after: number) {
    this.#url = url;
    this.#tell = callbacks;
    this.#last = after;
  }

  stop(): void {
    this.#stop.abort();
  }

  async run(): Promise<void> {
    for (;;) {
      let lost: unknown;
      try {
        await this.#connect();
      } catch (error) {
        lost = error;
      }
      if (this.#isOver) return;
      if (lost instanceof ApiError && lost.final) {
        this.#tell.refused?.(lost);
        return;
      }
      this.#tell.lost?.(lost);
      await this.#pause();
      if (this.#isOver) return;
    }
  }

  get #isOver(): boolean {
    return this.#ended || this.#stop.signal.aborted;
  }

  async #connect(): Promise<void> {
    const silent = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), SILENCE * 1000);
    };
    const stop = () => silent.abort();
    this.#stop.signal.addEventListener("abort", stop);
    try {
      alive();
      const after = this.#last > 0 ? `${this.#url.includes("?") ? "&" : "?"}after=${this.#last}` : "";
      const response = await fetch(this.#url + after, {
        headers: { Accept: "text/event-stream", ...proof(this.#url) },
        cache: "no-store",
        signal: silent.signal,
      });
      if (!response.ok) throw await refusal(response);
      if (this.#isOver || !response.body) return;
      this.#failures = 0;
      this.#tell.open?.();
      await readEvents(response.body, (data) => this.#take(data), alive);
    } finally {
      clearTimeout(timer);
      this.#stop.signal.removeEventListener("abort", stop);
    }
  }

  /** Take the data of an event; says whether there is more to take. */
  #take(data: string): boolean {
    if (this.#isOver) return false;
    let event: LaunchEvent;
    try {
      event = readEvent(data);
    } catch (error) {
      this.#tell.error?.(error as Error);
      return true;
    }
    if (event.id <= this.#last) return true;
    this.#last = event.id;
    this.#ended = isTerminal(event);
    this.#tell.event(event);
    return !this.#ended;
  }

  #pause(): Promise<void> {
    const seconds = PAUSES[Math.min(this.#failures, PAUSES.length - 1)] ?? 1;
    this.#failures += 1;
    return new Promise((resolve) => {
      // Not all at once: a lecture's viewers were all cut at the same moment.
      const timer = setTimeout(resolve, seconds * (750 + 500 * Math.random()));
      const stop = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#stop.signal.addEventListener("abort", stop, { once: true });
    });
  }
}

/**
 * Read an event from JSON.
 *
 * Only what everything else stands on is checked: the server checked the rest.
 *
 * @throws Error if it is none
 */
export function readEvent(json: string): LaunchEvent {
  const event = JSON.parse(json) as Partial<LaunchEvent> | null;
  if (typeof event?.id !== "number" || typeof event.phase !== "string") {
    throw new Error("The server sent something that is not an event.");
  }
  return event as LaunchEvent;
}

/**
 * What shows that the server's own page asks: a service of a JupyterHub and a Jupyter server want
 * their cookie back, which pages below other paths of their site cannot read.
 */
function proof(url: string): Record<string, string> {
  // Node.js has no document; and another site is told nothing.
  if (typeof document === "undefined") return {};
  const token = /(?:^|; )_xsrf=([^;]*)/.exec(document.cookie)?.[1];
  const own = new URL(url, location.href).origin === location.origin;
  return token && own ? { "X-XSRFToken": token } : {};
}

async function answer<T>(response: Response): Promise<T> {
  if (!response.ok) throw await refusal(response);
  return (await response.json()) as T;
}

async function refusal(response: Response): Promise<ApiError> {
  const { status } = response;
  const text = await response.text();
  const { message, reason } = readRefusal(text);
  return new ApiError(message ?? `The server answered with status ${status}.`, status, reason ?? "");
}

/** Proxies in between answer with HTML: then there is nothing to read. */
function readRefusal(text: string): { message?: string; reason?: string } {
  try {
    return (JSON.parse(text) as { error?: object } | null)?.error ?? {};
  } catch {
    return {};
  }
}
