/**
 * Watches a launch, over as many connections as it takes. No DOM; loaded when a launch starts.
 */
import { ApiError, proof, refusal } from "./client";
import type { LaunchEvent } from "./event";
import { isTerminal } from "../session/progress";
import { follow, type Reconnectable } from "./reconnect";

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
