import { expect, it, test } from "vitest";
import cases from "../../../tests/data/curves.json";
import type { LaunchEvent } from "../wire/event";
import { curveAt, ProgressModel } from "./progress";

function event(id: number, fields: Partial<LaunchEvent> = {}): LaunchEvent {
  return { id, phase: "building", time: 1000, elapsed: 10, progress: 20, ...fields };
}

test.each(cases)("a curve, as in Python: $curve after $seconds s", ({ curve, seconds, at }) => {
  expect(curveAt(curve, seconds)).toBeCloseTo(at, 8);
});

const curve = { from: 20, to: 80, tau: 10 };

it("is at 0 before the first event", () => {
  const model = new ProgressModel();
  expect(model.at(5)).toBe(0);
  expect(model.elapsed(5)).toBe(0);
  expect(model.left(5)).toBeUndefined();
});

it("moves along the curve by the server's clock", () => {
  const model = new ProgressModel(100);
  model.accept(event(1, { curve }));
  expect(model.at(900)).toBe(20);
  expect(model.at(910)).toBeCloseTo(curveAt(curve, 10));
});

it("stands still without a curve", () => {
  const model = new ProgressModel();
  model.accept(event(1));
  expect(model.at(2000)).toBe(20);
});

it("never goes back: not by a lower event, not by the clock", () => {
  const model = new ProgressModel();
  model.accept(event(1, { curve }));
  const before = model.at(1020);
  expect(model.at(1001)).toBe(before);
  model.accept(event(2, { time: 1020, progress: 30, curve: { from: 30, to: 40, tau: 10 } }));
  expect(model.at(1021)).toBe(before);
});

it("is not full before ready, whatever the curve says", () => {
  const model = new ProgressModel();
  model.accept(event(1, { curve: { from: 99, to: 100, tau: 0.001 } }));
  expect(model.at(9999)).toBeLessThan(100);
  model.accept(event(2, { phase: "ready", progress: 100 }));
  expect(model.at(9999)).toBe(100);
});

it.each(["failed", "cancelled"] as const)("stops when %s", (phase) => {
  const model = new ProgressModel();
  model.accept(event(1, { curve }));
  const before = model.at(1005);
  model.accept(event(2, { phase, time: 1006, elapsed: 16, progress: 21, curve }));
  expect(model.at(2000)).toBe(before);
  expect(model.elapsed(2000)).toBe(16);
  expect(model.left(2000)).toBeUndefined();
});

it("takes each event once, and none after the end", () => {
  const model = new ProgressModel();
  model.accept(event(2, { progress: 40 }));
  model.accept(event(1, { progress: 60 }));
  expect(model.at(1000)).toBe(40);
  model.accept(event(3, { phase: "failed", progress: 40 }));
  model.accept(event(4, { phase: "ready", progress: 100 }));
  expect(model.event?.id).toBe(3);
});

it("counts what is left down, below zero too", () => {
  const model = new ProgressModel();
  model.accept(event(1, { eta: 10, eta_low: 5, eta_high: 20 }));
  expect(model.left(1006)).toEqual({ median: 4, low: -1, high: 14, late: 14, usual: 20 });
  expect(model.left(1030)).toEqual({ median: -20, low: -25, high: -10, late: -10, usual: 20 });
  model.accept(event(2, { eta: 10, eta_low: 5, eta_high: 20, eta_late: 30 }));
  expect(model.left(1025)).toEqual({ median: -15, low: -20, high: -5, late: 5, usual: 20 });
  model.accept(event(3, { eta: 10 }));
  expect(model.left(1006)).toEqual({ median: 4, low: 4, high: 4, late: 4, usual: 20 });
});
