// @vitest-environment happy-dom
// The element on pages that are loaded again, or change what it launches.
import { expect, test, vi } from "vitest";
import { base, element, fetched, get, pass, posts, put, sources, text, told, use } from "../../testing/element-page";

const READY = { phase: "ready", progress: 100, url: "https://hub.example/u/", token: "t" } as const;

/** What is stored, without the keys. */
function stored(): unknown[] {
  return Object.values({ ...sessionStorage }).map((value) => JSON.parse(String(value)));
}

/** Load the page again: the elements are new ones. */
async function reload(attributes: Record<string, string> = {}): ReturnType<typeof put> {
  document.body.replaceChildren();
  await pass();
  sources.length = told.length = 0;
  return put(attributes);
}

/** Let the server give ids, one after the other. */
function number(): void {
  const handler = fetched.getMockImplementation()!;
  let id = 0;
  fetched.mockImplementation(async (address, request) => {
    if (request?.method !== "POST") return handler(address, request);
    id += 1;
    return Response.json({ id: `key${id}`, urlpath: "lab/tree/a.ipynb" }, { status: 201 });
  });
}

function forget(): void {
  const handler = fetched.getMockImplementation()!;
  fetched.mockImplementation(async (address, request) =>
    request?.method === "POST" ? handler(address, request) : new Response(null, { status: 410 }),
  );
}

test("a reload resumes the launch, and what its address opens", async () => {
  number();
  await put();
  const source = await reload();
  expect(posts()).toBe(1);
  expect(source.url).toBe(`${base}api/launches/key1/events?spec=gh%2Fa%2Fb%2FHEAD`);
  expect(element.launch).toBe("key1");
  source.send({ id: 1, ...READY });
  await pass();
  expect(told.at(-1)).toEqual(["ready", { url: "https://hub.example/u/lab/tree/a.ipynb?token=t", launch: "key1" }]);
});

test("a server that may not be there any more can be launched again", async () => {
  number();
  const first = await put();
  first.send({ id: 1, ...READY });
  await pass();
  expect(get("again").hidden).toBe(true);
  const source = await reload({ autostart: "" });
  source.send({ id: 1, ...READY });
  await pass();
  expect(get("open").hidden).toBe(false);
  expect(text("again")).toBe("Launch again");
  expect(get("again").classList.contains("primary")).toBe(false);
  get("again").click();
  await pass();
  expect(posts()).toBe(2);
  expect(stored()).toMatchObject([{ id: "key2" }]);
});

test("a launch that has expired is forgotten, without a word", async () => {
  number();
  await put();
  forget();
  document.body.replaceChildren();
  await pass();
  told.length = 0;
  use(document.createElement("binder-progress"));
  element.server = "/b";
  element.spec = "gh/a/b/HEAD";
  document.body.append(element);
  await pass();
  expect(told).toEqual([]);
  expect(get("launch").hidden).toBe(false);
  expect(element.launch).toBe("");
  expect(stored()).toEqual([]);
});

test("a launch that has expired is replaced where launches start by themselves", async () => {
  number();
  await put();
  const handler = fetched.getMockImplementation()!;
  fetched.mockImplementation(async (address, request) =>
    String(address).includes("/key1") ? new Response(null, { status: 410 }) : handler(address, request),
  );
  await reload();
  expect(sources[0]?.url).toBe(`${base}api/launches/key2/events`);
  expect(told).toEqual([["started", { launch: "key2", spec: "gh/a/b/HEAD" }]]);
});

test("a launch that was cancelled is not resumed, and one that failed is", async () => {
  number();
  const source = await put();
  source.send({ id: 1, phase: "failed", reason: "build-failed" });
  await pass();
  expect(stored()).toMatchObject([{ id: "key1" }]);
  get("again").click();
  await pass();
  sources.at(-1)!.send({ id: 1, phase: "cancelled" });
  await pass();
  expect(stored()).toEqual([]);
});

test("elements of the same repository have a launch each", async () => {
  number();
  await put();
  await put();
  const ids = () => [...document.querySelectorAll("binder-progress")].map(({ launch }) => launch);
  expect(ids()).toEqual(["key1", "key2"]);
  document.body.replaceChildren();
  await pass();
  await put();
  await put();
  await put({ spec: "gh/a/b/main" });
  await put({ server: "/c" });
  expect(ids()).toEqual(["key1", "key2", "key3", "key4"]);
  expect(posts()).toBe(4);
});

test.each([
  ["memory", "none"],
  ["launch", "old"],
])("%s=%s: nothing is read from the tab", async (name, value) => {
  number();
  await put();
  await reload({ [name]: value });
  expect(element.launch).toBe(name === "launch" ? "old" : "key2");
});

test("a Jupyter server is not opened by itself once more", async () => {
  const opened = vi.spyOn(window, "open").mockReturnValue(null);
  const first = await put({ open: "new-tab" });
  first.send({ id: 1, ...READY });
  await pass();
  const again = await reload({ open: "new-tab" });
  again.send({ id: 1, ...READY });
  await pass();
  expect(get("open").hidden).toBe(false);
  expect(opened).toHaveBeenCalledTimes(1);
  opened.mockRestore();
});

test.each([
  ["forbids", () => { throw new DOMException("No.", "SecurityError"); }],
  ["has nonsense in", () => "{"],
])("a browser that %s its storage", async (_, getItem) => {
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
  vi.stubGlobal("sessionStorage", { getItem, setItem: getItem, removeItem: getItem, clear: () => undefined });
  const source = await put();
  source.send({ id: 1, phase: "building" });
  await pass();
  expect(text("phase")).toBe("Building");
  vi.mocked(console.warn).mockRestore();
});

test("another spec: the launch goes on, and is there again with its spec", async () => {
  number();
  const source = await put();
  source.send({ id: 1, phase: "building" });
  await pass();
  element.removeAttribute("autostart");
  element.spec = "gh/a/c/HEAD";
  await pass();
  expect(source.closed).toBe(true);
  expect(fetched.mock.calls.filter(([, request]) => request?.method === "DELETE")).toEqual([]);
  expect(text("spec")).toBe("gh/a/c/HEAD");
  expect(get("panel")).toBeNull();
  expect(element.launch).toBe("");
  get("launch").click();
  await pass();
  expect(element.launch).toBe("key2");
  expect(get("cancel").getAttribute("aria-label")).toBe("Cancel: gh/a/c/HEAD");
  element.spec = "gh/a/b/HEAD";
  await pass();
  expect(element.launch).toBe("key1");
  expect(sources.at(-1)?.url).toBe(`${base}api/launches/key1/events?spec=gh%2Fa%2Fb%2FHEAD`);
  expect(posts()).toBe(2);
});

test("another server, where launches start by themselves", async () => {
  number();
  await put();
  element.server = "/c";
  await pass();
  expect(sources.at(-1)?.url).toBe(new URL("/c/api/launches/key2/events", location.href).href);
  expect(posts()).toBe(2);
});

test("spec and launch together", async () => {
  number();
  await put();
  element.spec = "gh/a/c/HEAD";
  element.launch = "old";
  await pass();
  expect(sources.at(-1)?.url).toBe(`${base}api/launches/old/events?spec=gh%2Fa%2Fc%2FHEAD`);
  expect(posts()).toBe(1);
});

test("a spec that is set and started at once starts once", async () => {
  use(document.createElement("binder-progress"));
  element.server = "/b";
  document.body.append(element);
  await pass();
  element.spec = "gh/a/b/HEAD";
  void element.start();
  await pass();
  expect(posts()).toBe(1);
  expect(sources).toHaveLength(1);
  expect(sources[0]?.closed).toBe(false);
});
