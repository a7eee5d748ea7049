/**
 * A page with an element in happy-dom, whose server a test plays. Import it in a test file: it installs
 * itself for each test.
 */
import { afterEach, beforeEach, vi } from "vitest";
import "../src/element/define";
import type { BinderProgressElement } from "../src/element/element";
import { StreamedResponse } from "./streamed-response";

export const fetched = vi.fn<typeof fetch>();
export const sources: StreamedResponse[] = [];
export const base = new URL("/b/", location.href).href;
/** The newest element. */
export let element: BinderProgressElement;
/** Its events, without `progress`. */
export const told: [string, unknown][] = [];

/** Wait for responses, parts and the next drawing. */
export async function pass(milliseconds = 100): Promise<void> {
  // Imports and streams do not depend on timers.
  // One may be imported after the response to another's request.
  for (const part of [...PARTS, ...PARTS]) {
    await part();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await vi.advanceTimersByTimeAsync(milliseconds);
}

const PARTS = [
  () => import("../src/element/view"),
  () => import("../src/element/ending"),
  () => import("../src/log/log-view"),
  () => import("../src/wire/watch"),
  () => import("../src/session/explain"),
];

/** The element with this id or part name. */
export function get<T extends HTMLElement = HTMLElement>(name: string): T {
  return element.shadowRoot!.querySelector<T>(`#${name}, [part~="${name}"]`)!;
}

export function text(name: string): string | undefined {
  return get(name)?.textContent?.trim();
}

/** Use another element in what follows. */
export function use(other: BinderProgressElement): void {
  element = other;
}

/** Put an element into the page. */
export async function put(attributes: Record<string, string> = {}): Promise<StreamedResponse> {
  element = document.createElement("binder-progress");
  const all = { server: "/b", spec: "gh/a/b/HEAD", autostart: "", ...attributes };
  for (const [name, value] of Object.entries(all)) element.setAttribute(name, value);
  for (const type of ["started", "phasechange", "ready", "failed"]) {
    // On the document: the events bubble, and cross shadow boundaries.
    document.addEventListener(type, note);
  }
  document.body.append(element);
  await pass();
  return sources.at(-1)!;
}

function note(event: Event): void {
  told.push([event.type, (event as CustomEvent).detail]);
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: [...TIMERS] });
  vi.stubGlobal("fetch", fetched);
  vi.stubGlobal("origin", location.origin);
  fetched.mockImplementation(async (address, request) => {
    if (request?.method === "POST") return Response.json({ id: "key" }, { status: 201 });
    if (!String(address).includes("/events")) return Response.json({ now: Date.now() / 1000 });
    sources.push(new StreamedResponse(String(address), request?.signal));
    return sources.at(-1)!.response;
  });
});
afterEach(() => {
  document.body.replaceChildren();
  sessionStorage.clear();
  vi.useRealTimers();
  vi.unstubAllGlobals();
  sources.length = 0;
  told.length = 0;
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

/** The methods of all requests, except for streams. */
export function methods(): (string | undefined)[] {
  const calls = fetched.mock.calls.filter(([address]) => !String(address).includes("/events"));
  return calls.map(([, request]) => request?.method);
}

export function posts(): number {
  return methods().filter((method) => method === "POST").length;
}
