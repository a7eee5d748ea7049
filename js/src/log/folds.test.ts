import { expect, test } from "vitest";
import { Folds, type LogSection } from "./folds";

const section = (start: number, end: number, result = ""): LogSection => ({ start, end, label: `from ${start}`, result, took: result, state: "done" });

test("hides the lines of folded sections, but their first", () => {
  const folds = new Folds();
  expect(folds.update([section(2, 5), section(5, 6), section(6, 9)])).toBe(2);
  const hidden = () => Array.from({ length: 10 }, (_, line) => line).filter((line) => folds.hides(line));
  expect([hidden(), folds.some]).toEqual([[], false]);
  folds.toggle(folds.startingAt(2)!);
  expect([hidden(), folds.some]).toEqual([[3, 4], true]);
  folds.all(true);
  expect(hidden()).toEqual([3, 4, 7, 8]);
  // A section of one line has nothing to hide.
  expect(folds.isFolded(folds.startingAt(5)!)).toBe(false);
  expect([folds.hidesAll(3, 5), folds.hidesAll(2, 5), folds.hidesAll(3, 6), folds.hidesAll(9, 99)]).toEqual([true, undefined, undefined, false]);
  folds.reveal(7);
  expect(hidden()).toEqual([3, 4]);
  expect(folds.hidesAll(7, 9)).toBe(false);
  folds.all(false);
  expect(hidden()).toEqual([]);
  expect([folds.startingAt(3), folds.startingAt(0), folds.startingAt(99)]).toEqual([undefined, undefined, undefined]);
});

test("tells from where sections have changed, and keeps what was folded", () => {
  const folds = new Folds();
  folds.update([section(0, 3), section(3, 4)]);
  folds.all(true);
  expect(folds.update([section(0, 3), section(3, 4)])).toBe(Infinity);
  expect(folds.update([section(0, 3), section(3, 8)])).toBe(3);
  expect(folds.update([section(0, 3, "1 sec"), section(3, 8)])).toBe(0);
  expect(folds.hides(1)).toBe(true);
  expect(folds.update([section(0, 3, "1 sec")])).toBe(3);
  folds.clear();
  expect(folds.some).toBe(false);
});
