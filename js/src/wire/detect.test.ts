import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ApiError } from "./client";
import { isPlainBinderHub } from "./detect";

const fetched = vi.fn<typeof fetch>();

beforeEach(() => vi.stubGlobal("fetch", fetched));
afterEach(() => {
  vi.unstubAllGlobals();
  fetched.mockReset();
});

test.each([
  [{ binderprogress: "0.1", python: "3.12" }, false],
  [{ builder_info: { build_image: "r2d:1" }, binderhub: "1.0" }, true],
])("%j: a BinderHub without binderprogress is %s", async (versions, expected) => {
  fetched.mockResolvedValue(Response.json(versions));
  expect(await isPlainBinderHub("https://x.example/services/binder/")).toBe(expected);
  expect(fetched).toHaveBeenCalledWith("https://x.example/services/binder/versions");
});

test("binderprogress in a BinderHub says so in a header", async () => {
  const versions = { builder_info: {}, binderhub: "1.0" };
  fetched.mockResolvedValue(Response.json(versions, { headers: { Binderprogress: "0.1" } }));
  expect(await isPlainBinderHub("https://x.example/")).toBe(false);
});

test.each(["<h1>Log in</h1>", "null", "5", "[]", "{}", '"binderhub"'])(
  "what answers %j is neither",
  async (body) => {
    fetched.mockResolvedValue(new Response(body));
    await expect(isPlainBinderHub("https://x.example/")).rejects.toThrow(SyntaxError);
  },
);

test("an error response is an error", async () => {
  fetched.mockResolvedValue(new Response("", { status: 404 }));
  await expect(isPlainBinderHub("https://x.example/")).rejects.toThrow(ApiError);
});
