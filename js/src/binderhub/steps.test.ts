import { expect, test } from "vitest";
import cases from "../../../tests/data/steps.json";
import { type BuildStep, launchStep, StepReader } from "./steps";

const LABELS: Record<string, string> = {
  step: "Step",
  pushing: "Layer",
  "pulling-base": "Base image: layer",
};

/** A step in the form of the shared test cases. */
function written(step: BuildStep | undefined): object | null {
  if (!step) return null;
  const { key, label, index, total, cached, phase, there } = step;
  if (total) expect(label).toBe(`${LABELS[key]} ${index} of ${total}`);
  const text = total ? { index, total } : { label };
  return { key, ...text, ...(there && { there }), ...(cached && { cached }), ...(phase && { phase }) };
}

test.each(cases.builds)("as in Python: $name: $lines", ({ lines, steps }) => {
  const reader = new StepReader();
  expect(lines.map((line) => written(reader.read(line)))).toEqual(steps);
});

test.each(cases.records)("as in Python: $name", ({ layers, step }) => {
  const reader = new StepReader();
  expect(written(reader.read("Pushing image\n", layers))).toEqual(step);
  expect(reader.read("Collecting six\n", layers)).toBeUndefined();
});

test("the number of counted layers is limited", () => {
  const reader = new StepReader();
  const names = Array.from({ length: 2000 }, (_, index) => index.toString(16).padStart(12, "0"));
  const read = names.map((name) => reader.read(`${name}: Preparing\n`)?.total);
  expect(read.slice(498, 502)).toEqual([499, 500, undefined, undefined]);
  expect(reader.read(`${names[0]}: Pushed\n`)).toMatchObject({ index: 2, total: 500 });
});

test.each(cases.launches)("as in Python: $message begins $key", ({ message, key }) => {
  expect(launchStep(message)?.key ?? "").toBe(key);
});

test("a log cannot choose the label of a step", () => {
  const line = `Using ${"A".repeat(4000)} builder\n`;
  expect(new StepReader().read(line)).toBeUndefined();
  expect(new StepReader().read("Using constructor builder\n")?.label).toBe(
    "Building with constructor",
  );
  expect(launchStep("constructor")).toBeUndefined();
});
