import { expect, test } from "vitest";
import cases from "../../../tests/data/estimates.json";
import type { Phase } from "../wire/event";
import { timeLeft } from "./durations";
import { Estimator, type Typical } from "./estimator";

test.each(cases.left)("as in Python: $left s of $typical s are left after $spent s", (given) => {
  const left = timeLeft(given.typical, given.spent, given.quantile);
  expect(Math.abs(left - given.left)).toBeLessThan(0.005 * given.left + 1e-5);
});

test.each(cases.launches)("as in Python: $name", ({ events, ...launch }) => {
  const typical = "typical" in launch ? (launch.typical as Typical) : undefined;
  const estimator = new Estimator(1000, typical);
  for (const { at, phase, progress, curve, eta, low, high, latest, late, ...event } of events) {
    const step = "step" in event ? event.step : undefined;
    const told = estimator.update(phase as Phase, step, 1000 + at);
    expect(told.progress).toBeCloseTo(progress, 1);
    expect(told.curve === undefined).toBe(curve === null);
    if (told.curve && curve) {
      expect(told.curve.from).toBe(told.progress);
      // For very long durations, the approximation of the tail has an error of 1 %.
      expect(Math.abs(told.curve.to - curve.to)).toBeLessThan(0.01 * curve.to + 0.01);
      expect(Math.abs(told.curve.tau / curve.tau - 1)).toBeLessThan(0.05);
    }
    const seconds = [[told.eta, eta], [told.low, low], [told.high, high], [told.latest, latest], [told.late, late]] as const;
    for (const [mine, theirs] of seconds) {
      if (theirs === null) expect(mine).toBeUndefined();
      else expect(Math.abs(mine! - theirs)).toBeLessThan(0.11 + 0.005 * theirs);
    }
  }
});

test("the longer something takes beyond its typical duration, the longer the estimate", () => {
  // Also where the approximation of the tail takes over.
  const waits = Array.from({ length: 200 }, (_, power) => timeLeft(1, 3 * 1.1 ** power));
  for (const [index, wait] of waits.entries()) {
    if (index === 0) continue;
    const ratio = wait / waits[index - 1]!;
    expect(ratio).toBeGreaterThan(1);
    expect(ratio).toBeLessThan(1.15);
  }
});

test("progress does not go back if the clock is set back", () => {
  const estimator = new Estimator(1000);
  estimator.update("building", undefined, 1000);
  const before = estimator.update("building", undefined, 1060).progress;
  estimator.update("built", undefined, 1060);
  expect(estimator.update("launching", undefined, 900).progress).toBeGreaterThanOrEqual(before);
});
