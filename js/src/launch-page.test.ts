// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import template from "../../share/binderprogress/templates/launch.html?raw";
import type { LaunchEvent, Phase } from "./event";
import { LaunchPage } from "./launch-page";
import { LaunchView } from "./view";

const fetched = vi.fn<typeof fetch>();
const sources: Source[] = [];

class Source {
  static readonly CLOSED = 2;
  readyState = 1;
  onerror?: () => void;
  onmessage?: (message: { data: string }) => void;

  constructor(readonly url: string) {
    sources.push(this);
  }

  send(event: Partial<LaunchEvent> & { id: number; phase: Phase }): void {
    const whole = { time: Date.now() / 1000, elapsed: 3, progress: 10, ...event };
    this.onmessage?.({ data: JSON.stringify(whole) });
  }

  close(): void {
    this.readyState = Source.CLOSED;
  }
}

/** Let answers arrive and the page draw. */
async function pass(milliseconds = 100): Promise<void> {
  await vi.advanceTimersByTimeAsync(milliseconds);
}

function get<T extends HTMLElement = HTMLElement>(name: string): T {
  return document.querySelector<T>(`[data-part="${name}"]`)!;
}

/** The template without its Jinja: the loop of the steps is written out. */
function html(): string {
  const main = template.slice(template.indexOf("<main"), template.indexOf("</main>") + 7);
  return main
    .replace(/\{%- for step in (\[.*\]) %\}(.*?)\{%- endfor %\}/s, (_, steps: string, item: string) =>
      (JSON.parse(steps) as string[])
        .map((step) => item.replace("{{ step }}", step).replace("{{ step | capitalize }}", step))
        .join(""),
    )
    .replace(/\{%.*?%\}|\{\{.*?\}\}/g, "");
}

async function page(hash = "", settings: { urlpath?: string; ask?: boolean } = {}): Promise<Source> {
  location.hash = hash;
  document.body.innerHTML = html();
  const view = new LaunchView(get("launch"));
  const all = { baseUrl: "/b/", spec: "gh/a/b/HEAD", title: "a/b", urlpath: "", open: "none" };
  const ask = false;
  void new LaunchPage(view, { ...all, ask, ...settings }).run();
  await pass();
  return sources.at(-1)!;
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: [...TIMERS] });
  vi.stubGlobal("fetch", fetched);
  vi.stubGlobal("EventSource", Source);
  fetched.mockImplementation(async (_, request) =>
    request?.method === "POST"
      ? Response.json({ id: "key" }, { status: 201 })
      : Response.json({ now: Date.now() / 1000 }),
  );
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  sources.length = 0;
  fetched.mockReset();
});

const TIMERS = [
  "setTimeout",
  "clearTimeout",
  "setInterval",
  "clearInterval",
  "Date",
  "requestAnimationFrame",
] as const;

function methods(): (string | undefined)[] {
  return fetched.mock.calls.map(([, request]) => request?.method);
}

test("starts a launch and keeps its key in the address", async () => {
  const source = await page();
  expect(methods()).toEqual(["POST", undefined]);
  expect(location.hash).toBe("#launch=key");
  expect(source.url).toBe("/b/api/launches/key/events");
});

test("a reload resumes: no second launch", async () => {
  await page("#launch=old");
  expect(methods()).toEqual([undefined]);
  expect(sources[0]?.url).toBe("/b/api/launches/old/events");
});

test("asks before it starts what another site's link names", async () => {
  await page("", { ask: true });
  expect(methods()).toEqual([]);
  expect(get("outcome-title").textContent).toBe("Launch this repository?");
  get("again").click();
  await pass();
  expect(methods()).toEqual(["POST", undefined]);
});

test("shows where it stands", async () => {
  const source = await page();
  source.send({ id: 1, phase: "waiting" });
  source.send({ id: 2, phase: "building", progress: 42.7, step: "Step 7 of 51", eta: 21 });
  await pass();
  expect(get("phase").textContent).toBe("Building");
  expect(get("step").textContent).toBe("Step 7 of 51");
  expect(get("percent").textContent).toBe("42%");
  expect(get("left").textContent).toBe("about 20 s left");
  expect(get("bar").getAttribute("aria-valuenow")).toBe("42");
  expect(get("bar").getAttribute("aria-valuetext")).toBe("42%, Building: Step 7 of 51");
  expect(get("step-fetching").dataset.state).toBe("skipped");
  expect(get("step-building").getAttribute("aria-current")).toBe("step");
  expect(get("live").textContent).toBe("Building");
  expect(document.title).toBe("42% · Building · a/b");
});

