/**
 * Keeps reading a stream of server-sent events, over as many connections as it takes. No DOM.
 */
import { pause } from "./pause";
import { readEvents } from "./stream";

/** A connection that had data after this many milliseconds was a good one: the delays start over. */
const STABLE = 30_000;

/** Without any data for this many milliseconds, a connection is dead: servers send keepalives. */
const SILENCE = 35_000;

/** After this many milliseconds without any data, {@link wake} replaces a connection. */
const QUIET = 20_000;

/** What reconnects at once when {@link wake} is called. */
const sleepers = new Set<() => void>();

/** Reconnect all streams at once, except those that got data a moment ago. */
export function wake(): void {
  for (const wakeUp of sleepers) wakeUp();
}

/** The body of a response. */
export type Body = ReadableStream<Uint8Array<ArrayBuffer>>;

/** A stream that can be requested again. */
export interface Reconnectable {
  /**
   * Request the stream.
   *
   * @param signal - ends this connection
   * @throws any error; {@link Reconnectable.lost} gets it
   */
  open(signal: AbortSignal): Promise<Body>;
  /** Called when the stream begins. */
  opened(): void;
  /**
   * Take the data of one event.
   *
   * @returns whether it was new; the delays start over then
   */
  take(data: string): boolean;
  /** Called with each comment; those of keepalives are empty. */
  note?: ((comment: string) => void) | undefined;
  /**
   * Called when a connection ended or could not be made.
   *
   * @param error - nothing if the server ended the stream
   * @param heard - when data last arrived or the connection was begun, in milliseconds since 1970
   * @param failures - the number of attempts before that failed in a row
   * @returns whether to reconnect
   */
  lost(error: unknown, heard: number, failures: number): boolean;
}

/**
 * Read a stream, and reconnect when the connection is lost.
 *
 * An answer alone does not count as success: a server that accepts each connection and then cuts it
 * is asked less and less often.
 *
 * @param stop - ends it; the stream's own end does that, too
 */
export async function follow(stream: Reconnectable, stop: AbortSignal): Promise<void> {
  let failures = 0;
  /** When data last arrived, or the connection was begun; 0 during a pause. */
  let heard: number;
  /** Ends the connection, or the pause. */
  let ender: AbortController;
  /** Whether an attempt has no answer yet. */
  let asking: boolean;
  const end = () => ender.abort();
  const wakeUp = () => {
    const recent = Date.now() - heard < QUIET;
    if (recent && !asking) return;
    // The network may need another moment. An attempt that began before the page woke up may fail.
    failures = -1;
    if (!recent) end();
  };
  stop.addEventListener("abort", end);
  sleepers.add(wakeUp);
  for (; ; failures += 1) {
    let error: unknown;
    /** Seconds before the first attempt to reconnect. */
    let retry = 1;
    const began = Date.now();
    ender = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const alive = (milliseconds?: number) => {
      if (milliseconds) retry = milliseconds / 1000;
      heard = Date.now();
      clearTimeout(timer);
      timer = setTimeout(end, SILENCE);
    };
    try {
      alive();
      asking = true;
      const body = await stream.open(ender.signal).finally(() => (asking = false));
      if (stop.aborted) break;
      stream.opened();
      await readEvents(
        body,
        (data) => {
          if (!stop.aborted && stream.take(data)) failures = 0;
          return !stop.aborted;
        },
        alive,
        stream.note,
      );
    } catch (reason) {
      error = reason;
    } finally {
      clearTimeout(timer);
      end();
    }
    if (heard! - began > STABLE) failures = 0;
    if (stop.aborted || !stream.lost(error, heard!, failures)) break;
    if (failures < 0) continue;
    heard = 0;
    ender = new AbortController();
    // A server that is being stopped sends its viewers away one after the other.
    // The server can make its viewers wait for a minute at most.
    await pause([Math.min(retry, 60), 2, 4, 8][failures] ?? 15, ender.signal);
    if (stop.aborted) break;
  }
  sleepers.delete(wakeUp);
}
