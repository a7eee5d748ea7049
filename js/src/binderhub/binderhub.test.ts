import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { launchOnBinderHub } from "./binderhub";
import { ApiError } from "../wire/client";
import { pause } from "../wire/pause";
import type { LaunchEvent } from "../wire/event";
import { curveAt } from "../session/progress";
import tables from "./tables.json";

/** What a hub does with one GET. */
type Answer = (response: ServerResponse, request: IncomingMessage) => void;

const cleanUp: (() => void)[] = [];
/** The seconds of each pause, which takes no time here. */
const pauses = vi.hoisted((): number[] => []);
vi.mock("../wire/pause", () => ({
  pause: vi.fn(async (seconds: number) => void pauses.push(seconds)),
}));

beforeEach(() => {
  pauses.length = 0;
});
afterEach(() => {
  cleanUp.splice(0).forEach((end) => end());
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

/** The blocks of a stream that a real BinderHub sent. */
function recorded(name: string): string[] {
  const path = new URL(`../../../tests/data/streams/binderhub-build-${name}.txt`, import.meta.url);
  const [, body = ""] = readFileSync(path, "utf8").split("\r\n\r\n");
  return body.split(/\n\n+/).filter((block) => block.startsWith("data:"));
}

/** Send blocks and keep the connection, as a BinderHub does. */
function send(response: ServerResponse, blocks: readonly string[]): void {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  response.flushHeaders();
  response.write(blocks.map((block) => `${block}\n\n`).join(""));
}

const hold =
  (blocks: readonly string[]): Answer =>
  (response) =>
    send(response, blocks);
/** Send some, and cut the connection when they have gone out. */
const cutAfter =
  (blocks: readonly string[]): Answer =>
  (response) => {
    send(response, blocks);
    // In two writes: the first one has to be read before the cut is noticed.
    setImmediate(() => response.write(":keepalive\n\n", () => response.destroy()));
  };
const endAfter =
  (blocks: readonly string[]): Answer =>
  (response) => {
    send(response, blocks);
    response.end();
  };
const status =
  (code: number): Answer =>
  (response) => {
    response.writeHead(code, { "Content-Type": "text/html" });
    response.end("<h1>No</h1>");
  };

/** A hub that does one thing after the other, and then the last again. */
async function hub(...answers: Answer[]) {
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
  cleanUp.push(() => (server.close(), server.closeAllConnections()));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/binder/`;
  return { url, requests, closed: () => closed };
}

/** Launch, and say how it ended: with an event, or refused. */
async function launch(url: string, spec = "gh/a/b/HEAD") {
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
    cleanUp.push(stop);
  });
  checkOrder(events);
  return { events, states, end };
}

/** What every stream of events has to be. */
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

const messages = (events: readonly LaunchEvent[]) =>
  events.map(({ message }) => message ?? "").filter(Boolean);

test("a launch comes to its server", async () => {
  const there = await hub(hold(recorded("real-ok")));
  const { events, states, end } = await launch(there.url);
  expect(there.requests).toEqual([
    { url: "/binder/build/gh/a/b/HEAD", accept: "text/event-stream" },
  ]);
  expect(end).toMatchObject({
    phase: "ready",
    progress: 100,
    url: "http://127.0.0.1:18000/user/srv-repos-ok-ves13vjc/",
    token: "AAAAAAAAAAAAAAAAAAAAAA",
    repo_url: "file:///srv/repos/ok.git",
    eta: 0,
  });
  expect(states).toEqual(["open"]);
  expect([...new Set(events.map(({ phase }) => phase))]).toEqual([
    "waiting",
    "fetching",
    "building",
    "built",
    "launching",
    "ready",
  ]);
  expect(events.find(({ step_index }) => step_index === 7)).toMatchObject({
    step: "Step 7 of 11",
    step_key: "step",
    step_total: 11,
  });
  expect(events.find(({ phase }) => phase === "built")?.imageName).toMatch(/^localhost\/bh-file/);
  expect(events.at(-2)).toMatchObject({ phase: "launching", step_key: "starting" });
  // The hub would keep the connection; it is closed from here.
  await vi.waitFor(() => expect(there.closed()).toBe(1));
});

test("a build pod's states are no phases of ours", async () => {
  const { events } = await launch((await hub(hold(recorded("fake-launch")))).url);
  expect(events.slice(1, 4).map(({ phase, message }) => [phase, message])).toEqual([
    ["waiting", "Pending...\n"],
    ["waiting", "Running...\n"],
    ["waiting", "Succeed...\n"],
  ]);
});

test("a build that fails says why, though its last event says nothing", async () => {
  const there = await hub(hold(recorded("real-badbuild")));
  const { events, end } = await launch(there.url);
  expect(end).toMatchObject({
    phase: "failed",
    reason: "unsatisfiable-requirement",
    subject: "six==99.99",
    message: "The requirement six==99.99 cannot be satisfied.\n",
    advice: "Correct the name or the version in requirements.txt, and try again.",
  });
  expect((end as LaunchEvent).evidence?.at(-1)).toBe(
    "ERROR: No matching distribution found for six==99.99",
  );
  expect(messages(events).some((text) => text.includes("Traceback"))).toBe(false);
  expect(there.requests).toHaveLength(1);
  await vi.waitFor(() => expect(there.closed()).toBe(1));
});

describe("a connection that is cut while it builds", () => {
  const all = recorded("real-ok");

  test.each([1, 5, 12, 30])("is made again, and nothing is missed or told twice: %i", async (at) => {
    const whole = await launch((await hub(hold(all))).url);
    const there = await hub(cutAfter(all.slice(0, at)), hold(all));
    const { events, states, end } = await launch(there.url);
    expect(there.requests).toHaveLength(2);
    expect(states).toEqual(["open", "reconnecting", "open"]);
    expect(pauses).toEqual([1]);
    expect(messages(events)).toEqual(messages(whole.events));
    expect(end).toMatchObject({ phase: "ready" });
  });

  test("a hub that sends only the last lines again", async () => {
    const whole = await launch((await hub(hold(all))).url);
    const again = [all[0]!, ...all.slice(10)];
    const { events } = await launch((await hub(endAfter(all.slice(0, 20)), hold(again))).url);
    expect(messages(events)).toEqual(messages(whole.events));
  });

  test("lines that were missed, and look like none that were had", async () => {
    const again = [all[0]!, ...all.slice(15)];
    const { events } = await launch((await hub(endAfter(all.slice(0, 8)), hold(again))).url);
    const expected = await launch((await hub(hold([...all.slice(0, 8), ...all.slice(15)]))).url);
    expect(messages(events)).toEqual(messages(expected.events));
  });

  test("five times in a row, with longer and longer pauses", async () => {
    const there = await hub(cutAfter(all.slice(0, 9)), status(502));
    const { events, states, end } = await launch(there.url);
    expect(there.requests).toHaveLength(6);
    expect(pauses).toEqual([1, 2, 4, 8, 15]);
    expect(states).toEqual(["open", "reconnecting"]);
    expect(end).toMatchObject({ phase: "failed", reason: "unreachable" });
    expect(events.at(-1)?.message).toBe("The server is no longer responding.\n");
  });

  test("but more often while something new comes in between", async () => {
    const answers = [4, 8, 12, 16, 20, 24, 28].map((at) => endAfter(all.slice(0, at)));
    const there = await hub(...answers, hold(all));
    const { end } = await launch(there.url);
    expect(end).toMatchObject({ phase: "ready" });
    expect(new Set(pauses)).toEqual(new Set([1]));
  });

  test("not when a hub only says the same again and again", async () => {
    const there = await hub(endAfter(all.slice(0, 9)));
    const { end } = await launch(there.url);
    expect(end).toMatchObject({ phase: "failed", reason: "unreachable" });
    expect(there.requests).toHaveLength(6);
  });
});

describe("a connection that is cut when a server may have been asked for", () => {
  const all = recorded("real-ok");
  const built = all.findIndex((block) => block.includes('"built"'));

  test.each([
    ["built", cutAfter(all.slice(0, built + 1))],
    ["launching", cutAfter(all.slice(0, built + 3))],
    ["a clean end", endAfter(all.slice(0, built + 3))],
    // Where the image is there already, what was said of the launch may be lost with the connection.
    ["nothing was heard", endAfter([])],
  ])("is never made again: %s", async (_, answer) => {
    const there = await hub(answer, hold(all));
    const { events, end } = await launch(there.url);
    expect(end).toMatchObject({ phase: "failed", reason: "connection-lost" });
    expect(events.at(-1)?.message).toMatch(/may be running by now, .* starts another one\.\n$/);
    await new Promise(setImmediate);
    expect(there.requests).toHaveLength(1);
    expect(pauses).toEqual([]);
  });
});

test("what is no event is a line of the log, and the stream goes on", async () => {
  const odd = [
    'data: {"phase": "building", "message": "one\\n"',
    "data: 5",
    "data: null",
    "data: []",
    'data: {"phase": {"toString": 1}, "message": {"toString": 1}}',
    'data: {"phase": 7, "message": 8}',
    'data: {"phase": "cancelled", "message": "not yet"}',
    'data: {"phase": "__proto__", "message": null, "status_code": {"valueOf": 1}}',
    "event: other\nid: 9\ndata: {",
    'data: {"phase": "launching", "message": "x", "imageName": 5}',
    'data: {"phase": "ready", "url": ["http://evil.example"], "token": 5, "image": "a:1"}',
  ];
  const { events, end } = await launch((await hub(hold(odd))).url);
  expect(messages(events)).toEqual([
    '{"phase": "building", "message": "one\\n"\n',
    "5\n",
    "null\n",
    "[]\n",
    "8\n",
    "not yet\n",
    "{\n",
    "x\n",
  ]);
  expect(end).toMatchObject({ phase: "ready", image: "a:1" });
  expect(end).not.toHaveProperty("url");
  expect(end).not.toHaveProperty("token");
});

describe("what a hub refuses", () => {
  const failed = (fields: object) => `data: ${JSON.stringify({ phase: "failed", ...fields })}`;

  test.each([
    [
      "a limit",
      { status_code: 429, message: "Rate limit exceeded. Try again in 3600 seconds.\n" },
      { reason: "rate-limited" },
    ],
    ["in the status only", { status_code: 429, message: "Too Many Requests\n" }, { reason: "rate-limited" }],
    ["a login", { status_code: 403, message: "Forbidden\n" }, { reason: "refused" }],
    [
      "a quota",
      { message: "Too many users running https://github.com/a/b! Try again soon.\n" },
      { reason: "quota", subject: "https://github.com/a/b" },
    ],
    [
      "a repository",
      { message: "Sorry, a/b/HEAD is not allowed to launch. Please contact admins for more info!" },
      { reason: "banned", subject: "a/b/HEAD" },
    ],
    [
      "a ref",
      { message: "Could not resolve ref for gh:a/b/no. Double check your URL and that your repo is public.\n" },
      { reason: "unresolved", subject: "gh:a/b/no" },
    ],
    ["nobody knows what", { message: "Error resolving ref for gh:a/b/HEAD: 5\n" }, { reason: "unknown" }],
    ["by mistake", { status_code: 500, message: "Internal Server Error\n" }, { reason: "internal" }],
  ])("%s", async (_, fields, expected) => {
    const { events, end } = await launch((await hub(hold([failed(fields)]))).url);
    const text = fields.message.trim();
    expect(end).toMatchObject({ phase: "failed", evidence: [text], ...expected });
    // The hub's own words are in the log.
    expect(messages(events)[0]).toBe(`${text}\n`);
    expect(events).toHaveLength(2);
  });

  test("a server that does not start: what its build printed does not count", async () => {
    const blocks = [
      'data: {"phase": "building", "message": "ERROR: No matching distribution found for six\\n"}',
      'data: {"phase": "built", "message": "Built image, launching...\\n"}',
      'data: {"phase": "launching", "message": "2026-11-23T04:54:12Z [Warning] 0/3 nodes are available: 3 Insufficient memory.\\n"}',
      'data: {"phase": "launching", "message": "Launch attempt 1 failed, retrying...\\n"}',
      failed({ status_code: 500, message: "Failed to launch image a:1\n" }),
    ];
    const { events, end } = await launch((await hub(hold(blocks))).url);
    expect(end).toMatchObject({ reason: "no-node", attempt: 2 });
    expect(events[2]).toMatchObject({ step_key: "waiting-for-node" });
    expect(events[3]).toMatchObject({ step_key: "retrying" });
    const other = [...blocks.slice(0, 2), failed({ status_code: 500, message: "Oh\n" })];
    expect((await launch((await hub(hold(other))).url)).end).toMatchObject({ reason: "spawn-failed" });
  });
});

test("keepalives keep it waiting until it is stopped", async () => {
  let more = () => {};
  const there = await hub((response) => {
    send(response, []);
    more = () => void response.write(":keepalive\n\n");
  });
  const seen: unknown[] = [];
  const stop = launchOnBinderHub({
    binderhub: there.url,
    spec: "gh/a/b/HEAD",
    event: (event) => seen.push(event),
    connection: (state) => seen.push(state),
    refused: (error) => seen.push(error),
  });
  await vi.waitFor(() => expect(seen).toEqual(["open"]));
  for (let count = 0; count < 20; count += 1) more();
  await new Promise(setImmediate);
  stop();
  await vi.waitFor(() => expect(there.closed()).toBe(1));
  expect(seen).toEqual(["open"]);
  expect(there.requests).toHaveLength(1);
});

test("stopped while it waits to connect again, it does not", async () => {
  const real = await vi.importActual<typeof import("../wire/pause")>("../wire/pause");
  vi.mocked(pause).mockImplementationOnce(real.pause);
  const there = await hub(endAfter(recorded("real-ok").slice(0, 3)));
  await new Promise<void>((resolve) => {
    const stop = launchOnBinderHub({
      binderhub: there.url,
      spec: "gh/a/b/HEAD",
      event: () => undefined,
      connection: (state) => {
        if (state === "open") return;
        setImmediate(() => (stop(), setImmediate(resolve)));
      },
      refused: () => undefined,
    });
  });
  expect(there.requests).toHaveLength(1);
});

test("10,000 events at once leave the page its turns", async () => {
  const line = (count: number) => `data: {"phase": "building", "message": "line ${count}\\n"}`;
  const blocks = Array.from({ length: 10_000 }, (_, count) => line(count));
  let turns = 0;
  const count = setInterval(() => (turns += 1), 1);
  cleanUp.push(() => clearInterval(count));
  const there = await hub(hold([...blocks, 'data: {"phase": "failed"}']));
  const { events } = await launch(there.url);
  expect(messages(events).slice(0, -1)).toEqual(blocks.map((_, number) => `line ${number}\n`));
  expect(turns).toBeGreaterThan(3);
});

describe("where nothing could be started", () => {
  test("an error of something in between", async () => {
    const { events, end } = await launch((await hub(status(502))).url);
    expect(end).toBeInstanceOf(ApiError);
    expect(end).toMatchObject({ status: 502, message: "The server answered with status 502." });
    expect(events).toEqual([]);
  });

  test("something else answers", async () => {
    const { end } = await launch((await hub(status(200))).url);
    expect(end).toMatchObject({ reason: "unusable", message: "This is not a BinderHub." });
  });

  test("nobody answers", async () => {
    const there = await hub(status(200));
    cleanUp.splice(0).forEach((close) => close());
    const { end, states } = await launch(there.url);
    expect(end).toBeInstanceOf(TypeError);
    expect(states).toEqual([]);
  });

  test("a spec that leaves the address", async () => {
    const { end } = await launch((await hub(status(200))).url, "../../hub/logout");
    expect(end).toMatchObject({ reason: "unusable" });
  });
});

test("where pages of this origin are not allowed, no launch is started", async () => {
  const there = await hub(hold(recorded("real-ok")));
  // As a browser does it: the request is made, but the page does not get the response.
  const request = fetch;
  vi.stubGlobal("fetch", async (...parameters: Parameters<typeof fetch>) => {
    await request(...parameters);
    throw new TypeError("Failed to fetch");
  });
  const refused = await new Promise((resolve) => {
    const stop = launchOnBinderHub({
      binderhub: there.url,
      spec: "gh/a/b/HEAD",
      event: resolve,
      connection: resolve,
      refused: resolve,
    });
    cleanUp.push(stop);
  });
  expect(refused).toBeInstanceOf(TypeError);
  expect(there.requests).toEqual([]);
});

test("what has a meaning in addresses has none in a spec", async () => {
  const there = await hub(hold(['data: {"phase": "failed"}']));
  await launch(there.url, "git/https%3A%2F%2Fx.example%2Fa/fix#1?b c\\d");
  expect(there.requests[0]?.url).toBe(
    "/binder/build/git/https%3A%2F%2Fx.example%2Fa/fix%231%3Fb%20c%5Cd",
  );
});
