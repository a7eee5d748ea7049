// @vitest-environment happy-dom
import { expect, test, vi } from "vitest";
import { base, element, fetched, get, methods, pass, posts, put, sources, text, told, use } from "../../testing/element-page";

test("autostart starts one launch", async () => {
  const source = await put();
  expect(methods()).toEqual(["POST", undefined]);
  expect(source.url).toBe(`${base}api/launches/key/events`);
  expect(element.launch).toBe("key");
  expect(told).toEqual([["started", { launch: "key", spec: "gh/a/b/HEAD" }]]);
  await element.start();
  // The element is only moved: the stream continues.
  element.remove();
  document.body.append(element);
  await pass();
  expect(posts()).toBe(1);
  expect(sources).toHaveLength(1);
  expect(source.closed).toBe(false);
});

test.each([
  [undefined, "lab/tree/a.ipynb"],
  ["tree", "tree"],
])("an address opens what it shows, unless urlpath is %s", async (urlpath, opened) => {
  const started = { id: "key", spec: "gh/a/b/main", urlpath: "lab/tree/a.ipynb" };
  const handler = fetched.getMockImplementation()!;
  fetched.mockImplementation(async (address, request) =>
    request?.method === "POST" ? Response.json(started, { status: 201 }) : handler(address, request),
  );
  const spec = "https://github.com/a/b/blob/main/a.ipynb";
  const source = await put({ spec, ...(urlpath && { urlpath }) });
  expect(fetched.mock.calls.some(([, request]) => request?.body === JSON.stringify({ spec }))).toBe(true);
  source.send({ id: 1, phase: "ready", progress: 100, url: "https://hub.example/u/", token: "t" });
  await pass();
  expect(told.at(-1)).toEqual([
    "ready",
    { url: `https://hub.example/u/${opened}?token=t`, launch: "key" },
  ]);
});

test("without autostart, there is a button", async () => {
  use(document.createElement("binder-progress"));
  element.spec = "gh/a/b/HEAD";
  document.body.append(element);
  await pass();
  expect(methods()).toEqual([]);
  expect(text("launch")).toBe("Launch");
  expect(get("launch").getAttribute("aria-label")).toBe("Launch gh/a/b/HEAD");
  expect(get("panel")).toBeNull();
  get("launch").focus();
  get("launch").click();
  await pass();
  expect(methods()).toEqual(["POST", undefined]);
  // The button has disappeared. The focus moved to the panel.
  expect(element.shadowRoot?.activeElement).toBe(get("panel"));
});

test("resumes a launch instead of starting another", async () => {
  await put({ launch: "old" });
  expect(methods()).toEqual([undefined]);
  expect(sources[0]?.url).toBe(`${base}api/launches/old/events?spec=gh%2Fa%2Fb%2FHEAD`);
});

test("resumes where it stopped when it is added to the page again", async () => {
  const source = await put();
  source.send({ id: 5, phase: "building" });
  element.remove();
  await pass();
  expect(source.closed).toBe(true);
  document.body.append(element);
  await pass();
  expect(sources.at(-1)?.url).toBe(`${base}api/launches/key/events?after=5`);
});

test("asks before it launches for a link from another site", async () => {
  await put({ ask: "" });
  expect(methods()).toEqual([]);
  expect(text("outcome-title")).toBe("Launch this repository?");
  expect(text("again")).toBe("Launch");
  get("again").click();
  await pass();
  expect(methods()).toEqual(["POST", undefined]);
});

test("says by when it is ready at the latest", async () => {
  const source = await put();
  const left = { eta: 300, eta_low: 240, eta_high: 400, eta_latest: 560, eta_late: 950 };
  source.send({ id: 1, phase: "building", ...left });
  await pass();
  const by = element.shadowRoot!.querySelector(".by")!;
  expect(by.textContent).toMatch(/^ready by \d+:\d\d [AP]M at the latest$/);
  source.send({ id: 2, phase: "building", ...left, eta_late: 0 });
  await pass();
  expect(by.textContent).toBe("");
});

