/**
 * Keeps reading a stream of server-sent events, over as many connections as it takes. No DOM.
 */
import { pause } from "./pause";
import { readEvents } from "./stream";

/** Seconds before each attempt to reconnect. */
const DELAYS = [1, 2, 4, 8, 15];

/** A connection that lasted this many milliseconds was a good one: the delays start over. */
const STABLE = 30_000;

/** Without any data for this many milliseconds, a connection is dead: servers send keepalives. */
const SILENCE = 60_000;

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
  /**
   * Called when a connection ended or could not be made.
   *
   * @param error - nothing if the server ended the stream
   * @returns whether to reconnect
   */
  lost(error: unknown): boolean;
  /** Called instead of another attempt when all delays are used up. Without it, the last repeats. */
  giveUp?(): void;
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
  for (let failures = 0; ; failures += 1) {
    let error: unknown;
    let opened = Number.NaN;
    const connection = new AbortController();
    const close = () => connection.abort();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(close, SILENCE);
    };
    stop.addEventListener("abort", close);
    try {
      alive();
      const body = await stream.open(connection.signal);
      if (stop.aborted) return;
      opened = performance.now();
      stream.opened();
      await readEvents(
        body,
        (data) => {
          if (!stop.aborted && stream.take(data)) failures = 0;
          return !stop.aborted;
        },
        alive,
      );
    } catch (reason) {
      error = reason;
    } finally {
      clearTimeout(timer);
      stop.removeEventListener("abort", close);
      close();
    }
    if (performance.now() - opened > STABLE) failures = 0;
    if (stop.aborted || !stream.lost(error)) return;
    if (failures >= DELAYS.length && stream.giveUp) return stream.giveUp();
    await pause(DELAYS[Math.min(failures, DELAYS.length - 1)]!, stop);
    if (stop.aborted) return;
  }
}
