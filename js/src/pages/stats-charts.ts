/**
 * The charts of the page with the numbers, drawn by uPlot. Colours are the page's custom
 * properties, so that they follow its colour scheme.
 */
import uPlot from "uplot";
import * as series from "./stats-series";
import type { Stats } from "./stats-series";

/** As in stats.css, in pixels. */
const HEIGHT = 260;

/** How wide the numbers beside a chart are, and what is free on its other side, in pixels. */
const AXIS = 64;
const MARGIN = 20;

/** Between two names of days, in pixels. */
const APART = 60;

/** What lines of a scale of launches may be apart. */
const WHOLE = [1, 10, 100, 1000, 10_000, 100_000].flatMap((ten) => [ten, 2 * ten, 5 * ten]);

/** What a chart shows, and what it says of the place that somebody points at. */
export interface Content {
  data: uPlot.AlignedData;
  /** @param index - of the place along the horizontal axis */
  read(index: number): string;
  options: Pick<uPlot.Options, "axes" | "bands" | "scales" | "series">;
}

/** One chart, which is as wide as its place. */
export class Chart {
  readonly #place: HTMLElement;
  readonly #reading: HTMLElement;
  readonly #hint: string;
  #plot: uPlot | undefined;
  #content: Content | undefined;

  /**
   * @param place - what it is drawn in
   * @param reading - where it says what somebody points at; its text until then is the hint
   */
  constructor(place: HTMLElement, reading: HTMLElement) {
    this.#place = place;
    this.#reading = reading;
    this.#hint = reading.textContent ?? "";
    new ResizeObserver(() => {
      this.#plot?.setSize({ width: place.clientWidth, height: HEIGHT });
    }).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.#plot?.redraw();
    });
  }

  /** Draw it anew: days come and go, and with them the scales. */
  show(content: Content): void {
    this.#plot?.destroy();
    this.#content = content;
    this.#plot = new uPlot(
      {
        width: this.#place.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false, drag: { setScale: false, x: false, y: false } },
        padding: [12, MARGIN, 0, 0],
        hooks: { setCursor: [(plot) => this.#read(plot.cursor.idx)] },
        ...content.options,
      },
      content.data,
      this.#place,
    );
  }

  #read(index: number | null | undefined): void {
    const text = index == null ? this.#hint : this.#content!.read(index);
    if (this.#reading.textContent !== text) this.#reading.textContent = text;
  }
}

/**
 * How long a phase took, or `total`, the whole launch, day by day, cold and warm: medians, and the
 * middle half.
 */
export function durations(stats: Stats, days: string[], phase: string): Content {
  const kinds = [true, false].map((cold) => series.band(stats, days, phase, cold));
  const numbers = kinds.flatMap(({ low, median, high }) => [high, median, low]);
  const known = numbers.flat().filter((value) => value !== null);
  const [low, high] = known.length
    ? series.scaleEnds(Math.min(...known), Math.max(...known))
    : [1, 60];
  // What takes no time has no place on a logarithmic scale.
  const placed = (value: number | null) => (value === null ? null : Math.max(value, low));
  return {
    data: [days.map(series.dayTime), ...numbers.map((of) => of.map(placed))],
    read: (index) =>
      [days[index], told("cold", kinds[0]!, index), told("warm", kinds[1]!, index)].join(" · "),
    options: {
      axes: [
        dayAxis(days),
        {
          ...valueAxis(series.seconds),
          splits: () => series.stops(low, high),
          // uPlot's own would leave only powers of ten.
          filter: (_, splits) => splits,
        },
      ],
      bands: [
        { series: [1, 3], fill: () => color("--cold-band") },
        { series: [4, 6], fill: () => color("--warm-band") },
      ],
      scales: { x: dayScale(days), y: { distr: 3, range: [low, high] } },
      series: [{}, ...bandSeries("--cold"), ...bandSeries("--warm")],
    },
  };
}

