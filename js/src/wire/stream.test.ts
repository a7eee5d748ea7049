import { expect, test, vi } from "vitest";
import { readEvents } from "./stream";

function answer(
  ...chunks: Uint8Array<ArrayBuffer>[]
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(chunk);
        controller.close();
      },
    });
}

const bytes = (text: string) => new TextEncoder().encode(text);

test("chunks may be split anywhere", async () => {
  const whole = bytes("\ufeffid: 1\r\ndata: eins é 中 🎉\r\n\r\n:comment\n\ndata: a\ndata: b\n\n");
  for (let at = 0; at <= whole.length; at += 1) {
    const seen: string[] = [];
    await readEvents(answer(whole.slice(0, at), whole.slice(at)), (data) => seen.push(data) > 0);
    expect(seen).toEqual(["eins é 中 🎉", "a\nb"]);
  }
});

test("an incomplete event is ignored", async () => {
  const seen: string[] = [];
  await readEvents(answer(bytes("data: 1\n\ndata: 2\n")), (data) => seen.push(data) > 0);
  expect(seen).toEqual(["1"]);
});

test("many events in one chunk leave the page responsive", async () => {
  const count = 2000;
  let taken = 0;
  let turns = 0;
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    turns += 1;
    if (taken < count) port2.postMessage(undefined);
    else port1.close();
  };
  port2.postMessage(undefined);
  await readEvents(answer(bytes("data: x\n\n".repeat(count))), () => {
    taken += 1;
    // Simulate work.
    for (const began = performance.now(); performance.now() - began < 0.05; );
    return true;
  });
  expect(taken).toBe(count);
  // 100 ms of work in slices of 8 ms.
  expect(turns).toBeGreaterThan(5);
});

test("an error of `take` ends the stream", async () => {
  const take = vi.fn(() => {
    throw new Error("enough");
  });
  await expect(readEvents(answer(bytes("data: 1\n\ndata: 2\n\n")), take)).rejects.toThrow("enough");
  expect(take).toHaveBeenCalledTimes(1);
});

test("attack: an event that never ends does not fill the memory", async () => {
  const chunk = bytes("x".repeat(1 << 20));
  const chunks = [bytes("data: "), ...Array.from({ length: 40 }, () => chunk)];
  await expect(readEvents(answer(...chunks), () => true)).rejects.toThrow(/buffer/i);
});

test("continues until `take` returns false, and then closes the stream", async () => {
  const seen: string[] = [];
  const cancelled = vi.fn();
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start: (controller) => controller.enqueue(bytes("data: 1\n\ndata: 2\n\ndata: 3\n\n")),
    cancel: cancelled,
  });
  await readEvents(body, (data) => seen.push(data) < 2);
  expect(seen).toEqual(["1", "2"]);
  await vi.waitFor(() => expect(cancelled).toHaveBeenCalled());
});

test("events before a connection broke are delivered", async () => {
  const seen: string[] = [];
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      controller.enqueue(bytes("data: 1\n\n"));
      setTimeout(() => controller.error(new TypeError("network error")));
    },
  });
  await expect(readEvents(body, (data) => seen.push(data) > 0)).rejects.toThrow("network error");
  expect(seen).toEqual(["1"]);
});
