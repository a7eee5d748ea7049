import { expect, test } from "vitest";
import { BinderHubLaunch, type BinderHubRecord } from "./binderhub-events";
import type { LaunchEvent } from "../wire/event";

/** Return the events of records that are one second apart. */
function told(...records: BinderHubRecord[]): LaunchEvent[] {
  const events: LaunchEvent[] = [];
  const launch = new BinderHubLaunch((event) => events.push(event), 1000);
  records.forEach((record, index) => launch.take(record, 1001 + index));
  return events;
}

test("an event has a number, times and an estimate", () => {
  const [first, second] = told(
    { phase: "waiting", message: "Waiting\n" },
    { phase: "building", message: "Step 2/4 : RUN true\n" },
  );
  expect(first).toMatchObject({ id: 1, time: 1001, elapsed: 1, phase: "waiting" });
  expect(second).toMatchObject({
    id: 2,
    time: 1002,
    elapsed: 2,
    step: "Step 2 of 4",
    step_key: "step",
    step_index: 2,
    step_total: 4,
    message: "Step 2/4 : RUN true\n",
  });
  expect(second!.eta_low).toBeLessThan(second!.eta!);
  expect(second!.eta).toBeLessThan(second!.eta_high!);
  expect(second!.curve!.from).toBe(second!.progress);
});

test("phases never go back, and messages within building imply later phases", () => {
  const events = told(
    { phase: "building", message: "one" },
    { phase: "fetching", message: "two" },
    { phase: "building", message: "Pushing image\n" },
    { phase: "building", message: "Cloning into 'x'\n" },
    { phase: "Launching", message: "three" },
    { message: "The push refers to repository [x]" },
    { phase: "building", message: "four" },
  );
  const [building, pushing, launching] = ["building", "pushing", "launching"];
  expect(events.map(({ phase }) => phase)).toEqual([
    ...[building, building, pushing, pushing],
    ...[launching, launching, launching],
  ]);
});

test("layers of a push are counted, from lines of the log or from a field", () => {
  const layers = { a: { status: "Layer already exists" }, b: { status: "Pushed" }, c: {} };
  const events = told(
    { phase: "building", message: "The push refers to repository [registry.example.org/a]\n" },
    { phase: "building", message: "309ce218ea5c: Preparing\n" },
    { phase: "building", message: "dd86cbdb20ff: Preparing\n" },
    { phase: "building", message: "309ce218ea5c: Pushed\n" },
    { phase: "pushing", message: "Pushing image\n", layers },
  );
  expect(events.map(({ step }) => step)).toEqual([
    "Pushing the image",
    ...["Layer 1 of 1", "Layer 1 of 2", "Layer 2 of 2", "Layer 3 of 3"],
  ]);
  expect(new Set(events.map(({ phase }) => phase))).toEqual(new Set(["pushing"]));
  expect(events.at(-1)).toMatchObject({ step_key: "pushing", step_index: 3, step_total: 3 });
  const progress = events.map((event) => event.progress);
  expect(progress).toEqual([...progress].sort((a, b) => a - b));
});

test("a step lasts until the next step or phase", () => {
  const events = told(
    { phase: "building", message: "STEP 1/2: RUN a\n" },
    { phase: "building", message: "Collecting six\n" },
    { phase: "launching", message: "Launching server...\n" },
    { phase: "launching", message: "Server requested\n" },
  );
  expect(events.map(({ step }) => step)).toEqual([
    "Step 1 of 2",
    "Step 1 of 2",
    undefined,
    "Requesting a server",
  ]);
});

test("a message is one line of the log", () => {
  const many = "abc\n".repeat(5000);
  const long = "x".repeat(5000);
  const events = told(
    { message: "a" },
    { message: "\n" }, // the end of the line before
    { message: "b\r\n" },
    { message: "c 10%\r" },
    { message: "\n" },
    { message: long },
    { message: "" },
    { message: "   " },
    { message: many + long },
    { message: many.repeat(10) },
  );
  expect(events.map(({ message }) => message)).toEqual([
    "a\n",
    "b\n",
    "c 10%\r",
    `${"x".repeat(4096)}… [904 more characters]\n`,
    `${many}${"x".repeat(4096)}… [904 more characters]\n`,
    `${"abc\n".repeat(16383)}abc… [134464 more characters]\n`,
  ]);
});

