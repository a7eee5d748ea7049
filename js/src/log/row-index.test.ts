import { expect, test } from "vitest";
import { RowIndex } from "./row-index";

/** What an index of lines from `start` to before `end` must say, counted one by one. */
function check(index: RowIndex, rows: Map<number, number>, start: number, end: number): void {
  let above = 0;
  const last = end - 1;
  for (let line = start; line < end; line += 1) {
    const own = rows.get(line)!;
    expect(index.above(line)).toBe(above);
    if (own) {
      expect(index.at(above)).toEqual({ line, offset: 0 });
      expect(index.at(above + own - 1)).toEqual({ line, offset: own - 1 });
    }
    above += own;
  }
  expect(index.total).toBe(above);
  expect(index.at(above + 5)).toEqual({ line: Math.max(last, start), offset: 0 });
}

test("has the rows of lines that come, change, and go at both ends", () => {
  const rows = new Map<number, number>();
  const index = new RowIndex((line) => rows.get(line)!);
  const have = (start: number, end: number, changed = Infinity) => {
    for (let line = start; line < end; line += 1) {
      if (!rows.has(line) || line >= changed) rows.set(line, (line * 7 + rows.size) % 4);
    }
    const removed = index.update(start, end, changed);
    check(index, rows, start, end);
    return removed;
  };
  expect(have(0, 3000)).toBe(0);
  index.set(1500, 300);
  rows.set(1500, 300);
  check(index, rows, 0, 3000);
  let gone = 0;
  for (let line = 0; line < 1100; line += 1) gone += rows.get(line)!;
  expect(have(1100, 3000)).toBe(gone);
  have(1100, 2048);
  have(1100, 2040);
  have(1100, 5000, 1600);
  have(5000, 5000);
  have(5000, 5001);
  // Everything was dropped meanwhile.
  have(9000, 9500);
});

test("knows which lines a window shows", () => {
  const rows = [1, 0, 3, 1, 0, 0, 2, 1];
  const index = new RowIndex((line) => rows[line]!);
  index.update(0, rows.length, 0);
  expect(index.linesIn(0, 2, 0)).toEqual([0, 2]);
  expect(index.linesIn(0, 1, 1)).toEqual([0, 2, 3]);
  expect(index.linesIn(4.5, 1, 1)).toEqual([2, 3, 6, 7]);
  // Beyond the end, the last lines.
  expect(index.linesIn(100, 2, 1)).toEqual([3, 6, 7]);
});

test("has a million lines without a look at each", () => {
  let asked = 0;
  const one = () => {
    asked += 1;
    return 2;
  };
  const index = new RowIndex(one, (from) => (from < 4096 ? undefined : from < 10_000 ? 0 : 1));
  index.update(0, 1_000_000, Infinity);
  // The last block is not complete.
  expect(asked).toBe(4096 + (1_000_000 % 1024));
  const hidden = 10_240 - 4096;
  expect(index.total).toBe(2 * 4096 + (1_000_000 - 4096 - hidden - (1_000_000 % 1024)) + 2 * (1_000_000 % 1024));
  const { total } = index;
  index.update(0, 1_000_000, 0);
  expect(index.total).toBe(total);
  expect(index.at(8192)).toEqual({ line: 10_240, offset: 0 });
});
