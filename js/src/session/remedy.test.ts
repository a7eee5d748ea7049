import { expect, test, vi } from "vitest";
import { ApiError } from "../wire/client";
import type { LaunchEvent } from "../wire/event";
import { NOT_STARTED, outcomeOf } from "./outcome";
import { remedyOf } from "./remedy";
import type { LaunchSession } from "./session";

vi.stubGlobal("location", new URL("https://hub.example.org/x"));
vi.stubGlobal("document", { baseURI: "https://hub.example.org/x" });

function failed(fields: Partial<LaunchEvent>, spec = "gh/kim/demo/main", id = "secret"): string {
  const event = { id: 1, phase: "failed", time: 0, elapsed: 0, progress: 0, ...fields } as LaunchEvent;
  const session = { spec, id, server: "https://hub.example.org/" } as LaunchSession;
  return Object.values(remedyOf(outcomeOf(event), session)).join(" ").trim();
}

test.each([
  [{ fault: "repository", file: "apt.txt", line: 3 }, "edit https://github.com/kim/demo/edit/main/apt.txt#L3"],
  [{ fault: "repository" }, "repository https://github.com/kim/demo"],
  [
    { fault: "request", retry: false },
    "address https://hub.example.org/link?repo=https%3A%2F%2Fgithub.com%2Fkim%2Fdemo&ref=main",
  ],
  [{ fault: "request", retry: true }, "again"],
  [{ fault: "server", retry: true }, "again"],
  [{ fault: "server", retry: false }, "report"],
  [{ fault: "network", retry: true }, "again"],
  [{ fault: "unknown" }, "again"],
  [{ phase: "cancelled", fault: "repository" }, "again"],
] as [Partial<LaunchEvent>, string][])("%j: %s", (event, remedy) => {
  expect(failed(event)).toBe(remedy);
});

test("a repository without a page of its own can only be launched again, or changed", () => {
  const spec = "git/file%3A%2F%2F%2Fsrv%2Fdemo/main";
  expect(failed({ fault: "repository", file: "apt.txt" }, spec)).toBe("again");
  expect(failed({ fault: "request", retry: false }, spec)).toContain("link?repo=git%2Ffile");
});

test("the server's own page goes on in the language that somebody has chosen", () => {
  vi.stubGlobal("location", new URL("https://hub.example.org/x?lang=fr"));
  vi.stubGlobal("origin", "https://hub.example.org");
  const address = () => failed({ fault: "request", retry: false });
  expect(address()).toMatch(/&ref=main&lang=fr$/);
  // A page of another site has its own addresses.
  vi.stubGlobal("origin", "https://other.example");
  expect(address()).toMatch(/&ref=main$/);
});

test("a plain BinderHub has a form of its own", () => {
  expect(failed({ fault: "request", retry: false }, "gh/kim/demo/main", "")).toBe("address https://hub.example.org/");
});

test.each([
  [400, "address"],
  [403, "report"],
  [500, "again"],
])("a launch that is refused with %s: %s", (status, kind) => {
  const error = new ApiError("No.", status, "");
  const outcome = { ...NOT_STARTED, error };
  const session = { spec: "nonsense", id: "", server: "https://hub.example.org/" } as LaunchSession;
  expect(remedyOf(outcome, session).kind).toBe(kind);
});

test("a page that cannot launch leads to the server's own", () => {
  const page = "https://hub.example.org/v2/gh/kim/demo/main";
  const outcome = { ...NOT_STARTED, error: new TypeError(), page };
  expect(remedyOf(outcome, {} as LaunchSession)).toEqual({ kind: "elsewhere", url: page });
});
