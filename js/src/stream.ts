/**
 * Reads `text/event-stream` from an answer. No DOM.
 */
import { createParser } from "eventsource-parser";

/** For how long events are taken in one go, in milliseconds: a page draws and answers between. */
const SLICE = 8;

/** Characters of the longest event. Attack: one that never ends would fill the memory. */
const LONGEST = 32 << 20;

/**
 * Read an answer to its end, event by event.
 *
 * @param response - of a server that streams
 * @param take - gets the data of each event, in order; what it throws ends the reading
 * @param alive - called when anything comes, also what is no event
 * @throws what `take` throws, and what `fetch` does when the connection breaks
 */
export async function readEvents(
  response: Response,
  take: (data: string) => void,
  alive: () => void = () => undefined,
): Promise<void> {
  if (!response.body) return;
  const waiting: string[] = [];
  const parser = createParser({
    onEvent: ({ data }) => waiting.push(data),
    onError: (error) => {
      // Others are lines that the specification ignores.
      if (error.type === "max-buffer-size-exceeded") throw error;
    },
    maxBufferSize: LONGEST,
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      parser.feed(value);
      let began = performance.now();
      for (const data of waiting.splice(0)) {
        take(data);
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
