import { expect, test } from "vitest";
import type { LaunchEvent, Phase } from "./event";
import { Timeline } from "./timeline";
import { rows } from "./waterfall";

function timeline(...events: [number, Phase, string?][]): Timeline {
  const made = new Timeline();
  events.forEach(([time, phase, step], index) => {
    const event: LaunchEvent = { id: index + 1, time, phase, elapsed: 0, progress: 0 };
    made.accept(step ? { ...event, step } : event);
  });
  return made;
}

/** What is shown, shortly. */
function shown(made: Timeline): [string, number, number][] {
  return rows(made).rows.map(({ phase, step, start, took }) => [step?.step ?? phase, start, took]);
}

test("phases, and below them the steps that took long", () => {
  const made = timeline(
    [100, "waiting"],
    [101, "fetching", "Cloning"],
    [103, "building"],
    [104, "building", "Step 1 of 2"],
    [104.05, "building", "Step 2 of 2"],
    [110, "built"],
    [110, "launching", "Starting the server"],
    [115, "launching"],
    [120, "ready"],
  );
  expect(rows(made).total).toBe(20);
  expect(shown(made)).toEqual([
    ["waiting", 0, 1],
    ["fetching", 1, 2],
    ["Cloning", 1, 2],
    ["building", 3, 7],
    ["Step 2 of 2", 4.049999999999997, 5.950000000000003],
    ["launching", 10, 10],
    ["Starting the server", 10, 10],
  ]);
});

test("no more steps than anybody reads: the longest", () => {
  const made = timeline(
    [0, "building"],
    ...Array.from({ length: 20 }, (_, i): [number, Phase, string] => [i * (i + 1), "building", `${i}`]),
    [500, "failed"],
  );
  expect(shown(made).slice(1).map(([name]) => name)).toEqual(
    ["12", "13", "14", "15", "16", "17", "18", "19"],
  );
});

test("nothing happened, or the clock went back: no time", () => {
  expect(rows(new Timeline())).toEqual({ rows: [], total: 0 });
  expect(rows(timeline([5, "waiting"], [3, "failed"])).total).toBe(0);
});

test("what is remembered is bounded", () => {
  const made = timeline([0, "building"]);
  for (let id = 2; id < 5000; id += 1) {
    made.accept({ id, time: id, phase: "building", step: `${id}`, elapsed: 0, progress: 0 });
  }
  made.accept({ id: 5000, time: 5000, phase: "built", elapsed: 0, progress: 0 });
  expect(made.stretches).toHaveLength(1001);
  expect(made.stretches.at(-1)!.phase).toBe("built");
});