test("shows the progress", async () => {
  const source = await put();
  const progress: unknown[] = [];
  element.addEventListener("progress", ({ detail }) => progress.push(detail));
  source.send({ id: 1, phase: "waiting" });
  source.send({ id: 2, phase: "building", progress: 42.7, step: "Step 7 of 51", eta: 21 });
  await pass();
  expect(text("phase")).toBe("Building");
  expect(text("step")).toBe("Step 7 of 51");
  expect(text("percent")).toBe("42%");
  expect(text("left")).toBe("about 20 sec left");
  expect(get("bar").getAttribute("aria-valuenow")).toBe("42");
  expect(get("bar").getAttribute("aria-valuetext")).toBe("42%, Building: Step 7 of 51");
  const step = (name: string) => element.shadowRoot?.querySelector(`[data-step="${name}"]`);
  expect(step("fetching")?.getAttribute("data-state")).toBe("skipped");
  expect(step("fetching")?.textContent).toContain("skipped");
  expect(step("building")?.getAttribute("aria-current")).toBe("step");
  expect(text("live")).toBe("Building");
  expect(element.phase).toBe("building");
  expect(told.slice(1)).toEqual([
    ["phasechange", { phase: "waiting", previous: undefined }],
    ["phasechange", { phase: "building", previous: "waiting" }],
  ]);
  expect(progress.at(-1)).toMatchObject({ phase: "building", percent: 42, step: "Step 7 of 51" });
});

/** Open the log, and wait until it is loaded. */
async function openLog(): Promise<void> {
  get<HTMLDetailsElement>("log").open = true;
  get("log").dispatchEvent(new Event("toggle"));
  await pass();
}

test("the log is loaded when it is opened, and shows the number of lines", async () => {
  const source = await put();
  source.send({ id: 1, phase: "waiting", message: "<img src=x onerror=alert(1)>\n" });
  source.send({ id: 2, phase: "waiting", message: "10%\r" });
  source.send({ id: 3, phase: "waiting", message: "20%\r" });
  await pass();
  expect(get("log-summary").textContent).toBe("Log 2 lines");
  expect(get("log-view").childElementCount).toBe(0);
  await openLog();
  expect(get("log-view").childElementCount).toBeGreaterThan(0);
  expect(element.shadowRoot!.querySelector("img")).toBeNull();
});

test.each(["ready", "failed"] as const)("%s: shows where the time went, and links to the trace", async (phase) => {
  const source = await put();
  source.send({ id: 1, phase: "fetching", time: 990 });
  source.send({ id: 2, phase: "building", time: 1000 });
  const url = phase === "ready" ? { progress: 100, url: "https://hub.example/u/", token: "t" } : {};
  await pass();
  expect(get("trace")).toBeNull();
  source.send({ id: 3, phase, time: 1030, ...url });
  await pass();
  expect(text("waterfall")).toContain("Where the time went");
  const link = get("trace").querySelector("a")!;
  expect(link.getAttribute("href")).toBe(`${base}api/launches/key/trace?format=chrome`);
  expect(link.hasAttribute("download")).toBe(true);
  expect(text("trace")).toMatch(/^Download the trace\s+to open in ui\.perfetto\.dev$/);
});

test.each([
  ["at once", [{ id: 1, phase: "fetching", time: 1000 }, { id: 2, phase: "building", time: 1000.4 }], 1000.8],
  ["in its only phase", [{ id: 1, phase: "building", time: 1000 }], 1030],
] as const)("failed %s: where the time went says nothing", async (_, events, time) => {
  const source = await put();
  for (const event of events) source.send({ ...event });
  source.send({ id: 9, phase: "failed", time, message: "It broke.\n" });
  await pass();
  expect(text("outcome-title")).toBe("It broke.");
  expect(get("waterfall")).toBeNull();
});

