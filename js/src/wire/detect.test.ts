import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ApiError } from "./client";
import { serverKind } from "./detect";

const fetched = vi.fn<typeof fetch>();

beforeEach(() => vi.stubGlobal("fetch", fetched));
afterEach(() => {
  vi.unstubAllGlobals();
  fetched.mockReset();
});

test.each([
  [{ binderprogress: "0.1", python: "3.12" }, "binderprogress"],
  [{ builder_info: { build_image: "r2d:1" }, binderhub: "1.0" }, "binderhub"],
])("%j is %s", async (versions, expected) => {
  fetched.mockResolvedValue(Response.json(versions));
  expect(await serverKind("https://x.example/services/binder/")).toBe(expected);
  expect(fetched).toHaveBeenCalledWith("https://x.example/services/binder/versions");
});

test.each(["<h1>Log in</h1>", "null", "5", "[]", "{}", '"binderhub"'])(
  "what answers %j is neither",
  async (body) => {
    fetched.mockResolvedValue(new Response(body));
    await expect(serverKind("https://x.example/")).rejects.toThrow(SyntaxError);
  },
);

test("an error response is an error", async () => {
  fetched.mockResolvedValue(new Response("", { status: 404 }));
  await expect(serverKind("https://x.example/")).rejects.toThrow(ApiError);
});
