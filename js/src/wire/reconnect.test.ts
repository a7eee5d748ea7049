import { getEventListeners } from "node:events";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { StreamedResponse } from "../../testing/streamed-response";
import { pause } from "./pause";
import { follow, type Reconnectable, wake } from "./reconnect";

let abort: AbortController;
let connection: StreamedResponse;
/** The calls to the stream, with their time in seconds. */
let calls: [seconds: number, call: string][];
let milliseconds: number;

beforeEach(() => {
  abort = new AbortController();
  calls = [];
  milliseconds = 0;
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  vi.spyOn(performance, "now").mockImplementation(() => milliseconds);
  vi.spyOn(Date, "now").mockImplementation(() => milliseconds);
});
afterEach(() => {
  abort.abort();
  vi.useRealTimers();
  vi.restoreAllMocks();
});

function start(stream: Partial<Reconnectable> = {}): Promise<void> {
  const note = (call: string) => calls.push([milliseconds / 1000, call]);
  return follow(
    {
      async open(signal) {
        connection = new StreamedResponse("", signal);
        return connection.response.body!;
      },
      opened: () => note("opened"),
      take(data) {
        note(data);
        return data === "new";
      },
      lost() {
        note("lost");
        return true;
      },
      ...stream,
    },
    abort.signal,
  );
}

/** Let time pass, and streams deliver their data. */
async function pass(seconds: number): Promise<void> {
  for (let passed = 0; passed <= seconds; passed += 1) {
    if (passed) milliseconds += 1000;
    await vi.advanceTimersByTimeAsync(passed ? 1000 : 0);
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** When the stream was opened, in seconds. */
function opened(): number[] {
  return calls.filter(([, call]) => call === "opened").map(([seconds]) => seconds);
}

test("an event that was known already does not start the delays over", async () => {
  void start();
  for (const seconds of [1, 2, 4]) {
    await pass(0);
    connection.write("data: old\n\n");
    connection.end();
    await pass(seconds);
  }
  expect(opened()).toEqual([0, 1, 3, 7]);
});

test("a new event does", async () => {
  void start();
  for (const seconds of [1, 1, 1]) {
    await pass(0);
    connection.write("data: new\n\n");
    connection.end();
    await pass(seconds);
  }
  expect(opened()).toEqual([0, 1, 2, 3]);
});

test("so does a long connection, such as that of a launch in the queue", async () => {
  void start();
  for (const seconds of [20, 31, 31]) {
    await pass(seconds);
    connection.write(":keepalive\n\n");
    connection.end();
    await pass(2);
  }
  // After 20 seconds, the second delay would have been 2 s.
  expect(opened()).toEqual([0, 21, 54, 87]);
});

test("it reconnects when the server says so, but not as fast again and again", async () => {
  void start();
  for (const seconds of [3, 2, 4]) {
    await pass(0);
    connection.write("retry: 3000\n\n");
    connection.end();
    await pass(seconds);
  }
  expect(opened()).toEqual([0, 3, 5, 9]);
});

test("attack: a server cannot keep it from reconnecting", async () => {
  void start();
  await pass(0);
  connection.write("retry: 999999999999\n\n");
  connection.end();
  await pass(59);
  expect(opened()).toEqual([0]);
  await pass(1);
  expect(opened()).toEqual([0, 60]);
});

test("it gives up after the last delay, if the stream wants that", async () => {
  const lost = vi.fn((_error, _heard, failures: number) => failures < 5);
  const open = vi.fn(() => Promise.reject(new TypeError("network")));
  const end = start({ open, lost });
  await pass(30);
  await end;
  expect(lost).toHaveBeenCalledTimes(6);
  expect(open).toHaveBeenCalledTimes(6);
});

test("it reconnects at once when the page wakes up during a pause, and the delays start over", async () => {
  let isOnline = true;
  void start({
    async open(signal) {
      if (!isOnline) throw new TypeError("network");
      connection = new StreamedResponse("", signal);
      return connection.response.body!;
    },
  });
  await pass(0);
  isOnline = false;
  connection.end();
  await pass(20);
  isOnline = true;
  wake();
  await pass(0);
  expect(opened()).toEqual([0, 20]);
  connection.end();
  await pass(1);
  expect(opened()).toEqual([0, 20, 21]);
});

test("an attempt that began before the page woke up and fails is repeated at once", async () => {
  let attempts = 0;
  let fail: (reason: unknown) => void;
  void start({
    open(signal) {
      attempts += 1;
      if (attempts === 2) return new Promise((_, reject) => (fail = reject));
      connection = new StreamedResponse("", signal);
      return Promise.resolve(connection.response.body!);
    },
  });
  await pass(0);
  connection.end();
  await pass(1);
  expect(attempts).toBe(2);
  wake();
  fail!(new TypeError("network"));
  await pass(0);
  expect(opened()).toEqual([0, 1]);
});

test("a connection that was silent for some time is replaced at once when the page wakes up", async () => {
  void start();
  await pass(10);
  wake();
  await pass(0);
  expect(opened()).toEqual([0]);
  await pass(11);
  wake();
  await pass(0);
  expect(opened()).toEqual([0, 21]);
});

test("a silent connection is replaced after 35 seconds", async () => {
  void start();
  await pass(30);
  connection.write(":keepalive\n\n");
  await pass(34);
  expect(opened()).toEqual([0]);
  await pass(2);
  expect(opened()).toEqual([0, 66]);
});

test("it tells when data last arrived", async () => {
  const lost = vi.fn(() => true);
  void start({ lost });
  await pass(3);
  connection.write(":keepalive\n\n");
  await pass(4);
  connection.end();
  await pass(0);
  expect(lost).toHaveBeenCalledWith(undefined, 3000, 0);
});

test("once it has ended, it does not wake up", async () => {
  const end = start();
  await pass(0);
  abort.abort();
  await end;
  wake();
  await pass(0);
  expect(opened()).toEqual([0]);
});

test("it ends if the stream does not want to reconnect", async () => {
  const end = start({ lost: () => false });
  await pass(0);
  connection.end();
  await end;
  expect(opened()).toEqual([0]);
});

test("stopped during a pause, it does not reconnect", async () => {
  const end = start();
  await pass(0);
  connection.end();
  await pass(0);
  abort.abort();
  await end;
  expect(opened()).toEqual([0]);
});

test("a pause leaves no listener and no timer behind", async () => {
  const ended = pause(5, abort.signal);
  await vi.advanceTimersByTimeAsync(5000);
  await ended;
  expect(getEventListeners(abort.signal, "abort")).toEqual([]);
  const aborted = pause(5, abort.signal);
  abort.abort();
  await aborted;
  expect(getEventListeners(abort.signal, "abort")).toEqual([]);
  expect(vi.getTimerCount()).toBe(0);
});