test("ready: the link to the server has the focus", async () => {
  const source = await put({ urlpath: "lab?x=1" });
  source.send({ id: 1, phase: "ready", progress: 100, url: "https://hub.example/u/", token: "t" });
  await pass();
  const link = get<HTMLAnchorElement>("open");
  const url = "https://hub.example/u/lab?x=1&token=t";
  expect(link.hidden).toBe(false);
  expect(link.href).toBe(url);
  expect(document.activeElement).toBe(element);
  expect(element.shadowRoot?.activeElement).toBe(link);
  expect(get("cancel").hidden).toBe(true);
  expect(told.at(-1)).toEqual(["ready", { url, launch: "key" }]);
});

test("does not take the focus from the rest of the page", async () => {
  const elsewhere = document.createElement("input");
  document.body.append(elsewhere);
  elsewhere.focus();
  const source = await put();
  source.send({ id: 1, phase: "ready", progress: 100, url: "https://hub.example/u/", token: "t" });
  await pass();
  expect(document.activeElement).toBe(elsewhere);
});

test("open=new-tab opens a tab", async () => {
  const opened = vi.spyOn(window, "open").mockReturnValue(null);
  const source = await put({ open: "new-tab" });
  source.send({ id: 1, phase: "ready", progress: 100, url: "https://hub.example/u/", token: "t" });
  await pass();
  expect(opened).toHaveBeenCalledWith("https://hub.example/u/?token=t", "_blank", "noopener");
  opened.mockRestore();
});

test("does not link to an invalid server address", async () => {
  const source = await put({ open: "new-tab" });
  const opened = vi.spyOn(window, "open").mockReturnValue(null);
  source.send({ id: 1, phase: "ready", progress: 100, url: "javascript:alert(1)", token: "t" });
  await pass();
  expect(opened).not.toHaveBeenCalled();
  expect(get("open").hidden).toBe(true);
  expect(get("open").getAttribute("href")).toBeNull();
  expect(text("outcome-title")).toContain("cannot be opened");
  expect(told.at(-1)).toMatchObject(["failed", { reason: "unusable" }]);
  opened.mockRestore();
});

test("failed: shows the reason, the log and a button to retry", async () => {
  const source = await put({ variant: "page" });
  source.send({ id: 1, phase: "building", progress: 30, message: "one\n" });
  const advice = "Check its name.";
  const evidence = ["ERROR: no such package"];
  const reason = "requirement";
  const message = "It broke.\n";
  source.send({ id: 2, phase: "failed", progress: 30, message, advice, evidence, reason });
  await pass();
  expect(text("outcome-message")).toBe("It broke.");
  expect(text("advice")).toBe(advice);
  expect(text("evidence")).toBe("ERROR: no such package");
  expect(get<HTMLDetailsElement>("log").open).toBe(true);
  expect(get("log-view").childElementCount).toBeGreaterThan(0);
  expect(told.at(-1)).toEqual([
    "failed",
    { reason, message: "It broke.", advice, evidence: ["ERROR: no such package"] },
  ]);

  await element.retry();
  await pass();
  expect(posts()).toBe(2);
  expect(get("outcome")).toBeNull();
  expect(text("percent")).toBe("");
  await element.retry();
  expect(posts()).toBe(2);
});

test("cancels, and shows that", async () => {
  const source = await put();
  source.send({ id: 1, phase: "building" });
  get("cancel").focus();
  get("cancel").click();
  get("cancel").click();
  await pass();
  expect(methods().filter((method) => method === "DELETE")).toHaveLength(1);
  expect(text("phase")).toBe("Cancelling");
  source.send({ id: 2, phase: "cancelled" });
  await pass();
  expect(text("outcome-title")).toBe("The launch was cancelled");
  expect(get("panel")).toBeNull();
  expect(element.shadowRoot?.activeElement).toBe(get("again"));
  expect(told.filter(([type]) => type === "failed")).toEqual([]);
});

test("a launch that the server does not know has expired", async () => {
  fetched.mockResolvedValue(Response.json({ error: { message: "No." } }, { status: 404 }));
  await put({ launch: "old" });
  expect(text("outcome-title")).toBe("This launch has expired");
  expect(text("again")).toBe("Start a new launch");
  expect(sources).toHaveLength(0);
  expect(told.at(-1)).toMatchObject(["failed", { reason: "gone" }]);
});

