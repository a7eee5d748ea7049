/**
 * Reads `text/event-stream` from an answer. No DOM.
 */
import { createParser } from "eventsource-parser";

/** For how long events are taken in one go, in milliseconds: a page draws and answers between. */
const SLICE = 8;

/** Characters of the longest event. Attack: one that never ends would fill the memory. */
const LONGEST = 32 << 20;

/**
 * Read a stream to its end, event by event.
 *
 * @param body - of an answer of a server that streams
 * @param take - gets the data of each event, in order; says whether to go on
 * @param alive - called when anything comes, also what is no event
 * @throws what `take` throws, and what `fetch` does when the connection breaks; what came before
 *   that is taken first
 */
export async function readEvents(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
  take: (data: string) => boolean,
  alive: () => void = () => undefined,
): Promise<void> {
  const waiting: string[] = [];
  const parser = createParser({
    onEvent: ({ data }) => waiting.push(data),
    onError: (error) => {
      // Others are lines that the specification ignores.
      if (error.type === "max-buffer-size-exceeded") throw error;
    },
    maxBufferSize: LONGEST,
  });
  const decoder = new TextDecoder();
  const reader = body.getReader();
  // One ahead of the work: a stream that breaks takes with it what was not fetched yet.
  const fetchNext = () => {
    const next = reader.read();
    // Its error is for whoever waits for it, later.
    next.catch(() => undefined);
    return next;
  };
  try {
    for (let ahead = fetchNext(); ; ) {
      const { done, value } = await ahead;
      if (done) return;
      ahead = fetchNext();
      alive();
      parser.feed(decoder.decode(value, { stream: true }));
      let began = performance.now();
      for (const data of waiting.splice(0)) {
        if (!take(data)) return;
        if (performance.now() - began < SLICE) continue;
        await turn();
        began = performance.now();
      }
    }
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}

/** Let the page do what waits. Not a timer: in a hidden tab those come once a second. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(undefined);
  });
}