/** The median of each phase, cold beside warm. */
export function phases(stats: Stats): Content {
  const names = series.phasesIn(stats);
  const of = (cold: boolean) => names.map((name) => series.whole(stats, name, cold)?.p50 ?? null);
  const [cold, warm] = [of(true), of(false)];
  const lines = series.evenStops(Math.max(0, ...cold.map(Number), ...warm.map(Number)));
  const at = names.map((_, index) => index);
  const say = (value: number | null | undefined) => (value == null ? "none" : series.seconds(value));
  return {
    data: [at, cold, warm],
    read: (index) => `${names[index]} · cold: ${say(cold[index])} · warm: ${say(warm[index])}`,
    options: {
      axes: [
        {
          ...axis(),
          grid: { show: false },
          splits: () => at,
          // In two rows where they would run into each other.
          values: ({ width }) =>
            width < names.length * 100 ? names.map((name, row) => "\n".repeat(row % 2) + name) : names,
          size: 48,
        },
        { ...valueAxis(series.seconds), splits: () => lines },
      ],
      scales: {
        x: { time: false, range: [-0.5, Math.max(names.length, 1) - 0.5] },
        y: { range: [0, lines.at(-1)!] },
      },
      series: [{}, bars("--cold", -1), bars("--warm", 1)],
    },
  };
}

/** How many launches ended how, day by day: from below the ready, the failed, the cancelled. */
export function outcomes(stats: Stats, days: string[]): Content {
  const ended = series.outcomes(stats, days);
  const highest = Math.max(1, ...ended.map(series.count));
  return {
    // One in front of the other: the highest is drawn first.
    data: [
      days.map(series.dayTime),
      ended.map(series.count),
      ended.map(({ ready, failed }) => ready + failed),
      ended.map(({ ready }) => ready),
    ],
    read: (index) => {
      const { ready, failed, cancelled } = ended[index]!;
      return `${days[index]} · ready: ${ready} · failed: ${failed} · cancelled: ${cancelled}`;
    },
    options: {
      axes: [dayAxis(days), { ...valueAxis(String), incrs: WHOLE, space: 30 }],
      scales: { x: dayScale(days), y: { range: [0, highest * 1.05] } },
      series: [{}, bars("--cancelled"), bars("--failed"), bars("--ready")],
    },
  };
}

function told(name: string, { low, median, high }: series.Band, index: number): string {
  const [from, middle, to] = [low[index], median[index], high[index]];
  if (from == null || middle == null || to == null) return `${name}: none`;
  return `${name}: ${series.seconds(middle)} (${series.seconds(from)} to ${series.seconds(to)})`;
}

/** The value of a custom property of the page, as it is now. */
function color(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function bandSeries(name: string): uPlot.Series[] {
  const edge: uPlot.Series = { points: { show: false }, stroke: "transparent", width: 0 };
  const median: uPlot.Series = {
    stroke: () => color(name),
    width: 2,
    points: { size: 6, fill: () => color(name) },
  };
  return [edge, median, { ...edge }];
}

/** @param side - of the place along the axis: before it, after it, or on it */
function bars(name: string, side: -1 | 0 | 1 = 0): uPlot.Series {
  return {
    fill: () => color(name),
    stroke: () => color(name),
    width: 0,
    points: { show: false },
    paths: uPlot.paths.bars!({ align: side, size: side ? [0.36, 48] : [0.8, 48] }),
  };
}

function axis(): uPlot.Axis {
  return {
    stroke: () => color("--soft"),
    font: "12px system-ui, sans-serif",
    grid: { stroke: () => color("--line"), width: 1 },
    ticks: { show: false },
    gap: 8,
    size: 32,
  };
}

function valueAxis(say: (value: number) => string): uPlot.Axis {
  return { ...axis(), size: AXIS, values: (_, splits) => splits.map(say) };
}

const NAMED = new Intl.DateTimeFormat("en", { month: "short", day: "numeric", timeZone: "UTC" });

function dayAxis(days: string[]): uPlot.Axis {
  return {
    ...axis(),
    grid: { show: false },
    splits: ({ width }) => series.dayTicks(days, Math.floor((width - AXIS - MARGIN) / APART)).map(series.dayTime),
    values: (_, splits) => splits.map((time) => NAMED.format(time * 1000)),
  };
}

function dayScale(days: string[]): uPlot.Scale {
  const [first, last] = [days[0]!, days.at(-1)!].map(series.dayTime) as [number, number];
  return { time: true, range: [first - series.DAY / 2, last + series.DAY / 2] };
}