test("shows that the server waits for its storage, and stands still meanwhile", async () => {
  const source = await put();
  const curve = { from: 10, to: 90, tau: 5 };
  const time = Date.now() / 1000;
  source.send({ id: 1, phase: "building", step: "Installing", progress: 10, curve, eta: 60, time });
  await pass(1000);
  expect(text("step")).toBe("Installing");
  expect(text("left")).not.toBe("");
  source.write(": waiting for storage\n\n");
  await pass(1000);
  expect(text("step")).toBe("Waiting for storage");
  expect(text("left")).toBe("");
  const percent = text("percent");
  await pass(10_000);
  expect(text("percent")).toBe(percent);
  // A keepalive says that it is over.
  source.write(":\n\n");
  await pass(1000);
  expect(text("step")).toBe("Installing");
  expect(text("percent")).not.toBe(percent);
});

test("shows why the server refuses a launch", async () => {
  const body = { error: { message: "Too many launches." } };
  fetched.mockResolvedValue(Response.json(body, { status: 429 }));
  await put();
  expect(text("outcome-message")).toBe("Too many launches.");
  expect(text("live")).toBe("Too many launches.");
  expect(element.launch).toBe("");
  expect(told.at(-1)).toMatchObject(["failed", { reason: "refused" }]);
});

test.each([
  [{ server: "javascript:alert(1)" }, "server"],
  [{ spec: "" }, "spec"],
])("reports invalid attributes: %j", async (attributes, name) => {
  await put(attributes);
  expect(text("outcome-message")).toContain(name);
  expect(fetched).not.toHaveBeenCalled();
});

test("hub is the old name of server", async () => {
  await put({ server: "", hub: "javascript:alert(1)" });
  expect(text("outcome-message")).toContain("http:// or https://");
  expect(fetched).not.toHaveBeenCalled();
});

test("names the setting if a server on another site does not respond", async () => {
  vi.spyOn(console, "error").mockImplementation(() => undefined);
  fetched.mockRejectedValue(new TypeError("Failed to fetch"));
  await put({ server: "https://hub.example" });
  expect(text("outcome-message")).toContain("c.Web.allowed_origins");
  expect(text("outcome-message")).toContain(location.origin);
  expect(told.at(-1)).toMatchObject(["failed", { reason: "unreachable" }]);
  vi.mocked(console.error).mockRestore();
});

test("says nothing if the server ends the stream, and another one goes on", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  const source = await put();
  source.send({ id: 5, phase: "building" });
  source.write("retry: 2000\n\n");
  source.end();
  await pass(1900);
  expect(get("notice").hidden).toBe(true);
  expect(get("root").hasAttribute("data-lost")).toBe(false);
  expect(sources).toHaveLength(1);
  fetched.mockResolvedValueOnce(new Response("Bad Gateway", { status: 502 }));
  await pass(100);
  // It does not go on, either.
  expect(text("notice")).toContain("Connection lost. Reconnecting…");
  await pass(2000);
  expect(sources.at(-1)?.url).toBe(`${base}api/launches/key/events?after=5`);
  vi.restoreAllMocks();
});

test("resumes a lost connection after the last event, and shows that", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  const source = await put();
  source.send({ id: 5, phase: "building" });
  await pass();
  fetched.mockResolvedValueOnce(new Response("Bad Gateway", { status: 502 }));
  source.cut();
  await pass();
  expect(text("notice")).toContain("Connection lost. Reconnecting…");
  expect(get("root").hasAttribute("data-lost")).toBe(true);
  await pass(1000);
  // The proxy responded instead of the server, which restarts: the next pause is longer.
  expect(sources).toHaveLength(1);
  await pass(1800);
  expect(sources).toHaveLength(1);
  await pass(300);
  expect(sources.at(-1)?.url).toBe(`${base}api/launches/key/events?after=5`);
  sources.at(-1)?.send({ id: 6, phase: "building" });
  await pass();
  expect(get("notice").hidden).toBe(true);
  expect(posts()).toBe(1);
  vi.restoreAllMocks();
});
