// @vitest-environment happy-dom
import { afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import type { LaunchSource } from "./thebe";

const URL_OF_BUILD = "https://hub.example.org/binder/build/gh/ada/penguins/HEAD";

class Original extends EventTarget {
  constructor(readonly url: string) {
    super();
  }
}

const cancel = vi.fn();
let adapter: typeof import("./thebe");

beforeAll(async () => {
  customElements.define("binder-progress", class extends HTMLElement {
    cancel = cancel;
  });
  window.EventSource = Original as never;
  adapter = await import("./thebe");
});

beforeEach(() => cancel.mockReset());

const sources: LaunchSource[] = [];

afterEach(() => {
  // An element whose launch goes on would come back.
  for (const source of sources.splice(0)) source.close();
  document.body.replaceChildren();
});

function open(address: string | URL = URL_OF_BUILD): { source: LaunchSource; messages: unknown[] } {
  const source = new window.EventSource(address) as unknown as LaunchSource;
  sources.push(source);
  const messages: unknown[] = [];
  // Not with `onmessage`, which happy-dom calls by itself, unlike browsers: tests/e2e/test_thebe.py does.
  source.addEventListener("message", (event) => messages.push(JSON.parse((event as MessageEvent).data)));
  return { source, messages };
}

function element(): HTMLElement | null {
  return document.querySelector("binder-progress");
}

function fire(type: string, detail: unknown): void {
  element()?.dispatchEvent(new CustomEvent(type, { detail }));
}

test.each([
  [URL_OF_BUILD, "https://hub.example.org/binder/", "gh/ada/penguins/HEAD"],
  ["https://hub.example.org/build/gh/build/build/main", "https://hub.example.org/", "gh/build/build/main"],
  [
    "https://hub.example.org/build/git/https%3A%2F%2Fexample.org%2Fa/main",
    "https://hub.example.org/",
    "git/https%3A%2F%2Fexample.org%2Fa/main",
  ],
])("%s is a build", (address, server, spec) => {
  expect(adapter.buildOf(address)).toEqual({ server, spec });
});

test.each([
  "https://hub.example.org/events",
  "https://hub.example.org/build/",
  "https://hub.example.org/build/HEAD",
  `${URL_OF_BUILD}?build_token=x`,
])("%s stays an EventSource", (address) => {
  expect(adapter.buildOf(address)).toBeUndefined();
  expect(new window.EventSource(address)).toBeInstanceOf(Original);
  expect(element()).toBeNull();
});

test("the element launches, and thebe hears when the server is ready", () => {
  const { source, messages } = open();
  const opened = vi.fn();
  source.addEventListener("open", opened);
  expect(source.readyState).toBe(source.CONNECTING);
  expect(element()?.getAttribute("server")).toBe("https://hub.example.org/binder/");
  expect(element()?.getAttribute("spec")).toBe("gh/ada/penguins/HEAD");
  expect(element()?.hasAttribute("autostart")).toBe(true);
  fire("phasechange", { phase: "building", previous: undefined });
  fire("phasechange", { phase: "launching", previous: "building" });
  expect(opened).toHaveBeenCalledOnce();
  expect(source.readyState).toBe(source.OPEN);
  fire("phasechange", { phase: "ready", previous: "launching" });
  fire("ready", { url: "https://jupyter.example.org/user/ada/?token=secret", launch: "1" });
  expect(messages).toEqual([
    { phase: "building", message: "" },
    { phase: "launching", message: "" },
    { phase: "ready", message: "", url: "https://jupyter.example.org/user/ada/", token: "secret" },
  ]);
  expect(element()).toBeNull();
  source.close();
  expect(cancel).not.toHaveBeenCalled();
});

test("after a failure, the element can try again", () => {
  const { source, messages } = open();
  fire("phasechange", { phase: "failed", previous: "building" });
  fire("failed", { reason: "internal", message: "", advice: "", evidence: [] });
  expect(messages).toEqual([]);
  expect(element()).not.toBeNull();
  fire("phasechange", { phase: "launching", previous: "building" });
  fire("ready", { url: "https://jupyter.example.org/?token=t", launch: "2" });
  expect(messages.at(-1)).toMatchObject({ phase: "ready", token: "t" });
  expect(source.readyState).toBe(source.CLOSED);
});

test("thebe is told of a launch that is cancelled", () => {
  const { messages } = open();
  fire("phasechange", { phase: "cancelled", previous: "building" });
  expect(messages).toEqual([{ phase: "failed", message: "The launch was cancelled." }]);
});

test("a launch that nobody waits for is cancelled", () => {
  const { source } = open();
  source.close();
  source.close();
  expect(cancel).toHaveBeenCalledOnce();
  expect(element()).toBeNull();
});

test("listeners are called, too", () => {
  const { source } = open();
  const listener = vi.fn();
  source.addEventListener("message", listener);
  fire("phasechange", { phase: "building", previous: undefined });
  expect(listener).toHaveBeenCalledOnce();
  expect((listener.mock.calls[0]![0] as MessageEvent).origin).toBe("https://hub.example.org");
});

test("the page says where the element is", () => {
  document.body.innerHTML = "<p data-binder-progress>Loading</p>";
  const { source } = open();
  expect(document.querySelector("[data-binder-progress] > binder-progress")).not.toBeNull();
  expect(element()?.style.position).toBe("");
  source.close();
  document.body.replaceChildren();
  open();
  expect(element()?.style.position).toBe("fixed");
});

test("a widget of MyST is where the element is", () => {
  const el = document.createElement("div");
  document.body.append(el);
  const remove = adapter.default.render({ el });
  const { source } = open();
  expect(el.firstElementChild).toBe(element());
  source.close();
  remove();
  open();
  expect(document.body.lastElementChild?.localName).toBe("binder-progress");
});

test("the element moves to the next page of a site that replaces its pages", async () => {
  const first = document.createElement("div");
  document.body.append(first);
  const remove = adapter.default.render({ el: first });
  open();
  const launching = element()!;
  first.remove();
  remove();
  await vi.waitFor(() => expect(launching.parentElement).toBe(document.body));
  expect(launching.style.position).toBe("fixed");
  const next = document.createElement("div");
  document.body.append(next);
  const removeNext = adapter.default.render({ el: next });
  expect(next.firstElementChild).toBe(launching);
  expect(launching.style.position).toBe("");
  removeNext();
});

test.each([
  ["https://hub.example.org/static/thebe.js", "https://hub.example.org/static/binder-progress.js"],
  ["https://course.example.org/files/thebe.js?v=1", "https://course.example.org/files/binder-progress.js"],
  // As MyST names the copy in its site.
  ["https://course.example.org/build/0b1c2d.mjs", "https://launcher.example.org/base/static/binder-progress.js"],
])("%s finds the script of the element", (self, script) => {
  expect(adapter.elementScript(self, "https://launcher.example.org/base/")).toBe(script);
});
