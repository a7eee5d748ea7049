/**
 * The server's API, for pages, for the element and for Node. No DOM: only `fetch`.
 */
import type { LaunchEvent, Phase } from "./event";
import { isTerminal } from "./progress";
import { readEvents } from "./stream";

export { hubUrl } from "./hub-url";

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
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(request),
  });
  return answer<Started>(response);
}

/**
 * Ask how a launch stands.
 *
 * @throws ApiError, of status 404 if the server does not know the launch (any more)
 */
export async function getState(stateUrl: string): Promise<LaunchState> {
  return answer<LaunchState>(await fetch(stateUrl, { cache: "no-store" }));
}

/** Cancel a launch; its stream then ends with a `cancelled` event. */
export async function cancel(stateUrl: string): Promise<void> {
  const response = await fetch(stateUrl, { method: "DELETE" });
  if (!response.ok) throw await refusal(response);
}

/** Nothing came for so long, in seconds, that the connection must be dead: keepalives do. */
const SILENCE = 60;

/** What {@link watch} tells. */
export interface WatchCallbacks {
  /** The next event, each once and in order. */
  event(event: LaunchEvent): void;
  /** The server answers with the stream. */
  open?(): void;
  /**
   * It ended before the launch did: to go on, watch again after the last event.
   *
   * @param error - an {@link ApiError} if the server would not; else the network's, or nothing
   */
  lost?(error: unknown): void;
  /** The server sent something that is no event; the stream goes on. */
  error?(error: Error): void;
}

/**
 * Watch a launch until its terminal event, or until the connection is lost. It starts nothing.
 *
 * @param eventsUrl - the launch's `events_url`
 * @param callbacks - told of events and of the connection
 * @param after - the number of the last event already known
 * @returns a function that stops watching
 */
export function watch(eventsUrl: string, callbacks: WatchCallbacks, after = 0): () => void {
  const control = new AbortController();
  let last = after;
  let ended = false;
  let stopped = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => control.abort(), SILENCE * 1000);
  };
  const take = (data: string) => {
    if (stopped) return false;
    let event: LaunchEvent;
    try {
      event = readEvent(data);
    } catch (error) {
      callbacks.error?.(error as Error);
      return true;
    }
    if (event.id <= last) return true;
    last = event.id;
    ended = isTerminal(event);
    callbacks.event(event);
    return !ended;
  };
  const read = async () => {
    alive();
    try {
      const response = await fetch(after > 0 ? `${eventsUrl}?after=${after}` : eventsUrl, {
        headers: { Accept: "text/event-stream" },
        cache: "no-store",
        signal: control.signal,
      });
      if (!response.ok) throw await refusal(response);
      if (!stopped) callbacks.open?.();
      if (response.body) await readEvents(response.body, take, alive);
      if (!ended && !stopped) callbacks.lost?.(undefined);
    } catch (error) {
      if (!ended && !stopped) callbacks.lost?.(error);
    } finally {
      clearTimeout(timer);
    }
  };
  void read();
  return () => {
    stopped = true;
    control.abort();
  };
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
