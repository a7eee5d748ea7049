import { expect, test } from "vitest";
import { LineTimes } from "./line-times";

test("lines in between were written in between", () => {
  const times = new LineTimes();
  expect([times.some, times.at(5), times.since(0)]).toEqual([false, 0, undefined]);
  times.set({ lines: [3, 10, 20], times: [100, 101.5, 103] });
  expect([0, 1, 2, 8, 9, 18, 19, 1e6].map((line) => times.at(line))).toEqual([0, 0, 100, 100, 101.5, 101.5, 103, 103]);
  expect([0, 100, 100.001, 100.5, 101.5, 103, 104].map((time) => times.since(time))).toEqual([2, 2, 2, 9, 9, 19, undefined]);
});
