import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { hold, launch, messages, recorded, startBinderHub, status } from "../../testing/binderhub";
import { ApiError } from "../wire/client";
import { launchOnBinderHub } from "./binderhub";

vi.mock("../wire/pause", () => ({ pause: async () => undefined }));

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

describe("a BinderHub refuses", () => {
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
    const { events, end } = await launch((await startBinderHub(hold([failed(fields)]))).url);
    const text = fields.message.trim();
    expect(end).toMatchObject({ phase: "failed", evidence: [text], ...expected });
    // BinderHub's own message is in the log.
    expect(messages(events)[0]).toBe(`${text}\n`);
    expect(events).toHaveLength(2);
  });

  test("a server that does not start: the output of the build does not count", async () => {
    const blocks = [
      'data: {"phase": "building", "message": "ERROR: No matching distribution found for six\\n"}',
      'data: {"phase": "built", "message": "Built image, launching...\\n"}',
      'data: {"phase": "launching", "message": "2026-11-23T04:54:12Z [Warning] 0/3 nodes are available: 3 Insufficient memory.\\n"}',
      'data: {"phase": "launching", "message": "Launch attempt 1 failed, retrying...\\n"}',
      failed({ status_code: 500, message: "Failed to launch image a:1\n" }),
    ];
    const { events, end } = await launch((await startBinderHub(hold(blocks))).url);
    expect(end).toMatchObject({ reason: "no-node", attempt: 2 });
    expect(events[2]).toMatchObject({ step_key: "waiting-for-node" });
    expect(events[3]).toMatchObject({ step_key: "retrying" });
    const other = [...blocks.slice(0, 2), failed({ status_code: 500, message: "Oh\n" })];
    expect((await launch((await startBinderHub(hold(other))).url)).end).toMatchObject({ reason: "spawn-failed" });
  });
});

describe("nothing can be started", () => {
  test("an error response of a proxy", async () => {
    const { events, end } = await launch((await startBinderHub(status(502))).url);
    expect(end).toBeInstanceOf(ApiError);
    expect(end).toMatchObject({ status: 502, message: "The server answered with status 502." });
    expect(events).toEqual([]);
  });

  test("another kind of server", async () => {
    const { end } = await launch((await startBinderHub(status(200))).url);
    expect(end).toMatchObject({ reason: "unusable", message: "This is not a BinderHub." });
  });

  test("no response", async () => {
    const binderhub = await startBinderHub(status(200));
    binderhub.stop();
    const { end, states } = await launch(binderhub.url);
    expect(end).toBeInstanceOf(TypeError);
    expect(states).toEqual([]);
  });

  test("a spec that leaves the address of the BinderHub", async () => {
    const { end } = await launch((await startBinderHub(status(200))).url, "../../hub/logout");
    expect(end).toMatchObject({ reason: "unusable" });
  });
});

test("no launch is started if pages of this origin are not allowed", async () => {
  const binderhub = await startBinderHub(hold(recorded("real-ok")));
  // As a browser does it: the request is made, but the page does not get the response.
  const request = fetch;
  vi.stubGlobal("fetch", async (...parameters: Parameters<typeof fetch>) => {
    await request(...parameters);
    throw new TypeError("Failed to fetch");
  });
  const refused = await new Promise((resolve) => {
    const stop = launchOnBinderHub({
      binderhub: binderhub.url,
      spec: "gh/a/b/HEAD",
      event: resolve,
      connection: resolve,
      refused: resolve,
    });
    onTestFinished(stop);
  });
  expect(refused).toBeInstanceOf(TypeError);
  expect(binderhub.requests).toEqual([]);
});

test("characters with a meaning in addresses are escaped in a spec", async () => {
  const binderhub = await startBinderHub(hold(['data: {"phase": "failed"}']));
  await launch(binderhub.url, "git/https%3A%2F%2Fx.example%2Fa/fix#1?b c\\d");
  expect(binderhub.requests[0]?.url).toBe(
    "/binder/build/git/https%3A%2F%2Fx.example%2Fa/fix%231%3Fb%20c%5Cd",
  );
});
