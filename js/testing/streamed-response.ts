/**
 * A `text/event-stream` response whose events a test sends.
 */
import type { LaunchEvent, Phase } from "../src/wire/event";

/** The response to one request. */
export class StreamedResponse {
  readonly response: Response;
  /** Whether the client closed it. */
  closed = false;
  #controller!: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;

  constructor(
    readonly url: string,
    signal?: AbortSignal | null,
  ) {
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start: (controller) => {
        this.#controller = controller;
      },
      cancel: () => {
        this.closed = true;
      },
    });
    signal?.addEventListener("abort", () => {
      if (this.closed) return;
      this.closed = true;
      this.#controller.error(signal.reason);
    });
    this.response = new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  }

  /** Send bytes as they are. */
  write(text: string): void {
    this.#controller.enqueue(new TextEncoder().encode(text));
  }

  /** Send an event. */
  send(event: Partial<LaunchEvent> & { id: number; phase: Phase }): void {
    const complete = { time: Date.now() / 1000, elapsed: 3, progress: 10, ...event };
    this.write(`id: ${event.id}\ndata: ${JSON.stringify(complete)}\n\n`);
  }

  /** End the response, as a server that shuts down in good order. */
  end(): void {
    this.#controller.close();
  }

  /** Break the connection. */
  cut(): void {
    this.#controller.error(new TypeError("network error"));
  }
}
