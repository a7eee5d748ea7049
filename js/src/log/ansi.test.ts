import { expect, test } from "vitest";
import { contrast, runs } from "./ansi";
import style from "./log-view.css?raw";
import { columnsOf, isCut, isWide, plainText, MAX_SHOWN, shownText } from "./plain-text";

const ESC = "\u001b";

/** The runs of a line, in short. */
function looks(line: string): [string, ...unknown[]][] {
  return runs(line).map(({ text, classes, style: more }) => [text, ...classes, ...more.map(([, value]) => value)]);
}

test.each([
  ["nothing", "", []],
  ["no colours", "plain", [["plain"]]],
  ["one of eight", `a${ESC}[31mb${ESC}[0mc`, [["a"], ["b", "ink-red"], ["c"]]],
  ["one of the bright", `${ESC}[95mb`, [["b", "ink-bright-magenta"]]],
  ["of 256, the first sixteen", `${ESC}[38;5;9mb`, [["b", "ink-bright-red"]]],
  ["a ground", `${ESC}[44mb`, [["b", "ground-blue"]]],
  ["a ground decides the ink: both can be read", `${ESC}[34;44mb`, [["b", "ground-blue"]]],
  ["bold, dim, italic", `${ESC}[1;2;3mb`, [["b", "bold", "dim", "italic"]]],
  ["lines", `${ESC}[4;9;53mb`, [["b", "underline line-through overline"]]],
  ["no lines any more", `${ESC}[4ma${ESC}[24mb`, [["a", "underline"], ["b"]]],
  ["reverse", `${ESC}[7mb`, [["b", "reverse"]]],
  ["reverse, in a colour", `${ESC}[31;7mb`, [["b", "ground-red"]]],
  ["what is hidden is shown", `${ESC}[8mb${ESC}[28mc`, [["b"], ["c"]]],
  ["colons between", `${ESC}[38:5:1ma${ESC}[4:3mb${ESC}[4:0mc`, [["a", "ink-red"], ["b", "ink-red", "underline"], ["c", "ink-red"]]],
  ["the colour of an underline is none of the text", `${ESC}[58;5;2ma${ESC}[58:2::1:2:3mb${ESC}[59mc`, [["ab"], ["c"]]],
  ["a colour that is none", `${ESC}[38;5;999ma`, [["a"]]],
  ["a sequence of one byte", "\u009b32ma", [["a", "ink-green"]]],
  ["an end without a number", `${ESC}[31ma${ESC}[mb${ESC}[;32mc`, [["a", "ink-red"], ["b"], ["c", "ink-green"]]],
])("%s", (_, line, expected) => {
  expect(looks(line)).toEqual(expected);
});

test.each(["#ffffff", "#f0f2ee", "#000000", "#111817", "#0000ff", "#ffff00", "#808080", "#ff0000"])(
  "%s can be read in light and in dark, and as a ground",
  (color) => {
    const rgb = [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16)).join(";");
    const [[, ink]] = looks(`${ESC}[38;2;${rgb}ma`) as [[string, string]];
    const [, light, dark] = /^light-dark\((#\w{6}), (#\w{6})\)$/.exec(ink)!;
    expect(contrast(light!, "#f0f2ee")).toBeGreaterThanOrEqual(4.5);
    expect(contrast(dark!, "#111817")).toBeGreaterThanOrEqual(4.5);
    for (const inked of ["", `38;2;${rgb};`, "31;", "38;2;255;255;255;"]) {
      const [[, ground, text]] = looks(`${ESC}[${inked}48;2;${rgb}ma`) as [[string, string, string]];
      expect(ground).toBe(color);
      expect(contrast(text, ground)).toBeGreaterThanOrEqual(4.5);
    }
  },
);

test("a readable colour is not changed", () => {
  expect(looks(`${ESC}[38;2;20;30;200ma`)[0]![1]).toMatch(/^light-dark\(#141ec8, /);
  expect(looks(`${ESC}[38;2;255;255;0;48;2;0;0;90ma`)).toEqual([["a", "#00005a", "#ffff00"]]);
});

test("named colours are readable on the log's background, in light and dark mode", () => {
  const named = [...style.matchAll(/--ansi-([\w-]+): var\(--binder-progress-ansi-\1, light-dark\((#\w{6}), (#\w{6})\)\)/g)];
  expect(named).toHaveLength(16);
  for (const [, , light, dark] of named) {
    expect(contrast(light!, "#f0f2ee")).toBeGreaterThanOrEqual(4.5);
    expect(contrast(dark!, "#111817")).toBeGreaterThanOrEqual(4.5);
  }
  expect(contrast("#000000", "#ffffff")).toBe(21);
});

test.each([
  ["cursor movement and erasing", `${ESC}[2K${ESC}[1A${ESC}[10;5Htext more`, "text more"],
  ["a title", `${ESC}]0;title\u0007text`, "text"],
  ["a link", `${ESC}]8;;https://x.example${ESC}\\text${ESC}]8;;${ESC}\\`, "text"],
  ["half a sequence at the end", `text${ESC}[31`, "text"],
  ["half an escape at the end", `text${ESC}`, "text"],
  ["a private mode that ends in m", `${ESC}[>4;2mtext`, "text"],
  ["controls", "a\u0000b\u0008c\u007fd\u0085e", "abcde"],
  ["tabs stay", "a\tb", "a\tb"],
  ["what turns a line around is named", "\u202egnp\u202c.exe\u2067x\u2069", "<U+202E>gnp<U+202C>.exe<U+2067>x<U+2069>"],
  ["what breaks a line is named", "a\u2028b", "a<U+2028>b"],
  ["words that are written from the right stay", "مرحبا", "مرحبا"],
])("%s: is removed", (_, line, expected) => {
  expect(plainText(line)).toBe(expected);
  expect(shownText(line)).toBe(expected);
  expect(runs(line).map(({ text }) => text).join("")).toBe(expected);
});

test("a long line is truncated, for display and search", () => {
  for (const line of [`${ESC}[31mx`.repeat(9_000), "y".repeat(1_000_000), `${"z".repeat(MAX_SHOWN)}${ESC}[0m`]) {
    const text = runs(line).map((run) => run.text).join("");
    expect(text).toBe(shownText(line));
    expect(text.length).toBeLessThanOrEqual(MAX_SHOWN);
    expect(runs(line).length).toBeLessThanOrEqual(400);
    expect(isCut(line)).toBe(text !== plainText(line));
  }
});

test.each([
  ["plain", 5],
  ["a\tb", 9],
  ["12345678\tb", 17],
  ["漢字é🎈", 7],
])("%j takes %i columns", (text, columns) => {
  expect(columnsOf(text)).toBe(columns);
});

test.each(["plain", "\u001b[31mr\u00e9d\u001b[0m", "\u001b]8;;https://a.b\u0007link", "a\tb", "한", "漢字", "🎉", "a\u2028b", "\u202e"])(
  "a line that is not wide takes no more columns than it has characters: %j",
  (line) => {
    const takesMore = columnsOf(shownText(line)) > line.length;
    expect(isWide(line) || !takesMore).toBe(true);
    expect(isWide(line)).toBe(/[^\u0000-\u0008\u000a-\u0fff]/.test(line));
  },
);

test("a sequence that others interrupt is none", () => {
  expect(plainText("\u001b[3\u001b[0m2mtext\u001b[m")).toBe("2mtext");
});
