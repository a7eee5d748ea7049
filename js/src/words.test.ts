import { expect, test } from "vitest";
import { duration, timeLeft } from "./words";

test.each([
  [0, "0 s"],
  [8.9, "8 s"],
  [65, "1 min 05 s"],
  [7384, "2 h 03 min"],
])("%d s have passed: %s", (seconds, text) => {
  expect(duration(seconds)).toBe(text);
});

test.each([
  [undefined, ""],
  [{ median: 21 }, "about 20 s left"],
  [{ median: 3 }, "a few seconds left"],
  [{ median: 58 }, "about 1 min left"],
  [{ median: 200 }, "about 3 min left"],
  [{ median: 6000 }, "about 1.5 h left"],
  [{ median: -1 }, "longer than expected"],
  [{ median: 20, low: 14, high: 41 }, "15–40 s left"],
  [{ median: 60, low: 40, high: 130 }, "40 s – 2 min left"],
  [{ median: 20, low: 19, high: 21 }, "about 20 s left"],
  [{ median: -5, low: -10, high: 12 }, "up to 10 s left"],
  [{ median: -5, low: -10, high: 3 }, "a few seconds left"],
  [{ median: -20, low: -30, high: -1 }, "longer than usual"],
])("%j is left: %s", (left, text) => {
  expect(timeLeft(left)).toBe(text);
});
