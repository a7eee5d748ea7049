import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ApiError, cancel, getState, startLaunch } from "./client";
import { readEvent, watch } from "./watch";
import { StreamedResponse } from "../../testing/streamed-response";

const fetched = vi.fn<typeof fetch>();
const url = "https://x.example/api/launches/abc/events";

let source: StreamedResponse;

beforeEach(() => {
  vi.stubGlobal("fetch", fetched);
});
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
  vi.unstubAllGlobals();
  vi.useRealTimers();
  fetched.mockReset();
});

/** Watch a stream whose events the test sends. */
function watched(after?: number) {
  fetched.mockImplementation(async (address, request) => {
    source = new StreamedResponse(String(address), request?.signal);
    return source.response;
  });
  const seen: unknown[] = [];
  const stop = watch(
    url,
    {
      event: ({ id }) => seen.push(id),
      open: () => seen.push("open"),
      lost: (error) => seen.push(error ? `lost: ${(error as Error).message}` : "lost"),
      error: (error) => seen.push(error.message),
    },
    after,
  );
  stops.push(stop);
  return { seen, stop };
}

const stops: (() => void)[] = [];

/** Wait for these callbacks. */
async function until(seen: unknown[], expected: unknown[]): Promise<void> {
  await vi.waitFor(() => expect(seen).toEqual(expected));
}

function send(...ids: number[]): void {
  for (const id of ids) source.send({ id, phase: "building" });
}

test("starts a launch", async () => {
  fetched.mockResolvedValue(Response.json({ id: "abc" }, { status: 201 }));
  expect(await startLaunch("https://x.example/b/", { spec: "gh/a/b/HEAD" })).toEqual({ id: "abc" });
  const [address, request] = fetched.mock.calls[0] ?? [];
  expect(address).toBe("https://x.example/b/api/launches");
  expect(request).toMatchObject({ method: "POST", body: '{"spec":"gh/a/b/HEAD"}' });
});

test("a refusal is an error with the server's message", async () => {
  const body = { error: { message: "Too many launches.", reason: "rate" } };
  fetched.mockResolvedValue(Response.json(body, { status: 429 }));
  const refused = startLaunch("/", { spec: "x" });
  await expect(refused).rejects.toThrow(ApiError);
  await expect(refused).rejects.toMatchObject({
    message: "Too many launches.",
    status: 429,
    reason: "rate",
  });
});

test.each(["<h1>Bad Gateway</h1>", "", "null", "[]", '"x"', '{"error": null}', '{"error": "x"}'])(
  "an error response of a proxy is an error, too: %j",
  async (body) => {
    fetched.mockResolvedValue(new Response(body, { status: 502 }));
    await expect(getState("/api/launches/abc")).rejects.toMatchObject({
      message: "The server answered with status 502.",
      status: 502,
      reason: "",
    });
  },
);

test("cancels a launch", async () => {
  fetched.mockResolvedValue(new Response(null, { status: 204 }));
  await cancel("/api/launches/abc");
  expect(fetched).toHaveBeenCalledWith("/api/launches/abc", { method: "DELETE", headers: {} });
});

test("sends the XSRF token to the page's own site only", async () => {
  vi.stubGlobal("location", new URL("https://hub.example/services/b/v2/gh/a/b/HEAD"));
  vi.stubGlobal("origin", location.origin);
  // The cookie of the longest path comes first.
  vi.stubGlobal("document", { cookie: "theme=dark; _xsrf=own|1; _xsrf=other" });
  fetched.mockImplementation(async () => Response.json({ id: "abc" }));
  const own = "https://hub.example/services/b/";
  await startLaunch(own, { spec: "gh/a/b/HEAD" });
  await getState("/services/b/api/launches/abc");
  await cancel(`${own}api/launches/abc`);
  stops.push(watch(`${own}api/launches/abc/events`, { event: () => undefined }));
  expect(fetched).toHaveBeenCalledTimes(4);
  for (const [, request] of fetched.mock.calls) {
    expect(request?.headers).toMatchObject({ "X-XSRFToken": "own|1" });
  }
  fetched.mockClear();
  await startLaunch("https://elsewhere.example/", { spec: "gh/a/b/HEAD" });
  expect(fetched.mock.calls[0]?.[1]?.headers).toEqual({ "Content-Type": "application/json" });
});

