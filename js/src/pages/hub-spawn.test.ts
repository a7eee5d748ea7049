import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { LaunchEvent } from "../wire/event";
import { followSpawn } from "./hub-spawn";

vi.mock("../wire/pause", () => ({ pause: async () => undefined }));

const fetched = vi.fn<typeof fetch>();
const url = "/hub/api/users/ada/server/progress?_xsrf=x";
const headers = { "X-XSRFToken": "x" };

beforeEach(() => {
  vi.stubGlobal("fetch", fetched);
  vi.stubGlobal("location", new URL("https://hub.example/hub/spawn-pending/ada"));
});
afterEach(() => {
  vi.unstubAllGlobals();
  fetched.mockReset();
});

const requested = { progress: 0, message: "Server requested" };
const pulling = {
  progress: 30,
  html_message: "<b>ignored</b>",
  raw_event: { reason: "Pulling", message: "Pulling image \"x\"" },
};
const failed = { progress: 100, failed: true, message: "Spawn failed: Timeout" };
const ready = { progress: 100, ready: true, message: "Server ready", url: "/user/ada/" };

function stream(...records: object[]): Response {
  return new Response(`\n\n${records.map((one) => `data: ${JSON.stringify(one)}\n\n`).join("")}`);
}

/** Follow a start to its end, and return the callbacks. */
function follow(): Promise<{ events: LaunchEvent[]; told: unknown[] }> {
  const [events, told]: [LaunchEvent[], unknown[]] = [[], []];
  return new Promise((resolve) => {
    followSpawn({
      url,
      headers,
      event: (event) => {
        events.push(event);
        if (event.phase === "ready" || event.phase === "failed") resolve({ events, told });
      },
      connection: (state) => told.push(state),
      refused: (error) => resolve({ events, told: [...told, error] }),
    });
  });
}

test("a lost stream is requested again, without repeated events", async () => {
  fetched.mockResolvedValueOnce(stream(requested, pulling));
  fetched.mockResolvedValueOnce(stream(requested, pulling, ready));
  const { events, told } = await follow();
  expect(events.map(({ id, phase, step = "" }) => [id, phase, step])).toEqual([
    [1, "launching", "Requesting a server"],
    [2, "launching", "Pulling the image"],
    [3, "ready", ""],
  ]);
  expect(events[2]?.url).toBe("https://hub.example/user/ada/");
  expect(JSON.stringify(events)).not.toContain("ignored");
  expect(told).toEqual(["open", "reconnecting", "open"]);
  const [address, request] = fetched.mock.calls[0] ?? [];
  expect(address).toBe(url);
  expect(request?.headers).toMatchObject(headers);
});

test("a failure shows JupyterHub's message", async () => {
  fetched.mockResolvedValueOnce(stream(requested, failed));
  const { events } = await follow();
  const last = events.at(-1);
  expect(last).toMatchObject({ phase: "failed" });
  expect(last?.evidence).toContain("Spawn failed: Timeout");
});

test("a JupyterHub that does not know the server is not asked again", async () => {
  fetched.mockResolvedValue(new Response("{}", { status: 400 }));
  const { events, told } = await follow();
  expect(events).toEqual([]);
  expect(told).toMatchObject([{ name: "ApiError", status: 400 }]);
  expect(fetched).toHaveBeenCalledTimes(1);
});

test("gives up if JupyterHub does not respond", async () => {
  fetched.mockRejectedValue(new TypeError("network"));
  const { events } = await follow();
  expect(events).toMatchObject([{ phase: "failed", reason: "hub-unreachable" }]);
  expect(fetched).toHaveBeenCalledTimes(6);
});
