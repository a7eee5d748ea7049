// @vitest-environment happy-dom
import { beforeEach, expect, test, vi } from "vitest";
import { Bar } from "./bar";

const parts: Record<string, HTMLElement> = {};
const updatePlaybackRate = vi.fn();
let bar: Bar;

beforeEach(() => {
  for (const id of ["clip", "fill", "ribs"]) parts[id] = document.createElement("div");
  parts.ribs!.getAnimations = () => [{ updatePlaybackRate } as unknown as Animation];
  updatePlaybackRate.mockReset();
  bar = new Bar((id) => parts[id]);
});

test("what is filled is moved into the bar, and its content stays in place", () => {
  bar.set(42.5);
  expect(parts.clip!.style.transform).toBe("translateX(-57.500%)");
  expect(parts.fill!.style.transform).toBe("translateX(57.500%)");
  expect(parts.clip!.style.transition).toBe("");
});

test("a new launch starts at 0 at once", () => {
  bar.set(80);
  const transitions: string[] = [];
  parts.clip!.getBoundingClientRect = () => {
    transitions.push(parts.clip!.style.transition);
    return new DOMRect();
  };
  bar.set(0);
  expect(transitions).toEqual(["none"]);
  expect(parts.clip!.style.transition).toBe("");
  bar.set(10);
  expect(transitions).toHaveLength(1);
});

test("the ribs slow down", () => {
  for (const percent of [0, 50, 100]) bar.set(percent);
  const rates = updatePlaybackRate.mock.calls.map(([rate]) => rate as number);
  expect(rates[0]).toBe(1);
  expect(rates[1]).toBeLessThan(0.6);
  expect(rates[2]).toBe(1 / 8);
});

test("before there is a bar, nothing is drawn", () => {
  expect(() => new Bar(() => null).set(10)).not.toThrow();
});
