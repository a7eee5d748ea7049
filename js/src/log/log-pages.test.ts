import { expect, test } from "vitest";
import { LogPages, PAGE } from "./log-pages";

const numbered = (first: number, count: number) =>
  Array.from({ length: count }, (_, index) => `line ${first + index}`);

test("keeps lines, and says which are missing", () => {
  const pages = new LogPages();
  expect(pages.missing(10, 20, 0)).toBe(10);
  pages.put(0, numbered(0, 700), 700);
  expect(pages.line(699)).toBe("line 699");
  expect(pages.line(700)).toBeUndefined();
  expect(pages.missing(0, 700, 700)).toBeUndefined();
  expect(pages.missing(600, 710, 700)).toBe(700);
});

test("reads lines again that programs might have overwritten", () => {
  const pages = new LogPages();
  pages.put(0, numbered(0, 700), 200);
  expect(pages.missing(0, 700, 200)).toBeUndefined();
  // More came, so that these cannot change any more.
  expect(pages.missing(100, 700, 650)).toBe(200);
  pages.put(200, ["other"], 650);
  expect(pages.line(200)).toBe("other");
  pages.put(200, numbered(200, 500), 650);
  expect(pages.missing(100, 650, 650)).toBeUndefined();
  // A part whose beginning is not known to be final.
  pages.put(3 * PAGE + 10, ["x"], 10_000);
  expect(pages.missing(3 * PAGE + 10, 3 * PAGE + 11, 10_000)).toBe(3 * PAGE + 10);
});

test("forgets what was read longest ago", () => {
  const pages = new LogPages(20_000);
  for (let page = 0; page < 10; page += 1) pages.put(page * PAGE, numbered(page * PAGE, PAGE), 1e6);
  expect(pages.line(0)).toBeUndefined();
  expect(pages.line(10 * PAGE - 1)).toBe("line 4999");
});
