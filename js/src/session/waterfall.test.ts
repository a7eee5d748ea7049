import { expect, test } from "vitest";
import type { DoneAhead, LaunchEvent, Phase } from "../wire/event";
import { Timeline } from "./timeline";
import { aheadRows, waterfallRows } from "./waterfall";

function timeline(...events: [number, Phase, string?][]): Timeline {
  const made = new Timeline();
  events.forEach(([time, phase, step], index) => {
    const event: LaunchEvent = { id: index + 1, time, phase, elapsed: 0, progress: 0 };
    made.accept(step ? { ...event, step } : event);
  });
  return made;
}

/** The rows, in short. */
function shown(made: Timeline): [string, number, number][] {
  return waterfallRows(made).rows.map(({ phase, step, start, duration }) => [step?.step ?? phase, start, duration]);
}

test("waiting in a queue has a row of its own, without its places", () => {
  const made = new Timeline();
  const steps = ["resolving", "queued", "queued", "looking"];
  for (const [id, step_key] of steps.entries()) {
    const step = `${step_key} ${id}`;
    made.accept({ id: id + 1, phase: "waiting", time: 10 * id, elapsed: 0, progress: 0, step, step_key });
  }
  made.accept({ id: 9, phase: "building", time: 40, elapsed: 0, progress: 0 });
  expect(shown(made)).toEqual([
    ["waiting", 0, 10],
    ["resolving 0", 0, 10],
    ["waiting.queued", 10, 20],
    ["waiting", 30, 10],
    ["looking 3", 30, 10],
  ]);
});

test("a step whose total grows is one entry", () => {
  const made = new Timeline();
  const event = { phase: "pushing", elapsed: 0, progress: 0, step_key: "pushing" } as const;
  const layer = (id: number, time: number, index: number, total: number) => {
    const step = `Layer ${index} of ${total}`;
    made.accept({ ...event, id, time, step, step_index: index, step_total: total });
  };
  made.accept({ ...event, id: 1, time: 0, step: "Pushing the image" });
  for (const [id, [time, index, total]] of [[1, 1, 1], [1, 1, 2], [1, 1, 3], [5, 2, 3], [9, 3, 3]].entries()) {
    layer(id + 2, time!, index!, total!);
  }
  const named = made.entries.map(({ step, start, step_total }) => [step, start, step_total]);
  expect(named).toEqual([
    ["Pushing the image", 0, 0],
    ["Layer 1 of 3", 1, 3],
    ["Layer 2 of 3", 5, 3],
    ["Layer 3 of 3", 9, 3],
  ]);
});

test("phases, followed by their longest steps", () => {
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
  expect(waterfallRows(made).total).toBe(20);
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

test("the number of steps is limited to the longest", () => {
  const made = timeline(
    [0, "building"],
    ...Array.from({ length: 20 }, (_, i): [number, Phase, string] => [i * (i + 1), "building", `${i}`]),
    [500, "failed"],
  );
  expect(shown(made).slice(1).map(([name]) => name)).toEqual(
    ["12", "13", "14", "15", "16", "17", "18", "19"],
  );
});

test("no events, or a clock that went back: no time", () => {
  expect(waterfallRows(new Timeline())).toEqual({ rows: [], total: 0 });
  expect(waterfallRows(timeline([5, "waiting"], [3, "failed"])).total).toBe(0);
});

test("the number of entries is bounded", () => {
  const made = timeline([0, "building"]);
  for (let id = 2; id < 5000; id += 1) {
    made.accept({ id, time: id, phase: "building", step: `${id}`, elapsed: 0, progress: 0 });
  }
  made.accept({ id: 5000, time: 5000, phase: "built", elapsed: 0, progress: 0 });
  expect(made.entries).toHaveLength(1001);
  expect(made.entries.at(-1)!.phase).toBe("built");
});

test("what was done meanwhile, as far as it saved anything noticeable", () => {
  const made = new Timeline();
  const step = { step: "Looking up main", step_key: "resolving" };
  made.accept({ id: 1, phase: "waiting", time: 100, elapsed: 0, progress: 0, ...step });
  const done = (what: string, saved: number): DoneAhead => ({ what, label: `${what} done`, start: 2, end: 9, saved });
  const shownOf = (total: number, ...ahead: DoneAhead[]) =>
    aheadRows(made, ahead, total).map((row) => [row.step.step, row.step.step_key, row.start, row.duration, row.saved]);

  expect(shownOf(60, done("node", 7), done("jupyterhub-user", 0.9), done("new", 1))).toEqual([
    // Its key has the words for other languages; the server's are more precise.
    ["node done", "adding-node", 2, 7, 7],
    ["new done", "", 2, 7, 1],
  ]);
  // A twentieth is enough where everything is fast.
  expect(shownOf(0.9, done("look-up", 0.05), done("jupyterhub", 0.04))).toEqual([
    ["Looking up main", "resolving", 2, 7, 0.05],
  ]);
  expect(shownOf(0.2, done("look-up", 0.02))).toEqual([]);
});
