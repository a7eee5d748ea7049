/**
 * Reads the events of a `text/event-stream` response. No DOM.
 */
import { createParser } from "eventsource-parser";

/** How long events are handled without a break, in milliseconds, so that the page stays responsive. */
const SLICE = 8;

/** The longest event, in characters. Attack: an event that never ends would fill the memory. */
const MAX_LENGTH = 32 << 20;

/**
 * Read a stream to its end, event by event.
 *
 * @param body - the body of the response
 * @param take - gets the data of each event, in order, and returns whether to continue
 * @param alive - called when any data arrives, including keepalives, and again with the milliseconds
 *   after which to reconnect, if the server says so
 * @param note - gets the comments; those of keepalives are empty
 * @throws the errors of `take`, and of `fetch` when the connection breaks; events that arrived before
 *   that are handled first
 */
export async function readEvents(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  take: (data: string) => boolean,
  alive?: (retry?: number) => void,
  note?: (comment: string) => void,
): Promise<void> {
  const pending: string[] = [];
  const parser = createParser({
    onEvent: ({ data }) => pending.push(data),
    onError: (error) => {
      // All other errors are about lines that the specification tells us to ignore.
      if (error.type === "max-buffer-size-exceeded") throw error;
    },
    onRetry: alive as (retry: number) => void,
    onComment: note as (comment: string) => void,
    maxBufferSize: MAX_LENGTH,
  });
  const decoder = new TextDecoder();
  const reader = body.getReader();
  // Read one chunk ahead: when a stream breaks, chunks that were not read yet are lost.
  const fetchNext = () => {
    const next = reader.read();
    // The error is handled where the chunk is awaited.
    next.catch(() => undefined);
    return next;
  };
  try {
    for (let ahead = fetchNext(); ; ) {
      const { done, value } = await ahead;
      if (done) return;
      ahead = fetchNext();
      alive?.();
      parser.feed(decoder.decode(value, { stream: true }));
      let start = performance.now();
      for (const data of pending.splice(0)) {
        if (!take(data)) return;
        if (performance.now() - start < SLICE) continue;
        await nextTask();
        start = performance.now();
      }
    }
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}

/** Let the page handle its pending tasks. Not with a timer, which hidden tabs run once a second. */
function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}
