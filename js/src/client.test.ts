import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ApiError, cancel, getState, readEvent, startLaunch, watch } from "./client";

const fetched = vi.fn<typeof fetch>();
const url = "https://x.example/api/launches/abc/events";

/** Only what the client uses: Node has none of its own. */
class Source {
  static readonly CLOSED = 2;
  static last: Source;
  readyState = 0;
  onopen?: () => void;
  onerror?: () => void;
  onmessage?: (message: { data: string }) => void;

  constructor(readonly url: string) {
    Source.last = this;
  }

  send(id: number, phase = "building"): void {
    this.onmessage?.({ data: JSON.stringify({ id, phase, time: 0, elapsed: 0, progress: 0 }) });
  }

  close(): void {
    this.readyState = Source.CLOSED;
  }
}

beforeEach(() => {
  vi.stubGlobal("fetch", fetched);
  vi.stubGlobal("EventSource", Source);
});
afterEach(() => {
  vi.unstubAllGlobals();
  fetched.mockReset();
});

function watched(after?: number) {
  const seen: unknown[] = [];
  const stop = watch(
    url,
    {
      event: ({ id }) => seen.push(id),
      connection: (connection) => seen.push(connection),
      error: (error) => seen.push(error.message),
    },
    after,
  );
  return { seen, stop, source: Source.last };
}

test("starts a launch", async () => {
  fetched.mockResolvedValue(Response.json({ id: "abc" }, { status: 201 }));
  expect(await startLaunch("https://x.example/b/", { spec: "gh/a/b/HEAD" })).toEqual({ id: "abc" });
  const [address, request] = fetched.mock.calls[0] ?? [];
  expect(address).toBe("https://x.example/b/api/launches");
  expect(request).toMatchObject({ method: "POST", body: '{"spec":"gh/a/b/HEAD"}' });
});

test("a refusal is an error with the server's sentence", async () => {
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
  "a refusal of something in between is an error too: %j",
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
  expect(fetched).toHaveBeenCalledWith("/api/launches/abc", { method: "DELETE" });
});

test("tells each event once, also when the server sends some again", () => {
  const { seen, source } = watched();
  [1, 2, 2, 1, 3].forEach((id) => source.send(id));
  expect(seen).toEqual([1, 2, 3]);
});

test("goes on after an event that is known", () => {
  const { seen, source } = watched(7);
  expect(source.url).toBe(`${url}?after=7`);
  [6, 7, 8].forEach((id) => source.send(id));
  expect(seen).toEqual([8]);
});

test.each(["ready", "failed", "cancelled"])("closes when %s", (phase) => {
  const { seen, source } = watched();
  source.send(1, phase);
  expect(seen).toEqual([1]);
  expect(source.readyState).toBe(Source.CLOSED);
});

test("tells a connection that comes back from one that does not", () => {
  const { seen, source } = watched();
  source.onopen?.();
  source.onerror?.();
  source.readyState = Source.CLOSED;
  source.onerror?.();
  expect(seen).toEqual(["open", "reconnecting", "closed"]);
});

test("says so when something is no event, and goes on", () => {
  const { seen, source } = watched();
  source.onmessage?.({ data: '{"phase": "building"}' });
  source.send(1);
  expect(seen).toEqual(["The server sent something that is not an event.", 1]);
});

test.each(["", "null", "[]", "{}", '{"id": "1", "phase": "building"}', "{"])(
  "%j is no event",
  (json) => {
    expect(() => readEvent(json)).toThrow();
  },
);

test("stops when told", () => {
  const { stop, source } = watched();
  stop();
  expect(source.readyState).toBe(Source.CLOSED);
});
