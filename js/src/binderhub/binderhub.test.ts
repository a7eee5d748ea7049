import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { cutAfter, endAfter, hold, launch, messages, recorded, send, startBinderHub, status } from "../../testing/binderhub";
import type { LaunchEvent } from "../wire/event";
import { pause } from "../wire/pause";
import { launchOnBinderHub } from "./binderhub";

/** The seconds of each pause, which takes no time here. */
const pauses = vi.hoisted((): number[] => []);
vi.mock("../wire/pause", () => ({
  pause: vi.fn(async (seconds: number) => void pauses.push(seconds)),
}));

beforeEach(() => {
  pauses.length = 0;
});
afterEach(() => {
  vi.restoreAllMocks();
});

test("a launch is successful", async () => {
  const binderhub = await startBinderHub(hold(recorded("real-ok")));
  const { events, states, end } = await launch(binderhub.url);
  expect(binderhub.requests).toEqual([
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
  // BinderHub keeps the connection open. We close it.
  await vi.waitFor(() => expect(binderhub.closed()).toBe(1));
});

test("attack: a password in an address gets into no URL", async () => {
  const binderhub = await startBinderHub(hold(recorded("real-ok")));
  const { end } = await launch(binderhub.url, "https://kim:s3cr3t@github.com/kim/demo");
  expect(end).toMatchObject({ message: expect.stringContaining("needs a spec") });
  expect(binderhub.requests).toEqual([]);
});

test("the states of a build pod are not phases", async () => {
  const { events } = await launch((await startBinderHub(hold(recorded("fake-launch")))).url);
  expect(events.slice(1, 4).map(({ phase, message }) => [phase, message])).toEqual([
    ["waiting", "Pending...\n"],
    ["waiting", "Running...\n"],
    ["waiting", "Succeed...\n"],
  ]);
});

test("a failed build is explained, although its last event is empty", async () => {
  const binderhub = await startBinderHub(hold(recorded("real-badbuild")));
  const { events, end } = await launch(binderhub.url);
  expect(end).toMatchObject({
    phase: "failed",
    reason: "unsatisfiable-requirement",
    subject: "six==99.99",
    message: "The requirement six==99.99 cannot be satisfied.\n",
    advice: "Correct the name or the version in the Dockerfile.",
  });
  expect((end as LaunchEvent).evidence?.at(-1)).toBe(
    "ERROR: No matching distribution found for six==99.99",
  );
  expect(messages(events).some((text) => text.includes("Traceback"))).toBe(false);
  expect(binderhub.requests).toHaveLength(1);
  await vi.waitFor(() => expect(binderhub.closed()).toBe(1));
});

describe("a connection that is lost during a build", () => {
  const all = recorded("real-ok");

  test.each([1, 5, 12, 30])("is made again, without missed or repeated events: %i", async (at) => {
    const whole = await launch((await startBinderHub(hold(all))).url);
    const binderhub = await startBinderHub(cutAfter(all.slice(0, at)), hold(all));
    const { events, states, end } = await launch(binderhub.url);
    expect(binderhub.requests).toHaveLength(2);
    expect(states).toEqual(["open", "reconnecting", "open"]);
    expect(pauses).toEqual([1]);
    expect(messages(events)).toEqual(messages(whole.events));
    expect(end).toMatchObject({ phase: "ready" });
  });

  test("a BinderHub that repeats only the last lines", async () => {
    const whole = await launch((await startBinderHub(hold(all))).url);
    const again = [all[0]!, ...all.slice(10)];
    const { events } = await launch((await startBinderHub(endAfter(all.slice(0, 20)), hold(again))).url);
    expect(messages(events)).toEqual(messages(whole.events));
  });

  test("missed lines that do not look like earlier ones", async () => {
    const again = [all[0]!, ...all.slice(15)];
    const { events } = await launch((await startBinderHub(endAfter(all.slice(0, 8)), hold(again))).url);
    const expected = await launch((await startBinderHub(hold([...all.slice(0, 8), ...all.slice(15)]))).url);
    expect(messages(events)).toEqual(messages(expected.events));
  });

  test("five times in a row, after longer and longer pauses", async () => {
    const binderhub = await startBinderHub(cutAfter(all.slice(0, 9)), status(502));
    const { events, states, end } = await launch(binderhub.url);
    expect(binderhub.requests).toHaveLength(6);
    expect(pauses).toEqual([1, 2, 4, 8, 15]);
    expect(states).toEqual(["open", "reconnecting"]);
    expect(end).toMatchObject({ phase: "failed", reason: "unreachable" });
    expect(events.at(-1)?.message).toBe("The server is no longer responding.\n");
  });

  test("any number of times if new events arrive in between", async () => {
    const answers = [4, 8, 12, 16, 20, 24, 28].map((at) => endAfter(all.slice(0, at)));
    const binderhub = await startBinderHub(...answers, hold(all));
    const { end } = await launch(binderhub.url);
    expect(end).toMatchObject({ phase: "ready" });
    expect(new Set(pauses)).toEqual(new Set([1]));
  });

  test("not if a BinderHub only repeats itself", async () => {
    const binderhub = await startBinderHub(endAfter(all.slice(0, 9)));
    const { end } = await launch(binderhub.url);
    expect(end).toMatchObject({ phase: "failed", reason: "unreachable" });
    expect(binderhub.requests).toHaveLength(6);
  });
});

describe("a connection that is lost when a server may have been requested", () => {
  const all = recorded("real-ok");
  const built = all.findIndex((block) => block.includes('"built"'));

  test.each([
    ["built", cutAfter(all.slice(0, built + 1))],
    ["launching", cutAfter(all.slice(0, built + 3))],
    ["a clean end", endAfter(all.slice(0, built + 3))],
    // If the image exists, events of the launch may be lost with the connection.
    ["nothing was heard", endAfter([])],
  ])("is never made again: %s", async (_, answer) => {
    const binderhub = await startBinderHub(answer, hold(all));
    const { events, end } = await launch(binderhub.url);
    expect(end).toMatchObject({ phase: "failed", reason: "connection-lost" });
    expect(events.at(-1)?.message).toMatch(/may be running by now, .* starts another one\.\n$/);
    await new Promise(setImmediate);
    expect(binderhub.requests).toHaveLength(1);
    expect(pauses).toEqual([]);
  });
});

test("data that is not an event is a line of the log, and the stream continues", async () => {
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
  const { events, end } = await launch((await startBinderHub(hold(odd))).url);
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

test("keepalives keep the connection open until it is stopped", async () => {
  let more = () => {};
  const binderhub = await startBinderHub((response) => {
    send(response, []);
    more = () => void response.write(":keepalive\n\n");
  });
  const seen: unknown[] = [];
  const stop = launchOnBinderHub({
    binderhub: binderhub.url,
    spec: "gh/a/b/HEAD",
    event: (event) => seen.push(event),
    connection: (state) => seen.push(state),
    refused: (error) => seen.push(error),
  });
  await vi.waitFor(() => expect(seen).toEqual(["open"]));
  for (let count = 0; count < 20; count += 1) more();
  await new Promise(setImmediate);
  stop();
  await vi.waitFor(() => expect(binderhub.closed()).toBe(1));
  expect(seen).toEqual(["open"]);
  expect(binderhub.requests).toHaveLength(1);
});

test("stopping during a pause prevents the reconnect", async () => {
  const real = await vi.importActual<typeof import("../wire/pause")>("../wire/pause");
  vi.mocked(pause).mockImplementationOnce(real.pause);
  const binderhub = await startBinderHub(endAfter(recorded("real-ok").slice(0, 3)));
  await new Promise<void>((resolve) => {
    const stop = launchOnBinderHub({
      binderhub: binderhub.url,
      spec: "gh/a/b/HEAD",
      event: () => undefined,
      connection: (state) => {
        if (state === "open") return;
        setImmediate(() => (stop(), setImmediate(resolve)));
      },
      refused: () => undefined,
    });
  });
  expect(binderhub.requests).toHaveLength(1);
});

test("10,000 events at once leave the page responsive", { timeout: 60_000 }, async () => {
  const line = (count: number) => `data: {"phase": "building", "message": "line ${count}\\n"}`;
  const blocks = Array.from({ length: 10_000 }, (_, count) => line(count));
  let turns = 0;
  const count = setInterval(() => (turns += 1), 1);
  onTestFinished(() => clearInterval(count));
  const binderhub = await startBinderHub(hold([...blocks, 'data: {"phase": "failed"}']));
  const { events } = await launch(binderhub.url);
  expect(messages(events).slice(0, -1)).toEqual(blocks.map((_, number) => `line ${number}\n`));
  expect(turns).toBeGreaterThan(3);
});