test("delivers each event once, even if the server repeats some", async () => {
  const { seen } = watched();
  await until(seen, ["open"]);
  send(1, 2, 2, 1, 3);
  await until(seen, ["open", 1, 2, 3]);
});

test("requests a stream after the last known event", async () => {
  const { seen } = watched(7);
  await until(seen, ["open"]);
  expect(source.url).toBe(`${url}?after=7`);
  expect(fetched.mock.calls[0]![1]).toMatchObject({ headers: { Accept: "text/event-stream" } });
  send(6, 7, 8);
  await until(seen, ["open", 8]);
});

test.each(["ready", "failed", "cancelled"] as const)("closes the connection after %s", async (phase) => {
  const { seen } = watched();
  await until(seen, ["open"]);
  source.send({ id: 1, phase });
  send(2);
  await until(seen, ["open", 1]);
  await vi.waitFor(() => expect(source.closed).toBe(true));
  expect(seen).toEqual(["open", 1]);
});

test("a stream that ends before the launch is a lost connection", async () => {
  const { seen } = watched();
  await until(seen, ["open"]);
  send(1);
  source.end();
  await until(seen, ["open", 1, "lost"]);
});

test("so is a broken stream", async () => {
  const { seen } = watched();
  await until(seen, ["open"]);
  source.cut();
  await until(seen, ["open", "lost: network error"]);
});

test("and a proxy's error while the server restarts", async () => {
  fetched.mockResolvedValueOnce(new Response("Bad Gateway", { status: 502 }));
  const { seen } = watched();
  fetched.mockReset().mockResolvedValue(new Response("Bad Gateway", { status: 502 }));
  await until(seen, ["lost: The server answered with status 502."]);
});

test("reconnects after the last event, less and less often while that fails", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  const { seen } = watched();
  await vi.advanceTimersByTimeAsync(0);
  send(4);
  await settled();
  source.cut();
  await settled();
  expect(seen).toEqual(["open", 4, "lost: network error"]);
  const working = fetched.getMockImplementation()!;
  fetched.mockRejectedValue(new TypeError("no network"));
  const tries = () => fetched.mock.calls.length;
  for (const [seconds, made] of [[1, 2], [1, 2], [1, 3], [3, 3], [1, 4]] as const) {
    await vi.advanceTimersByTimeAsync(seconds * 1000);
    await settled();
    expect(tries()).toBe(made);
  }
  fetched.mockImplementation(working);
  await vi.advanceTimersByTimeAsync(8000);
  await settled();
  expect(source.url).toBe(`${url}?after=4`);
  send(4, 5);
  await settled();
  expect(seen.slice(-2)).toEqual(["open", 5]);
  vi.mocked(Math.random).mockRestore();
});

test("attack: a server that accepts each connection and then cuts it is asked less and less", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  const { seen } = watched(4);
  fetched.mockImplementation(async (address, request) => {
    const response = new StreamedResponse(String(address), request?.signal);
    // A repeated event does not count as success, either.
    response.send({ id: 4, phase: "building" });
    response.end();
    return response.response;
  });
  await vi.advanceTimersByTimeAsync(0);
  await settled();
  source.cut();
  await settled();
  const requests: number[] = [];
  for (let second = 0; second < 60; second += 1) {
    const before = fetched.mock.calls.length;
    await vi.advanceTimersByTimeAsync(1000);
    await settled();
    if (fetched.mock.calls.length > before) requests.push(second + 1);
  }
  expect(requests).toEqual([1, 3, 7, 15, 30, 45, 60]);
  expect(seen.filter((item) => typeof item === "number")).toEqual([]);
  vi.mocked(Math.random).mockRestore();
});

