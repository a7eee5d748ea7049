import { expect, test } from "vitest";
import cases from "../../tests/data/steps.json";
import { type BuildStep, launchStep, StepReader } from "./steps";

/** A step as the shared cases write it. */
function written(step: BuildStep | undefined): object | null {
  if (!step) return null;
  const { key, label, index, total, cached, phase } = step;
  if (total) expect(label).toBe(`Step ${index} of ${total}`);
  const text = total ? { index, total } : { label };
  return { key, ...text, ...(cached && { cached }), ...(phase && { phase }) };
}

test.each(cases.builds)("as in Python: $name: $lines", ({ lines, steps }) => {
  const reader = new StepReader();
  expect(lines.map((line) => written(reader.read(line)))).toEqual(steps);
});

test.each(cases.launches)("as in Python: $message begins $key", ({ message, key }) => {
  expect(launchStep(message)?.key ?? "").toBe(key);
});

test("a log does not write the label of a step", () => {
  const line = `Using ${"A".repeat(4000)} builder\n`;
  expect(new StepReader().read(line)).toBeUndefined();
  expect(new StepReader().read("Using constructor builder\n")?.label).toBe(
    "Building with constructor",
  );
  expect(launchStep("constructor")).toBeUndefined();
});
