// @vitest-environment happy-dom
import { beforeEach, expect, test } from "vitest";
import { Bar } from "./bar";

let fill: HTMLElement;
let ribs: HTMLElement;
let bar: Bar;

beforeEach(() => {
  fill = document.createElement("div");
  ribs = document.createElement("div");
  bar = new Bar((id) => ({ fill, ribs })[id]);
});

function drawn(): number {
  return 100 - Number(/inset\(0 ([\d.]+)%/.exec(fill.style.clipPath)![1]);
}

/** The movement of the ribs in each frame, in pixels to the left. */
function ribbing(percent: number, frames = 3): number[] {
  bar.set(percent);
  const at: number[] = [];
  for (let frame = 0; frame <= frames; frame += 1) {
    bar.frame(frame * 16, percent, true);
    at.push(-Number(/translateX\((-?[\d.]+)px/.exec(ribs.style.transform)![1]));
  }
  return at.slice(1).map((x, index) => x - at[index]!);
}

test("follows a jump quickly, and arrives", () => {
  bar.frame(0, 0, false);
  let frames = 0;
  while (bar.frame((frames += 1) * 16, 50, false)) expect(drawn()).toBeLessThanOrEqual(50);
  expect(drawn()).toBe(50);
  expect(frames * 16).toBeLessThan(2000);
});

test("shows the current progress in a tab that was hidden for a long time", () => {
  bar.frame(0, 0, false);
  bar.frame(60_000, 80, false);
  expect(drawn()).toBeGreaterThan(79);
});

test("the ribs move backward and slow down", () => {
  const speeds = [0, 50, 99].map((percent) => ribbing(percent).at(-1)!);
  expect(speeds[2]).toBeGreaterThan(0);
  expect(speeds[1]).toBeGreaterThan(speeds[2]! * 2);
  expect(speeds[0]).toBeGreaterThan(speeds[1]!);
});

test("the ribs stand still if the connection is lost", () => {
  bar.frame(0, 10, false);
  bar.frame(16, 10, false);
  expect(ribs.style.transform).toBe("");
});
