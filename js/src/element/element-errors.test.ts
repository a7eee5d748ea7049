// @vitest-environment happy-dom
// What the element says to visitors and authors of a page that cannot launch.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { fetched, get, pass, posts, put, text, told } from "../../testing/element-page";

const written = vi.spyOn(console, "error");

beforeEach(() => {
  written.mockReset();
  written.mockImplementation(() => undefined);
});
afterEach(() => vi.unstubAllGlobals());

/** What the console says to the page's author. */
function forAuthor(): string {
  return written.mock.calls.flat().filter((text) => String(text).startsWith("<binder-progress>")).join("\n");
}

const NO_SERVER = "This page does not say which server launches.";
const NOT_OURS = "This is neither a binderprogress server nor a BinderHub.";
const html = (status: number) => async () => new Response("<!doctype html>", { status });

test.each([
  ["a site without a server that launches", "", html(405), NO_SERVER, 'Set the attribute "server"'],
  ["a file server, which knows no POST", "", html(501), NO_SERVER, 'Set the attribute "server"'],
  ["a site that has a page for everything", "", html(200), NO_SERVER, 'Set the attribute "server"'],
  ["another web server", "https://x.example", html(404), NOT_OURS, 'https://x.example/ is neither'],
  ["another web server with pages", "https://x.example", html(200), NOT_OURS, 'Correct the attribute "server"'],
])("%s", async (_, server, answer, message, advice) => {
  fetched.mockImplementation(answer);
  await put({ server });
  expect(text("outcome-message")).toBe(message);
  expect(text("advice")).toBe("Tell the author of this page.");
  expect(forAuthor()).toContain(advice);
  expect(get("elsewhere")).toBeNull();
  expect(told.at(-1)).toMatchObject(["failed", { reason: "unusable", message }]);
});

const unreachable = async () => {
  throw new TypeError("Failed to fetch");
};

test.each([
  ["mixed content", { isSecureContext: true }, "This page uses https, and hub.example does not", "https address of hub.example"],
  ["a frame without an origin", { origin: "null" }, "not allow requests from a sandboxed frame", "allow-same-origin"],
  ["a site that is not allowed", {}, "or not allow requests from http://localhost:3000", "c.Web.allowed_origins"],
])("%s: says so, and has a link to the server's own page", async (_, globals, message, advice) => {
  for (const [name, value] of Object.entries(globals)) vi.stubGlobal(name, value);
  fetched.mockImplementation(unreachable);
  await put({ server: "http://hub.example/b" });
  expect(text("outcome-message")).toContain(message);
  expect(forAuthor()).toContain(advice);
  const link = get<HTMLAnchorElement>("elsewhere");
  expect(link.href).toBe("http://hub.example/b/v2/gh/a/b/HEAD");
  expect(link.textContent?.trim()).toBe("Launch on hub.example");
  expect(told.at(-1)).toMatchObject(["failed", { reason: "unreachable" }]);
});

test("offline: nobody but the network is to blame", async () => {
  vi.stubGlobal("navigator", { onLine: false, language: "en" });
  fetched.mockImplementation(unreachable);
  await put({ server: "http://hub.example/b" });
  expect(text("outcome")).toMatch(/The server did not respond\.\s+Are you online\?/);
  expect(get("elsewhere")).toBeNull();
  expect(forAuthor()).toBe("");
});

test("a proxy whose server restarts", async () => {
  fetched.mockImplementation(html(503));
  await put();
  expect(text("outcome-message")).toBe("The server answered with status 503.");
  expect(text("advice")).toBe("Try again in a minute.");
});

test("too many launches: it counts down, and then the button works again", async () => {
  const body = { error: { message: "Try again in 42 seconds.", reason: "rate-limited" } };
  const handler = fetched.getMockImplementation()!;
  const headers = { "Retry-After": "42" };
  fetched.mockImplementation(async () => Response.json(body, { status: 429, headers }));
  await put();
  expect(text("outcome-message")).toBe("Too many requests in a short time.");
  expect(text("retry-in")).toBe("You can try again in 42 sec.");
  expect(get("again").getAttribute("aria-disabled")).toBe("true");
  get("again").click();
  await pass(10_000);
  expect(posts()).toBe(1);
  expect(text("retry-in")).toBe("You can try again in 32 sec.");
  await pass(32_000);
  expect(get("retry-in")).toBeNull();
  expect(get("again").getAttribute("aria-disabled")).toBe("false");
  expect(text("live")).toBe("Try again");
  fetched.mockImplementation(handler);
  get("again").click();
  await pass();
  expect(posts()).toBe(2);
  expect(text("phase")).toBe("Connecting");
});