test("attack: a stream that is cut again and again leaves no listener behind", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const open = new Map<EventTarget, number>();
  const { addEventListener, removeEventListener } = EventTarget.prototype;
  const count = (target: EventTarget, by: number) => open.set(target, (open.get(target) ?? 0) + by);
  vi.spyOn(EventTarget.prototype, "addEventListener").mockImplementation(function (this: EventTarget, ...parameters) {
    if (parameters[0] === "abort") count(this, 1);
    return addEventListener.apply(this, parameters);
  });
  vi.spyOn(EventTarget.prototype, "removeEventListener").mockImplementation(function (this: EventTarget, ...parameters) {
    if (parameters[0] === "abort") count(this, -1);
    return removeEventListener.apply(this, parameters);
  });
  const { seen } = watched();
  for (let id = 1; id <= 20; id += 1) {
    await vi.advanceTimersByTimeAsync(20_000);
    await settled();
    send(id);
    source.end();
    await settled();
  }
  expect(seen.filter((item) => item === "open")).toHaveLength(20);
  expect(Math.max(...open.values())).toBeLessThanOrEqual(2);
  vi.restoreAllMocks();
});

/** Let streams deliver their data, which does not depend on timers. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

test("a server that does not know the launch is not asked again", async () => {
  fetched.mockResolvedValue(Response.json({ error: { message: "No." } }, { status: 404 }));
  const refused = await new Promise<ApiError>((resolve) => {
    watch(url, { event: () => undefined, refused: resolve });
  });
  expect(refused).toBeInstanceOf(ApiError);
  expect(refused).toMatchObject({ status: 404, message: "No.", final: true });
  expect(fetched).toHaveBeenCalledTimes(1);
});

test("a proxy whose server restarts does not know the launch for a while", async () => {
  fetched.mockResolvedValueOnce(new Response("<h1>404</h1>", { status: 404 }));
  const lost = await new Promise<unknown>((resolve) => {
    const stop = watch(url, {
      event: () => undefined,
      refused: resolve,
      lost: (error) => {
        stop();
        resolve(error);
      },
    });
  });
  expect(lost).toMatchObject({ status: 404, own: false, final: false });
});

test("comments are passed on", async () => {
  const notes: string[] = [];
  fetched.mockImplementation(async (address, request) => {
    source = new StreamedResponse(String(address), request?.signal);
    return source.response;
  });
  const stop = watch(url, { event: () => undefined, note: (comment) => notes.push(comment) });
  await settled();
  source.write(": waiting for storage\n\n:\n\n");
  await settled();
  expect(notes).toEqual(["waiting for storage", ""]);
  stop();
});

test("a silent connection is lost, one with keepalives is not", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  const { seen } = watched();
  await vi.advanceTimersByTimeAsync(0);
  await vi.advanceTimersByTimeAsync(34_000);
  source.write(":\n\n");
  await vi.advanceTimersByTimeAsync(1);
  await vi.advanceTimersByTimeAsync(34_000);
  expect(seen).toEqual(["open"]);
  await vi.advanceTimersByTimeAsync(1_100);
  expect(seen).toHaveLength(2);
  expect(seen[1]).toMatch(/^lost/);
});

test("reports data that is not an event, and continues", async () => {
  const { seen } = watched();
  await until(seen, ["open"]);
  source.write('data: {"phase": "building"}\n\ndata: {"id": 3, \n\nnonsense\n\n');
  send(1);
  await vi.waitFor(() => expect(seen).toHaveLength(4));
  expect(seen[1]).toBe("The server sent something that is not an event.");
  expect(seen[3]).toBe(1);
});

test.each(["", "null", "[]", "{}", '{"id": "1", "phase": "building"}', "{"])(
  "%j is not an event",
  (json) => {
    expect(() => readEvent(json)).toThrow();
  },
);

test("stops", async () => {
  const { seen, stop } = watched();
  await until(seen, ["open"]);
  stop();
  expect(source.closed).toBe(true);
  await Promise.resolve();
  expect(seen).toEqual(["open"]);
});