test("the log is text, in order, and bounded", async () => {
  const source = await page();
  source.send({ id: 1, phase: "waiting", message: "<img src=x onerror=alert(1)>\n" });
  source.send({ id: 2, phase: "waiting", message: "10%\r" });
  await pass();
  source.send({ id: 3, phase: "waiting", message: "20%\r" });
  await pass();
  expect(get("log-lines").textContent).toBe("<img src=x onerror=alert(1)>\n20%\n");
  expect(get("log-lines").querySelector("img")).toBeNull();
  for (let id = 4; id < 5010; id += 1) source.send({ id, phase: "building", message: `${id}\n` });
  await pass();
  expect(get("log-lines").childElementCount).toBe(5000);
  expect(get("log-lines").firstElementChild?.textContent).toBe("10\n");
  expect(get("log-note").hidden).toBe(false);
});

test("ready: a link to the server, with the focus", async () => {
  const source = await page("", { urlpath: "lab?x=1" });
  source.send({ id: 1, phase: "ready", progress: 100, url: "https://hub.example/u/", token: "t" });
  const open = get<HTMLAnchorElement>("open");
  expect(open.hidden).toBe(false);
  expect(open.href).toBe("https://hub.example/u/lab?x=1&token=t");
  expect(document.activeElement).toBe(open);
  expect(get("cancel").hidden).toBe(true);
});

test("an address that is not one of a server is not offered", async () => {
  const source = await page();
  source.send({ id: 1, phase: "ready", progress: 100, url: "javascript:alert(1)", token: "t" });
  expect(get("open").hidden).toBe(true);
  expect(get("outcome").hidden).toBe(false);
});

test("failed: why, the log, and another try", async () => {
  const source = await page();
  source.send({ id: 1, phase: "building", progress: 30 });
  const advice = "Check its name.";
  const evidence = ["\u001b[31mERROR: no such package\u001b[0m"];
  source.send({ id: 2, phase: "failed", progress: 30, message: "It broke.\n", advice, evidence });
  await pass();
  expect(get("outcome-message").textContent).toBe("It broke.");
  expect(get("outcome-advice").textContent).toBe(advice);
  expect(get("outcome-evidence").textContent).toBe("ERROR: no such package");
  expect(get<HTMLDetailsElement>("log").open).toBe(true);
  expect(get("step-building").dataset.state).toBe("failed");

  get("again").click();
  await pass();
  expect(methods().filter((method) => method === "POST")).toHaveLength(2);
  expect(get("outcome").hidden).toBe(true);
  expect(get("log-lines").textContent).toBe("");
  expect(get("percent").textContent).toBe("");
});

test("cancels, and says so meanwhile", async () => {
  const source = await page();
  source.send({ id: 1, phase: "building" });
  get("cancel").focus();
  get("cancel").click();
  get("cancel").click();
  await pass();
  expect(methods().filter((method) => method === "DELETE")).toHaveLength(1);
  expect(get("phase").textContent).toBe("Cancelling");
  source.send({ id: 2, phase: "cancelled" });
  expect(get("phase").textContent).toBe("Cancelled");
  expect(document.activeElement).toBe(get("again"));
});

test("a launch that the server does not know is over", async () => {
  fetched.mockResolvedValue(Response.json({ error: { message: "No." } }, { status: 404 }));
  await page("#launch=old");
  expect(get("outcome-title").textContent).toBe("This launch is over");
  expect(get("again").textContent).toBe("Start a new launch");
  expect(sources).toHaveLength(0);
});

test("a launch that the server refuses says why", async () => {
  const body = { error: { message: "Too many launches.", reason: "rate" } };
  fetched.mockResolvedValue(Response.json(body, { status: 429 }));
  await page();
  expect(get("outcome-message").textContent).toBe("Too many launches.");
  expect(location.hash).toBe("");
});

test("goes on after the last event when the browser gave up", async () => {
  const source = await page();
  source.send({ id: 5, phase: "building" });
  source.readyState = 0;
  source.onerror?.();
  expect(get("notice").hidden).toBe(false);
  expect(sources).toHaveLength(1);

  fetched.mockResolvedValueOnce(new Response("Bad Gateway", { status: 502 }));
  source.close();
  source.onerror?.();
  await pass(1100);
  expect(sources).toHaveLength(1);
  await pass(2100);
  expect(sources.at(-1)?.url).toBe("/b/api/launches/key/events?after=5");
  expect(get("notice").hidden).toBe(false);
  sources.at(-1)?.send({ id: 6, phase: "building" });
  expect(get("notice").hidden).toBe(true);
  expect(methods().filter((method) => method === "POST")).toHaveLength(1);
});
