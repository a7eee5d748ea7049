import { expect, test } from "vitest";
import type { Phase } from "../wire/event";
import { phaseLabel, PhaseTrack, SHOWN_PHASES } from "./phases";
import { Words } from "../i18n/words";

function states(...phases: Phase[]): string {
  const track = new PhaseTrack();
  phases.forEach((phase) => track.accept(phase));
  const all = track.states();
  return SHOWN_PHASES.map((phase) => all[phase]).join(" ");
}

test.each([
  [[], "upcoming upcoming upcoming upcoming upcoming upcoming"],
  [["waiting"], "current upcoming upcoming upcoming upcoming upcoming"],
  [["waiting", "building"], "done skipped current upcoming upcoming upcoming"],
  [["waiting", "built"], "done skipped skipped skipped current upcoming"],
  [["waiting", "fetching", "failed"], "done failed upcoming upcoming upcoming upcoming"],
  [["waiting", "cancelled"], "cancelled upcoming upcoming upcoming upcoming upcoming"],
  [
    ["waiting", "fetching", "building", "pushing", "built", "launching", "ready"],
    "done done done done done done",
  ],
] as [Phase[], string][])("%j", (phases, expected) => {
  expect(states(...phases)).toBe(expected);
});

test("an unknown phase is its own label", () => {
  expect(phaseLabel("thinking" as Phase, new Words())).toBe("thinking");
});
