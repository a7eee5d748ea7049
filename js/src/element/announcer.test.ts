import { beforeAll, expect, test } from "vitest";
import more from "../i18n/catalogs/more/en.json";
import { addEnglish, Words } from "../i18n/words";
import { ProgressModel } from "../session/progress";
import type { LaunchSession } from "../session/session";
import type { LaunchEvent } from "../wire/event";
import { Announcer } from "./announcer";
import { viewState } from "./view-state";

beforeAll(() => addEnglish(more));

/** A launch of which an announcer is asked each second. */
class Launch {
  readonly session = { mode: "running", model: new ProgressModel(), lost: false } as LaunchSession;
  readonly said: [number, string][] = [];
  readonly #announcer = new Announcer();
  #time = 0;

  event(fields: Partial<LaunchEvent>): void {
    const id = (this.session.model.event?.id ?? 0) + 1;
    this.session.model.accept({
      id,
      phase: "building",
      time: this.#time,
      elapsed: this.#time,
      progress: 40,
      ...fields,
    } as LaunchEvent);
  }

  until(time: number): void {
    for (; this.#time <= time; this.#time += 1) {
      const words = new Words();
      const text = this.#announcer.text(this.session, viewState(this.session, this.#time, words), words, this.#time);
      if (text !== (this.said.at(-1)?.[1] ?? "")) this.said.push([this.#time, text]);
    }
  }
}

test("phases at once, and a word a minute while one lasts", () => {
  const launch = new Launch();
  launch.event({ phase: "waiting", step: "Looking up HEAD", step_key: "resolving" });
  launch.until(1);
  launch.event({ step: "Step 8 of 52", step_key: "step", step_index: 8, step_total: 52, step_command: "pip install six" });
  launch.until(20);
  launch.event({ step: "Step 9 of 52", step_key: "step", step_index: 9, step_total: 52, eta: 300, eta_low: 240, eta_high: 400, eta_late: 900 });
  launch.until(130);
  expect(launch.said).toEqual([
    [0, "Checking"],
    [2, "Building"],
    [62, "40%, Building: Step 9 of 52, 3.5–6 min left"],
    [122, "40%, Building: Step 9 of 52, 2.5–5 min left"],
  ]);
});

test("once that it takes longer than usual", () => {
  const launch = new Launch();
  launch.event({ phase: "waiting" });
  launch.until(0);
  launch.event({ phase: "launching", eta: 10, eta_low: 8, eta_high: 12, eta_late: 20 });
  launch.until(75);
  expect(launch.said).toEqual([
    [0, "Checking"],
    [1, "Launching"],
    [21, "Launching: longer than usual (usually 10 sec)"],
  ]);
  launch.event({ phase: "launching", step: "Starting the server", eta: 1, eta_low: 1, eta_high: 1, eta_late: 1 });
  launch.until(85);
  expect(launch.said.slice(3)).toEqual([[81, expect.stringMatching(/^40%, Launching: Starting the server, longer/)]]);
});

test("nothing while the connection is lost, and anew for the next launch", () => {
  const launch = new Launch();
  launch.event({});
  launch.until(0);
  launch.session.lost = true;
  launch.until(200);
  expect(launch.said).toEqual([[0, "Building"]]);
  launch.session.model = new ProgressModel();
  launch.until(201);
  launch.session.lost = false;
  launch.event({});
  launch.until(202);
  expect(launch.said.slice(1)).toEqual([
    [201, ""],
    [202, "Building"],
  ]);
});
