import { expect, test } from "vitest";
import type { Phase } from "../wire/event";
import { phaseLabel, phaseName, PhaseTrack, SHOWN_PHASES } from "./phases";
import { addEnglish, Words } from "../i18n/words";
import more from "../i18n/catalogs/more/en.json";

function states(...phases: Phase[]): string {
  const track = new PhaseTrack();
  phases.forEach((phase) => track.accept({ phase }));
  const all = track.states();
  return SHOWN_PHASES.flatMap((phase) => all[phase] ?? []).join(" ");
}

test.each([
  [[], ""],
  [["waiting"], "current upcoming upcoming upcoming upcoming upcoming"],
  [["waiting", "building"], "done skipped current upcoming upcoming upcoming"],
  [["waiting", "built"], "done skipped skipped skipped current upcoming"],
  [["waiting", "fetching", "failed"], ""],
  [
    ["waiting", "fetching", "building", "pushing", "built", "launching", "ready"],
    "done done done done done done",
  ],
] as [Phase[], string][])("%j", (phases, expected) => {
  expect(states(...phases)).toBe(expected);
});

test("phases that the launch cannot have are not shown, unless it has them all the same", () => {
  const track = new PhaseTrack();
  track.accept({ phase: "waiting", phases: ["waiting", "fetching", "building", "built", "launching", "ready"] });
  expect(Object.keys(track.states())).toEqual(["waiting", "fetching", "building", "launching", "ready"]);
  track.accept({ phase: "pushing" });
  expect(track.states()).toMatchObject({ building: "skipped", pushing: "current", launching: "upcoming" });
});

test.each([
  [["waiting", "looking"], "Checking"],
  [["waiting", "queued"], "Queued"],
  [["waiting", "binderhub-away"], "Waiting"],
  [["launching", "hub-away"], "Launching"],
] as [[Phase, string], string][])("%j is called %s", (step, label) => {
  addEnglish(more);
  expect(phaseLabel(phaseName(...step), new Words())).toBe(label);
});

test("an unknown phase is its own label", () => {
  expect(phaseLabel("thinking" as Phase, new Words())).toBe("thinking");
});