test("a line that comes in fragments is one line", () => {
  const events = told(
    { phase: "building", message: "Preparing transaction: ...working... " },
    { phase: "building", message: "done\n" },
    { phase: "building", message: "Building tree..." },
    { phase: "building", message: "\nReading state..." },
    { phase: "building", message: "\n" },
    { phase: "building", message: `${"x".repeat(250)}...` },
    { phase: "building", message: "y\n" },
    { message: "a... " },
    { message: "b\n" },
  );
  expect(events.map(({ message }) => message)).toEqual([
    "Preparing transaction: ...working... \r",
    "Preparing transaction: ...working... done\n",
    "Building tree...\r",
    "Building tree...\nReading state...\r",
    "Reading state...\n",
    `${"x".repeat(250)}...\n`,
    "y\n",
    "a... \n",
    "b\n",
  ]);
});

test("only BinderHub's own attempts are counted", () => {
  const events = told(
    { phase: "launching", message: "2026-11-23T04:54:14Z [Warning] Back-off pulling image" },
    { phase: "launching", message: "Launch attempt 1 failed, retrying...\n" },
    { phase: "launching", message: "Server requested\n" },
  );
  expect(events.map(({ attempt }) => attempt)).toEqual([undefined, undefined, 2]);
});

test("no event follows the last one", () => {
  const events = told(
    { phase: "failed", message: "No provider found for prefix zz\n" },
    { phase: "ready", url: "http://x.example/" },
  );
  expect(events.map(({ phase }) => phase)).toEqual(["waiting", "failed"]);
  expect(events[1]).toMatchObject({ reason: "bad-spec", subject: "zz" });
});

/** The event of a ready server with these fields. */
function ready(fields: BinderHubRecord): LaunchEvent {
  return told({ phase: "ready", ...fields }).at(-1)!;
}

test.each([
  ["https://user:password@hub.example/user/a/", "https://hub.example/user/a/"],
  ["https://user@hub.example/user/a/?x=1#y", "https://hub.example/user/a/?x=1#y"],
  ["http://hub.example:8000/user/a", "http://hub.example:8000/user/a"],
])("attack: the address of a server has no user and no password: %s", (url, expected) => {
  expect(ready({ url }).url).toBe(expected);
});

test.each([
  "javascript:alert(1)//http://x/",
  " java\nscript:alert(1)",
  "data:text/html,x",
  "ftp://hub.example/",
  "//hub.example/",
  "https://",
])("attack: no server is opened at %j", (url) => {
  expect(ready({ url })).not.toHaveProperty("url");
});

const ADDRESSES = ["repo_url", "binder_ref_url", "binder_launch_host"] as const;

test.each([
  "javascript:alert(1)",
  "JAVASCRIPT:alert(1)",
  "\u0001java\tscript:alert(1)",
  "data:text/html,<script>alert(1)</script>",
  "vbscript:x",
  "blob:https://hub.example/1",
  "view-source:https://hub.example/",
  "http://[",
])("attack: nothing links to %j", (address) => {
  for (const name of ADDRESSES) expect(ready({ [name]: address })).not.toHaveProperty(name);
});

test.each([
  ["https://user:password@host.example/a/b", "https://host.example/a/b"],
  ["https://ghp_0123456789@host.example/a/b", "https://host.example/a/b"],
  ["https://host.example/a?x=1&private_token=secret", "https://host.example/a?x=1"],
  ["https://u:p@host.example/a?X-Amz-Signature=s", "https://host.example/a"],
  ["ssh://git:password@host.example/a", "ssh://host.example/a"],
  ["ssh://git@host.example/a", "ssh://git@host.example/a"],
  ["git@host.example:a/b", "git@host.example:a/b"],
  ["https://host.example/a%20b?c", "https://host.example/a%20b?c"],
  ["file:///srv/repos/ok.git", "file:///srv/repos/ok.git"],
])("attack: a repository's address keeps no secret: %s", (address, expected) => {
  for (const name of ADDRESSES) expect(ready({ [name]: address })[name]).toBe(expected);
});
