import { expect, test } from "vitest";
import { withoutTicket } from "./ticket";

test.each([
  ["/v2/gh/a/b/HEAD", "/v2/gh/a/b/HEAD"],
  ["/v2/gh/a/b/HEAD?ticket=x", "/v2/gh/a/b/HEAD"],
  ["/v2/gh/a/b/HEAD?ticket=x#launch=y", "/v2/gh/a/b/HEAD#launch=y"],
  ["/v2/gh/a/b/HEAD?urlpath=lab/tree/a%20b&ticket=x", "/v2/gh/a/b/HEAD?urlpath=lab/tree/a%20b"],
  ["/v2/gh/a/b/HEAD?ticket=x&lang=de#y", "/v2/gh/a/b/HEAD?lang=de#y"],
  ["/v2/gh/a/b/HEAD?lang=de&ticket=x&urlpath=a", "/v2/gh/a/b/HEAD?lang=de&urlpath=a"],
])("%s has no ticket", (href, expected) => {
  expect(withoutTicket(href)).toBe(expected);
});
