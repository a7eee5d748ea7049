import { expect, test } from "vitest";
import type { LaunchEvent } from "../wire/event";
import { sectionsOf } from "./sections";
import { LaunchTranscript } from "./transcript";

const event = (phase: LaunchEvent["phase"], time: number, more: Partial<LaunchEvent> = {}): LaunchEvent => ({
  id: 1, phase, time, elapsed: 0, progress: 0, ...more,
});
const step = (index: number): Partial<LaunchEvent> => ({ step: `Step ${index} of 3`, step_key: "step", step_index: index, step_total: 3 });

function shown(transcript: LaunchTranscript, mode: "running" | "failed" | "ready"): unknown[][] {
  return sectionsOf(({ line }) => line, transcript.timeline, transcript.log.end, mode)
    .map(({ entry, start, end, duration, state }) => [entry.step || entry.phase, start, end, duration, state]);
}

test("sections are the lines of each step, with its duration and its end", () => {
  const transcript = new LaunchTranscript();
  const events: LaunchEvent[] = [
    event("waiting", 10),
    event("fetching", 11, { message: "Cloning\n" }),
    event("building", 13, { message: "HEAD is now at 0123abc a commit\n" }),
    event("building", 14, { ...step(1), message: "Step 1/3 : FROM x\n" }),
    event("building", 14.5, { ...step(1), message: "pulled\n" }),
    event("building", 17, { ...step(2), message: "Step 2/3 : COPY x\n" }),
    event("building", 17.5, { ...step(2), step_cached: true, message: " ---> Using cache\n" }),
    event("building", 18, { ...step(3), message: "Step 3/3 : RUN x\n" }),
  ];
  events.forEach((each) => transcript.accept(each));
  expect(transcript.commit).toBe("0123abc");
  const before = [
    ["fetching", 0, 1, 2, "done"],
    ["building", 1, 2, 1, "done"],
    ["Step 1 of 3", 2, 4, 3, "done"],
    ["Step 2 of 3", 4, 6, 1, "cached"],
  ];
  expect(shown(transcript, "running")).toEqual([...before, ["Step 3 of 3", 6, 7, undefined, "current"]]);
  transcript.accept(event("failed", 20, { message: "It failed.\n" }));
  // The last words belong to the step that failed.
  expect(shown(transcript, "failed")).toEqual([...before, ["Step 3 of 3", 6, 8, 2, "failed"]]);
});

test("steps whose first lines are not known, or not in order, have no section of their own", () => {
  const transcript = new LaunchTranscript();
  for (const index of [1, 2, 3]) transcript.accept(event("building", index, { ...step(index), message: "a\nb\n" }));
  const starts = (lines: (number | undefined)[]) =>
    sectionsOf(({ step_index }) => lines[step_index - 1], transcript.timeline, 6, "ready").map(({ start, end }) => [start, end]);
  expect(starts([0, 3, 5])).toEqual([[0, 3], [3, 5], [5, 6]]);
  expect(starts([0, 3, undefined])).toEqual([[0, 3], [3, 6]]);
  expect(starts([0, 5, 2])).toEqual([[0, 5], [5, 6]]);
});
