import { describe, expect, test } from "vitest";
import * as series from "./stats-series";
import type { Distribution, Stats } from "./stats-series";

// 2026-11-25 at noon, in UTC.
const NOON = 1_795_608_000;
const DAYS = ["2026-11-23", "2026-11-24", "2026-11-25"];

function distribution(fields: Partial<Distribution>): Distribution {
  const quantiles = { p10: 5, p25: 10, p50: 20, p75: 40, p90: 80 };
  return { phase: "total", cold: true, day: "", launches: 4, ...quantiles, ...fields };
}

function stats(fields: Partial<Stats>): Stats {
  return {
    days: [],
    phases: [],
    reasons: [],
    repositories: [],
    now: NOON,
    last_days: 3,
    live: { running: 0, building: 0, capacity: 200, phases: {} },
    all_replicas: { running: 0, building: 0 },
    replica: "host/1",
    replicas: 1,
    lost: 0,
    ...fields,
  };
}

test("the last days end with today, in UTC", () => {
  expect(series.lastDays(NOON, 3)).toEqual(DAYS);
  expect(series.lastDays(NOON + 12 * 3600 - 1, 1)).toEqual(["2026-11-25"]);
  expect(series.lastDays(NOON + 12 * 3600, 1)).toEqual(["2026-11-26"]);
  expect(series.dayTime("2026-11-25")).toBe(NOON - 12 * 3600);
});

test("a band has a value for each day, or null without launches", () => {
  const phases = [
    distribution({}),
    distribution({ day: "2026-11-23" }),
    distribution({ day: "2026-11-25", p25: 1, p50: 2, p75: 3 }),
    distribution({ day: "2026-11-24", cold: false, p50: 7 }),
    distribution({ day: "2026-11-24", phase: "building" }),
  ];
  expect(series.band(stats({ phases }), DAYS, "total", true)).toEqual({
    low: [10, null, 1],
    median: [20, null, 2],
    high: [40, null, 3],
  });
  expect(series.band(stats({ phases }), DAYS, "total", false).median).toEqual([null, 7, null]);
  expect(series.band(stats({ phases }), DAYS, "building", true).median).toEqual([null, 20, null]);
});

test("days without launches have zero outcomes", () => {
  const days = [{ day: "2026-11-24", ready: 5, failed: 2, cancelled: 1, cold: 3 }];
  const ended = series.outcomes(stats({ days }), DAYS);
  const none = { ready: 0, failed: 0, cancelled: 0 };
  expect(ended).toEqual([none, { ready: 5, failed: 2, cancelled: 1 }, none]);
  expect(series.count(series.sum(ended))).toBe(8);
});

test("a cancelled launch is neither a success nor a failure", () => {
  expect(series.successRate({ ready: 3, failed: 1, cancelled: 100 })).toBe(0.75);
  expect(series.successRate({ ready: 0, failed: 2, cancelled: 0 })).toBe(0);
  expect(series.successRate({ ready: 0, failed: 0, cancelled: 2 })).toBeUndefined();
});

test("phases are in order, without the total", () => {
  const phases = ["launching", "total", "building", "waiting", "building"].map((phase) =>
    distribution({ phase }),
  );
  expect(series.phasesIn(stats({ phases }))).toEqual(["waiting", "building", "launching"]);
});

test("the entire period is not a day", () => {
  const day = distribution({ phase: "building", day: "2026-11-25" });
  const all = distribution({ phase: "building", p50: 7 });
  expect(series.overall(stats({ phases: [day, all] }), "building", true)).toBe(all);
  expect(series.overall(stats({ phases: [day, all] }), "building", false)).toBeUndefined();
});

describe("scales", () => {
  test("label today and as many earlier days as fit", () => {
    const days = series.lastDays(NOON, 30);
    for (const most of [1, 4, 7, 30, 100]) {
      const named = series.dayTicks(days, most);
      expect(named.length).toBeLessThanOrEqual(most);
      expect(named.at(-1)).toBe("2026-11-25");
    }
    expect(series.dayTicks(days, 100)).toEqual(days);
    expect(series.dayTicks(days, 0)).toEqual(["2026-11-25"]);
  });

  test("of durations end at grid lines around all values", () => {
    expect(series.scaleEnds(7, 400)).toEqual([5, 600]);
    expect(series.scaleEnds(0, 0)).toEqual([0.1, 0.3]);
    expect(series.scaleEnds(60, 60)).toEqual([30, 120]);
    expect(series.scaleEnds(100, 200_000)).toEqual([60, 200_000]);
  });

  test("of durations have a few grid lines", () => {
    expect(series.stops(5, 600)).toEqual([5, 10, 20, 30, 60, 120, 300, 600]);
    expect(series.stops(0.1, 86_400).length).toBeLessThanOrEqual(8);
  });

  test.each([
    [155, [0, 60, 120, 180]],
    [0.2, [0, 0.1, 0.2]],
    [0, [0, 0.1]],
    [100_000, [0, 20_000, 40_000, 60_000, 80_000, 100_000]],
  ])("from zero to %d are even", (highest, lines) => {
    expect(series.evenStops(highest)).toEqual(lines);
  });
});

test.each([
  [0, "0 sec"],
  [0.44, "0.4 sec"],
  [9.94, "9.9 sec"],
  [9.96, "10 sec"],
  [59.4, "59 sec"],
  [59.6, "1 min"],
  [65, "1 min 5 sec"],
  [3599.7, "1 hr"],
  [7380, "2 hr 3 min"],
])("%d seconds are %s", (value, text) => {
  expect(series.seconds("en", value)).toBe(text);
});

test("durations and shares are in the language of the page", () => {
  expect(series.seconds("de", 65).replace(/\s/g, " ")).toBe("1 Min. 5 Sek.");
  expect(series.seconds("fr", 0.44).replace(/\s/g, " ")).toBe("0,4 s");
  expect(series.percent("de", 0.9999).replace(/\s/g, " ")).toBe("99,9 %");
});

test("only a share of 1 is 100%", () => {
  expect(series.percent("en", 1)).toBe("100%");
  expect(series.percent("en", 0.9999)).toBe("99.9%");
  expect(series.percent("en", 0)).toBe("0%");
});
