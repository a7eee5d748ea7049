/**
 * A BinderHub for tests: a real HTTP server whose answers a test chooses.
 */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, vi } from "vitest";
import { launchOnBinderHub } from "../src/binderhub/binderhub";
import tables from "../src/binderhub/tables.json";
import { curveAt } from "../src/session/progress";
import type { LaunchEvent } from "../src/wire/event";

/** How the BinderHub answers one GET. */
export type Answer = (response: ServerResponse, request: IncomingMessage) => void;

/** Return the blocks of a stream that was recorded from a real BinderHub. */
export function recorded(name: string): string[] {
  const path = new URL(`../../tests/data/streams/binderhub-build-${name}.txt`, import.meta.url);
  const [, body = ""] = readFileSync(path, "utf8").split("\r\n\r\n");
  return body.split(/\n\n+/).filter((block) => block.startsWith("data:"));
}

/** Send blocks and keep the connection open, as BinderHub does. */
export function send(response: ServerResponse, blocks: readonly string[]): void {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  response.flushHeaders();
  response.write(blocks.map((block) => `${block}\n\n`).join(""));
}

export const hold =
  (blocks: readonly string[]): Answer =>
  (response) =>
    send(response, blocks);
/** Send blocks, and cut the connection when they have been sent. */
export const cutAfter =
  (blocks: readonly string[]): Answer =>
  (response) => {
    send(response, blocks);
    // In two writes: the first one must be read before the cut is noticed.
    setImmediate(() => response.write(":keepalive\n\n", () => response.destroy()));
  };
export const endAfter =
  (blocks: readonly string[]): Answer =>
  (response) => {
    send(response, blocks);
    response.end();
  };
export const status =
  (code: number): Answer =>
  (response) => {
    response.writeHead(code, { "Content-Type": "text/html" });
    response.end("<h1>No</h1>");
  };

/** Start a BinderHub that gives one answer after another, and repeats the last one. */
export async function startBinderHub(...answers: Answer[]) {
  const requests: { url: string; accept: string }[] = [];
  let closed = 0;
  const server = createServer((request, response) => {
    if (request.url === "/binder/_config") return status(404)(response, request);
    const answer = answers[Math.min(requests.length, answers.length - 1)]!;
    requests.push({ url: request.url ?? "", accept: request.headers.accept ?? "" });
    response.on("close", () => (closed += 1));
    answer(response, request);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const stop = () => (server.close(), server.closeAllConnections());
  onTestFinished(() => void stop());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/binder/`;
  return { url, requests, stop, closed: () => closed };
}

/** Launch, and wait for the last event or the refusal. */
export async function launch(url: string, spec = "gh/a/b/HEAD") {
  const events: LaunchEvent[] = [];
  const states: string[] = [];
  let time = 1000;
  vi.spyOn(Date, "now").mockImplementation(() => (time += 0.5) * 1000);
  const end = await new Promise<unknown>((resolve) => {
    const stop = launchOnBinderHub({
      binderhub: url,
      spec,
      event: (event) => {
        events.push(event);
        if (event.phase === "ready" || event.phase === "failed") resolve(event);
      },
      connection: (state) => states.push(state),
      refused: resolve,
    });
    onTestFinished(stop);
  });
  checkOrder(events);
  return { events, states, end };
}

/** Check what is true for all streams of events. */
function checkOrder(events: readonly LaunchEvent[]): void {
  expect(events.map(({ id }) => id)).toEqual(events.map((_, index) => index + 1));
  for (const [index, event] of events.entries()) {
    const before = events[index - 1];
    if (!before) continue;
    const order = (one: LaunchEvent) => tables.phases.indexOf(one.phase);
    expect(order(event)).toBeGreaterThanOrEqual(order(before));
    expect(event.time).toBeGreaterThanOrEqual(before.time);
    const along = before.curve ? curveAt(before.curve, event.time - before.time) : before.progress;
    expect(event.progress).toBeGreaterThanOrEqual(along - 0.002);
    if (event.phase !== "ready") expect(event.progress).toBeLessThan(100);
  }
}

export const messages = (events: readonly LaunchEvent[]) =>
  events.map(({ message }) => message ?? "").filter(Boolean);
