import { beforeEach, expect, test } from "vitest";
import { LogBuffer } from "./lines";
import { LogSearch } from "./search";

let log: LogBuffer;
let search: LogSearch;

beforeEach(() => {
  log = new LogBuffer(100);
  search = new LogSearch();
});

/** Search the entire log. */
function find(text?: string): void {
  if (text !== undefined) search.begin(text);
  while (search.isBehind(log)) search.step(log, 1000);
}

/** The selected match: line, index in the line, position, number of matches. */
function at(): (number | undefined)[] {
  return [search.current?.line, search.current?.nth, search.position, search.count];
}

test("ignores case and colours, and wraps around", () => {
  log.write("One ONE\nnothing\n\u001b[31mo\u001b[0mne\n");
  find("one");
  expect(at()).toEqual([undefined, undefined, 0, 3]);
  expect(search.seek(1, log)).toBe(true);
  expect(at()).toEqual([2, 0, 3, 3]);
  search.move(1, 0);
  expect(at()).toEqual([0, 0, 1, 3]);
  search.move(1, 0);
  expect(at()).toEqual([0, 1, 2, 3]);
  search.move(-1, 0);
  search.move(-1, 0);
  expect(at()).toEqual([2, 0, 3, 3]);
  expect(search.ranges("one, None")).toEqual([[0, 3], [6, 9]]);
});

test("starts at the selected match, in both directions", () => {
  log.write("a\nx\na\nx\na\n");
  find("a");
  search.move(-1, 3);
  expect(at()).toEqual([2, 0, 2, 3]);
  find("a");
  search.move(1, 3);
  expect(at()).toEqual([4, 0, 3, 3]);
  // There is none after the last line, so the first of all is selected.
  find("a");
  expect(search.seek(5, log)).toBe(true);
  expect(at()).toEqual([0, 0, 1, 3]);
});

test("the search text is not a pattern", () => {
  log.write("a.c abc\n(x) [y] {z} $^|\\/*+?-\n");
  find("a.c");
  expect(search.count).toBe(1);
  find("(x) [y] {z} $^|\\/*+?-");
  expect(search.count).toBe(1);
  find("not there");
  expect([search.move(1, 0), search.seek(0, log), ...at()]).toEqual([false, false, undefined, undefined, 0, 0]);
});

test("an empty text ends the search", () => {
  log.write("a\n");
  find("a");
  search.begin("");
  expect([search.active, search.isBehind(log), search.count]).toEqual([false, false, 0]);
  expect(search.ranges("a")).toEqual([]);
});

test("letters that are longer in lower case do not shift matches", () => {
  expect((search.begin("b"), search.ranges("İİb"))).toEqual([[2, 3]]);
});

test("new lines are searched, and the newest again if it is overwritten", () => {
  log.write("a\n");
  find("a");
  log.write("aa\r");
  find();
  search.move(-1, 2);
  expect(at()).toEqual([1, 1, 3, 3]);
  log.write("b\r");
  expect(search.isBehind(log)).toBe(true);
  find();
  expect(at()).toEqual([undefined, undefined, 0, 1]);
  log.write("a\n");
  log.write("a\n");
  find();
  expect(search.count).toBe(3);
});

test("matches in dropped lines are dropped", () => {
  for (let number = 0; number < 150; number += 1) log.write(number % 10 ? "x\n" : "a a\n");
  find("a");
  expect([log.start, search.count]).toEqual([50, 20]);
  search.move(1, 0);
  expect(at()).toEqual([50, 0, 1, 20]);
  for (let number = 0; number < 35; number += 1) log.write("x\n");
  find();
  // Its line was dropped: the next match is the first one.
  expect([search.position, search.count]).toEqual([0, 12]);
  search.move(1, 0);
  expect(at()).toEqual([90, 0, 1, 12]);
});

test("stops when its time is up, and continues later", () => {
  log = new LogBuffer();
  for (let number = 0; number < 1000; number += 1) log.write("a\n");
  search.begin("a");
  search.step(log, -1);
  expect([search.count, search.isBehind(log)]).toEqual([64, true]);
  // Not known yet: there may be a match in between.
  expect(search.seek(500, log)).toBe(false);
  find();
  expect(search.count).toBe(1000);
});

test("the number of matches in a line is limited", () => {
  log.write(`${"a".repeat(20_000)}\n`);
  find("a");
  expect(search.count).toBe(500);
});

test("a line that changed above others is searched again", () => {
  log.write("a\nb\na\n");
  find("a");
  search.move(1, 1);
  expect(at()).toEqual([2, 0, 2, 2]);
  log.write("\u001b[2Aa a\n");
  expect(search.isBehind(log)).toBe(true);
  find();
  expect(search.count).toBe(4);
});
