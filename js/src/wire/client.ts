/**
 * A client of the server's API, for pages, the element and Node.js. No DOM, only `fetch`.
 */
import type { LaunchEvent, Phase } from "./event";
import { isTerminal } from "../session/progress";
import { follow, type Reconnectable } from "./reconnect";

/** The addresses of a launch. */
export interface Links {
  events_url: string;
  socket_url: string;
  log_url: string;
  page_url: string;
  state_url: string;
}

/** The server's response when it has started a launch. */
export interface Started extends Links {
  /** A secret: anyone who has it can watch the launch, cancel it and open its Jupyter server. */
  id: string;
  spec: string;
  /** The path that the launched address opens in the Jupyter server. */
  urlpath: string;
}

/** The current state of a launch. */
export interface LaunchState {
  id: string;
  spec: string;
  phase: Phase;
  progress: number;
  repo_url: string;
  ref: string;
  /** The server's time, in seconds since 1970. */
  now: number;
  created: number;
  /** The number of its latest event. */
  last: number;
  viewers: number;
  /** Seconds without viewers after which a running launch is cancelled. */
  abandon_after: number;
  /** Whether what happens is not shown yet, because the server's database is away. */
  waiting_for_storage: boolean;
}

/** An error response of the server, with its own message. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    message: string,
    /** The HTTP status. */
    readonly status: number,
    /** The reason, for programs; empty if the server gave none. */
    readonly reason: string,
    /** Whether the server itself sent it, and not a proxy whose server is restarting. */
    readonly own = true,
  ) {
    super(message);
  }

  /** Whether a retry would get the same response. */
  get final(): boolean {
    return this.status < 500 && this.status !== 429 && (this.own || this.status !== 404);
  }
}

/**
 * Start a launch.
 *
 * @param baseUrl - the server's address, with a trailing slash
 * @param request - what to launch: `spec` is `<provider>/<...>/<ref>`
 * @throws ApiError with the server's message if it refuses
 */
export async function startLaunch(baseUrl: string, request: { spec: string }): Promise<Started> {
  const response = await fetch(`${baseUrl}api/launches`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...proof(baseUrl) },
    body: JSON.stringify(request),
  });
  return readJson<Started>(response);
}

/**
 * Get the state of a launch.
 *
 * @throws ApiError of status 404 if the server does not know the launch, or no longer
 */
export const getState: (stateUrl: string) => Promise<LaunchState> = getJson;

/**
 * Get JSON from the server.
 *
 * @throws ApiError with the server's message if it refuses
 */
export async function getJson<T>(url: string, signal?: AbortSignal): Promise<T> {
  const options = { cache: "no-store", headers: proof(url), ...(signal && { signal }) } as const;
  return readJson<T>(await fetch(url, options));
}

/** Cancel a launch. Its stream then ends with a `cancelled` event. */
export async function cancel(stateUrl: string): Promise<void> {
  const response = await fetch(stateUrl, { method: "DELETE", headers: proof(stateUrl) });
  if (!response.ok) throw await refusal(response);
}

/** What {@link watch} calls. */
export interface WatchCallbacks {
  /** Gets each event once and in order. */
  event(event: LaunchEvent): void;
  /** The stream has begun. */
  open?(): void;
  /**
   * The connection was lost. It is made again, and no event is missed.
   *
   * @param heard - when data last arrived, in milliseconds since 1970
   */
  lost?(error: unknown, heard: number): void;
  /** Gets comments of the stream: "waiting for storage", or nothing if that is over. */
  note?: (comment: string) => void;
  /** The server does not know the launch or refuses to show it. No event follows. */
  refused?(error: ApiError): void;
  /** The server sent something that is not an event. The stream goes on. */
  error?(error: Error): void;
}

/**
 * Watch a launch until its last event. After a lost connection it resumes where it stopped, and
 * never starts a second launch.
 *
 * @param eventsUrl - the launch's `events_url`
 * @param after - the number of the last event already received
 * @returns a function that stops watching
 */
export function watch(eventsUrl: string, callbacks: WatchCallbacks, after = 0): () => void {
  const abort = new AbortController();
  const stop = () => abort.abort();
  let last = after;
  const stream: Reconnectable = {
    async open(signal) {
      const query = last > 0 ? `${eventsUrl.includes("?") ? "&" : "?"}after=${last}` : "";
      const response = await fetch(eventsUrl + query, {
        headers: { Accept: "text/event-stream", ...proof(eventsUrl) },
        cache: "no-store",
        signal,
      });
      if (!response.ok || !response.body) throw await refusal(response);
      return response.body;
    },
    opened: () => callbacks.open?.(),
    note: callbacks.note,
    take(data) {
      let event: LaunchEvent;
      try {
        event = readEvent(data);
      } catch (error) {
        callbacks.error?.(error as Error);
        return false;
      }
      if (event.id <= last) return false;
      last = event.id;
      if (isTerminal(event)) stop();
      callbacks.event(event);
      return true;
    },
    lost(error, heard) {
      const isFinal = error instanceof ApiError && error.final;
      if (isFinal) callbacks.refused?.(error);
      else callbacks.lost?.(error, heard);
      return !isFinal;
    },
  };
  void follow(stream, abort.signal);
  return stop;
}

/**
 * Read an event from JSON.
 *
 * Only `id` and `phase` are checked, which everything else depends on. The server checked the rest.
 *
 * @throws Error if it is not an event
 */
export function readEvent(json: string): LaunchEvent {
  const event = JSON.parse(json) as Partial<LaunchEvent> | null;
  if (typeof event?.id !== "number" || typeof event.phase !== "string") {
    throw new Error("The server sent something that is not an event.");
  }
  return event as LaunchEvent;
}

/**
 * Headers that prove that a request comes from the server's own page. A JupyterHub service and a
 * Jupyter server expect the value of their cookie, which pages at other paths of the site cannot
 * read.
 */
function proof(url: string): Record<string, string> {
  // Node.js has no document. Other sites must not get the token.
  if (typeof document === "undefined") return {};
  const token = /(?:^|; )_xsrf=([^;]*)/.exec(document.cookie)?.[1];
  const isOwn = new URL(url, location.href).origin === location.origin;
  return token && isOwn ? { "X-XSRFToken": token } : {};
}

/**
 * Return the JSON of a response.
 *
 * @throws ApiError if it is an error
 */
export async function readJson<T>(response: Response): Promise<T> {
  if (!response.ok) throw await refusal(response);
  return (await response.json()) as T;
}

/** Read an error response. A proxy's is HTML, which says nothing. */
async function refusal(response: Response): Promise<ApiError> {
  const { status } = response;
  type Refusal = { error?: { message?: string; reason?: string } } | null;
  const content = (await response.json().catch(() => null)) as Refusal;
  const { message, reason } = content?.error ?? {};
  const text = message ?? `The server answered with status ${status}.`;
  return new ApiError(text, status, reason ?? "", !!message);
}
