// @vitest-environment happy-dom
// An earlier version is started while the newest one is built.
import { expect, test, vi } from "vitest";
import type { Earlier } from "../wire/event";
import { base, element, fetched, get, pass, posts, put, sources, text, told } from "../../testing/element-page";

const EARLIER: Earlier = {
  spec: `gh/a/b/${"c".repeat(40)}`,
  commit: "c".repeat(40),
  date: Date.UTC(2025, 2, 12, 12) / 1000,
  date_of: "commit",
};
const READY = { phase: "ready", progress: 100, url: "https://hub.example/old/", token: "t" } as const;

/** Answer each start with another id. */
function numberLaunches(): void {
  const handler = fetched.getMockImplementation()!;
  let count = 0;
  fetched.mockImplementation(async (address, request) => {
    if (request?.method !== "POST") return handler(address, request);
    count += 1;
    return Response.json({ id: count === 1 ? "new" : `old${count}` }, { status: 201 });
  });
}

async function offered(attributes: Record<string, string> = {}) {
  numberLaunches();
  const newest = await put(attributes);
  newest.send({ id: 2, phase: "waiting", earlier: EARLIER });
  newest.send({ id: 3, phase: "building", progress: 20 });
  await pass();
  return newest;
}

async function started(attributes: Record<string, string> = {}) {
  const newest = await offered(attributes);
  get("earlier-start").click();
  await pass();
  return [newest, sources.at(-1)!] as const;
}

test.each<[Earlier["date_of"], string]>([
  ["commit", "Start the version of March 12, 2025 now"],
  ["build", "Start the version built on March 12, 2025 now"],
  ["launch", "Start the version last launched on March 12, 2025 now"],
])("it is offered with the date of its %s", async (date_of, label) => {
  numberLaunches();
  const newest = await put();
  newest.send({ id: 2, phase: "waiting", earlier: { ...EARLIER, date_of } });
  await pass();
  expect(text("earlier-start")).toBe(label);
  expect(get("earlier-start").getAttribute("aria-label")).toBe(`${label}: gh/a/b/HEAD`);
  expect(text("earlier-text")).toBe(
    "An earlier version is built already (commit cccccccc). " +
      "The newest one is offered here when it is ready.",
  );
});

test("without an offer, there is nothing", async () => {
  const newest = await put();
  newest.send({ id: 2, phase: "building" });
  await pass();
  expect(get("earlier")).toBeNull();
});

test("it is an ordinary launch, and the build goes on", async () => {
  const [newest, old] = await started();
  expect(posts()).toBe(2);
  const bodies = fetched.mock.calls.flatMap(([, request]) => request?.body ?? []);
  expect(bodies.at(-1)).toBe(JSON.stringify({ spec: EARLIER.spec }));
  expect(old.url).toBe(`${base}api/launches/old2/events`);
  expect(newest.closed).toBe(false);
  expect(element.launch).toBe("new");
  old.send({ id: 1, phase: "launching", progress: 45 });
  await pass();
  expect(text("earlier-text")).toBe("Earlier version: Launching, 45%");
  expect(get("earlier-start").hidden).toBe(true);
  old.send({ id: 2, ...READY });
  await pass();
  expect(get("earlier-open").getAttribute("href")).toBe("https://hub.example/old/?token=t");
  expect(text("earlier-text")).toBe(
    "The earlier version is ready (commit cccccccc). The newest one is offered here when it is ready.",
  );
  expect(text("phase")).toBe("Building");
  newest.send({ id: 4, ...READY, url: "https://hub.example/new/" });
  await pass();
  expect(get("open").getAttribute("href")).toBe("https://hub.example/new/?token=t");
  expect(text("earlier-text")).toBe(
    "The earlier version is ready (commit cccccccc). The newest version is ready, too.",
  );
  // Only the newest one is the element's launch.
  expect(told.filter(([type]) => type === "ready" || type === "started")).toHaveLength(2);
});

test("what it opens is what the launch opens", async () => {
  const [, old] = await started({ urlpath: "lab/tree/a.ipynb" });
  old.send({ id: 1, ...READY });
  await pass();
  expect(get("earlier-open").getAttribute("href")).toBe(
    "https://hub.example/old/lab/tree/a.ipynb?token=t",
  );
});

test("the newest version is not opened over an earlier one that was started", async () => {
  const opened = vi.fn();
  vi.stubGlobal("open", opened);
  const [newest] = await started({ open: "new-tab" });
  newest.send({ id: 4, ...READY });
  await pass();
  expect(opened).not.toHaveBeenCalled();
  expect(get("open").hidden).toBe(false);
});

test("it is opened as usual if nobody has started an earlier one", async () => {
  const opened = vi.fn();
  vi.stubGlobal("open", opened);
  const newest = await offered({ open: "new-tab" });
  newest.send({ id: 4, ...READY });
  await pass();
  expect(opened).toHaveBeenCalledOnce();
  expect(get("earlier")).toBeNull();
});

test("it can be started after the build has failed, and again", async () => {
  const newest = await offered();
  newest.send({ id: 4, phase: "failed", reason: "build-failed", message: "The build failed.\n" });
  await pass();
  expect(text("earlier-text")).toBe("An earlier version is built already (commit cccccccc).");
  get("earlier-start").click();
  await pass();
  const old = sources.at(-1)!;
  old.send({ id: 1, phase: "failed", reason: "spawn-failed", message: "It did not start.\n" });
  await pass();
  expect(text("earlier-text")).toMatch(/^The earlier version could not be started\. /);
  expect(get("earlier-start").hidden).toBe(false);
  get("earlier-start").click();
  await pass();
  expect(posts()).toBe(3);
  expect(sources.at(-1)!.url).toContain("/old3/");
});

test("a reload goes on with both, unless the server has forgotten the earlier one", async () => {
  await started();
  element.remove();
  await pass();
  expect(sources.every((source) => source.closed)).toBe(true);
  // The page begins anew, with what the tab remembers.
  const newest = await put({ launch: "new" });
  newest.send({ id: 2, phase: "building", earlier: EARLIER });
  await pass();
  expect(posts()).toBe(2);
  const old = sources.at(-1)!;
  expect(old.url).toContain("/api/launches/old2/events");
  old.send({ id: 1, ...READY });
  await pass();
  expect(get("earlier-open").hidden).toBe(false);
});

test("an element that is put back watches both again", async () => {
  await started();
  element.remove();
  await pass();
  document.body.append(element);
  await pass();
  const urls = sources.slice(-2).map(({ url }) => url);
  expect(urls.some((url) => url.includes("/new/events"))).toBe(true);
  expect(urls.some((url) => url.includes("/old2/events"))).toBe(true);
  expect(posts()).toBe(2);
});

test("another launch has another offer", async () => {
  const [newest] = await started();
  newest.send({ id: 4, phase: "failed", reason: "build-failed", message: "The build failed.\n" });
  await pass();
  get("again").click();
  await pass();
  expect(get("earlier")).toBeNull();
});
