import { expect, test } from "vitest";
import { runs } from "./ansi";
import { linksOf, safeAddress } from "./links";

/** The links of a line: text, address, host. */
function found(line: string): string[][] {
  const all = runs(line);
  const text = all.map((run) => run.text).join("");
  return linksOf(all).map(({ start, end, href, host }) => [text.slice(start, end), href, host]);
}

const osc = (href: string, text: string) => `\u001b]8;;${href}\u001b\\${text}\u001b]8;;\u001b\\`;

test.each([
  ["see https://pip.pypa.io/warnings/venv.", [["https://pip.pypa.io/warnings/venv", "https://pip.pypa.io/warnings/venv", ""]]],
  ["(http://a.example/b_(c)), 'https://d.example'", [["http://a.example/b_(c)", "http://a.example/b_(c)", ""], ["https://d.example", "https://d.example/", ""]]],
  ["https://a.example/\u001b[31mred\u001b[0m end", [["https://a.example/red", "https://a.example/red", ""]]],
  ["https://github.com@evil.example/ javascript:alert(1) ftp://a.example http://", []],
  [osc("https://a.example/x", "the docs"), [["the docs", "https://a.example/x", "a.example"]]],
  [osc("https://a.example/x", "https://a.example/x"), [["https://a.example/x", "https://a.example/x", ""]]],
  // Attack: the text names a host that is not the one of the address.
  [osc("https://evil.example/", "https://github.com/"), [["https://github.com/", "https://evil.example/", "evil.example"]]],
  [osc("javascript:alert(1)", "click"), []],
  [osc("data:text/html,x", "https://a.example/"), [["https://a.example/", "https://a.example/", ""]]],
  [osc("https://a.example/", "\u001b[1mbold\u001b[0m and not"), [["bold and not", "https://a.example/", "a.example"]]],
])("links of %j", (line, expected) => {
  expect(found(line)).toEqual(expected);
});

test("the number of links is limited", () => {
  expect(found("https://a.example ".repeat(200))).toHaveLength(50);
  expect(found(osc("https://a.example/", "x").repeat(90) + " https://b.example")).toHaveLength(2);
  expect(found(Array.from({ length: 90 }, (_, n) => osc(`https://a.example/${n}`, "x")).join(" "))).toHaveLength(50);
});

test("hosts are shown as they are looked up", () => {
  expect(found(osc("https://\u0430pple.example/", "apple"))[0]![2]).toBe("xn--pple-43d.example");
  expect(safeAddress("/relative")).toBe("");
});

test("attack: a long line takes linear time", () => {
  const took = (line: string) => {
    const began = performance.now();
    found(line);
    return performance.now() - began;
  };
  for (const part of ["http://", "https://a)", "https://a.example/....", "\u001b]8;;", "\u001b]8;;x\u0007"]) {
    took(part.repeat(500));
    expect(took(part.repeat(100_000))).toBeLessThan(2000);
  }
});
