import { expect, test } from "vitest";
import { Repeats } from "./replay";

/** Return the new messages of several connections. */
function news(...connections: string[][]): string[] {
  const repeats = new Repeats();
  return connections.flatMap((said, index) => {
    if (index) repeats.begin();
    return said.filter((text) => !repeats.has(text, text.startsWith("status")));
  });
}

test.each([
  ["all of it again", ["abc", "abcd"], "abcd"],
  ["its end again", ["abcdef", "defg"], "abcdefg"],
  ["nothing again", ["abc", "xyz"], "abcxyz"],
  ["lines that look alike", ["aabaab", "aabaabc"], "aabaabc"],
  ["its end, that looks like its middle", ["abcabd", "abdx"], "abcabdx"],
  ["the same line again, as news", ["abc", "abcc"], "abcc"],
  ["the same line in one connection", ["aaa"], "aaa"],
  ["three times", ["ab", "abc", "bcd"], "abcd"],
  ["cut again while it is repeated", ["abcd", "ab", "abcde"], "abcde"],
])("%s", (_, connections, expected) => {
  expect(news(...connections.map((said) => [...said])).join("")).toBe(expected);
});

test("status messages may appear anywhere between", () => {
  expect(
    news(["status 1", "a", "b"], ["status 1", "status 2", "b", "status 1", "c"]),
  ).toEqual(["status 1", "a", "b", "status 2", "c"]);
});

test("attack: a log of one line without end takes neither memory nor time", () => {
  const log = Array.from({ length: 30_000 }, () => "y");
  const started = performance.now();
  expect(news(log, log).length).toBeLessThan(60_001);
  expect(performance.now() - started).toBeLessThan(2000);
});
