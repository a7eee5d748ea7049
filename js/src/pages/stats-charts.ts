/**
 * The charts of the statistics page, drawn by uPlot. Colours are the page's custom properties, which
 * depend on the colour scheme.
 */
import uPlot from "uplot";
import * as series from "./stats-series";
import type { Stats } from "./stats-series";
import type { StatsWords } from "./stats-words";

/** The height in pixels, as in stats.css. */
const HEIGHT = 260;

/** The width of the numbers beside a chart and of the margin on the other side, in pixels. */
const AXIS_WIDTH = 64;
const MARGIN = 20;

/** The minimum distance between two labels of days, in pixels. */
const LABEL_DISTANCE = 60;

/** The possible distances of grid lines for numbers of launches. */
const COUNT_STRIDES = [1, 10, 100, 1000, 10_000, 100_000].flatMap((power) => [power, 2 * power, 5 * power]);

/** The content of a chart. */
export interface Content {
  data: uPlot.AlignedData;
  /**
   * Describe the values that the user points at.
   *
   * @param index - the position on the horizontal axis
   */
  read(index: number): string;
  /** The position at which the keyboard begins; by default the last. */
  start?: "first";
  options: Pick<uPlot.Options, "axes" | "bands" | "scales" | "series">;
}

/** The font of the labels of axes, and their distance from the axis, in pixels. */
const [FONT, GAP] = ["12px system-ui, sans-serif", 8];

/** How far each key moves in a chart. */
const MOVES: Readonly<Record<string, number>> = {
  ArrowLeft: -1,
  ArrowDown: -1,
  ArrowRight: 1,
  ArrowUp: 1,
  PageDown: -7,
  PageUp: 7,
  Home: Number.NEGATIVE_INFINITY,
  End: Number.POSITIVE_INFINITY,
};

/** A chart, as wide as its container. Arrow keys read its values one after the other, as a slider. */
export class Chart {
  readonly #container: HTMLElement;
  readonly #reading: HTMLElement;
  readonly #hint: string;
  #plot: uPlot | undefined;
  #content: Content | undefined;
  /** The position that the keys have reached. */
  #index = 0;

  /**
   * @param container - the element to draw in, with the name of the chart
   * @param reading - the element for the values that the user points at. It contains a hint at first.
   */
  constructor(container: HTMLElement, reading: HTMLElement) {
    this.#container = container;
    container.setAttribute("role", "slider");
    container.tabIndex = 0;
    container.addEventListener("keydown", (event) => this.#move(event));
    container.addEventListener("focus", () => {
      if (container.matches(":focus-visible")) this.#point(this.#index);
    });
    container.addEventListener("blur", () => this.#plot?.setCursor({ left: -10, top: -10 }));
    this.#reading = reading;
    this.#hint = reading.textContent ?? "";
    new ResizeObserver(() => {
      this.#plot?.setSize({ width: container.clientWidth, height: HEIGHT });
    }).observe(container);
    for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
      matchMedia(query).addEventListener("change", () => this.#plot?.redraw());
    }
  }

  /** Draw the chart anew: days and scales may have changed. */
  show(content: Content): void {
    this.#plot?.destroy();
    this.#content = content;
    this.#plot = new uPlot(
      {
        width: this.#container.clientWidth,
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false, drag: { setScale: false, x: false, y: false } },
        padding: [12, MARGIN, 0, 0],
        hooks: { setCursor: [(plot) => this.#read(plot.cursor.idx)] },
        ...content.options,
      },
      content.data,
      this.#container,
    );
    const last = content.data[0].length - 1;
    this.#container.setAttribute("aria-valuemin", "1");
    this.#container.setAttribute("aria-valuemax", String(last + 1));
    this.#set(content.start === "first" ? 0 : last);
  }

  #move(event: KeyboardEvent): void {
    const move = MOVES[event.key];
    if (move === undefined || !this.#content || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const last = this.#content.data[0].length - 1;
    this.#point(Math.min(Math.max(this.#index + move, 0), last));
  }

  /** Show the values at a position, and say them. */
  #point(index: number): void {
    if (!this.#plot) return;
    this.#set(index);
    const left = this.#plot.valToPos(this.#plot.data[0][index]!, "x");
    this.#plot.setCursor({ left, top: 0 });
  }

  #set(index: number): void {
    this.#index = index;
    this.#container.setAttribute("aria-valuenow", String(index + 1));
    this.#container.setAttribute("aria-valuetext", this.#content!.read(index));
  }

  #read(index: number | null | undefined): void {
    const text = index == null ? this.#hint : this.#content!.read(index);
    if (this.#reading.textContent !== text) this.#reading.textContent = text;
  }
}

/**
 * The daily durations of a phase, or of the entire launch (`total`), cold and warm: medians and
 * quartiles.
 */
export function durations(words: StatsWords, stats: Stats, days: string[], phase: string): Content {
  const kinds = [true, false].map((cold) => series.band(stats, days, phase, cold));
  const numbers = kinds.flatMap(({ low, median, high }) => [high, median, low]);
  const values = numbers.flat().filter((value) => value !== null);
  const [low, high] = values.length
    ? series.scaleEnds(Math.min(...values), Math.max(...values))
    : [1, 60];
  // A logarithmic scale has no zero.
  const clamped = (value: number | null) => (value === null ? null : Math.max(value, low));
  return {
    data: [days.map(series.dayTime), ...numbers.map((of) => of.map(clamped))],
    read: (index) =>
      [
        words.day(days[index]!),
        describeBand(words, true, kinds[0]!, index),
        describeBand(words, false, kinds[1]!, index),
      ].join(" · "),
    options: {
      axes: [
        dayAxis(words, days),
        {
          ...valueAxis((value) => words.seconds(value)),
          splits: () => series.stops(low, high),
          // uPlot's own filter leaves only powers of ten.
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
export function phases(words: StatsWords, stats: Stats): Content {
  const keys = series.phasesIn(stats);
  const names = keys.map((phase) => words.phase(phase));
  const of = (cold: boolean) => keys.map((phase) => series.overall(stats, phase, cold)?.p50 ?? null);
  const [cold, warm] = [of(true), of(false)];
  const lines = series.evenStops(Math.max(0, ...cold.map(Number), ...warm.map(Number)));
  const at = names.map((_, index) => index);
  const say = (isCold: boolean, value: number | null | undefined) =>
    value == null
      ? words.say("stats.js.none", { name: words.cold(isCold) })
      : words.say("stats.js.value", { name: words.cold(isCold), value: words.seconds(value) });
  return {
    data: [at, cold, warm],
    start: "first",
    read: (index) => [names[index], say(true, cold[index]), say(false, warm[index])].join(" · "),
    options: {
      axes: [
        {
          ...axis(),
          grid: { show: false },
          splits: () => at,
          // In two rows if they would overlap.
          values: ({ width }) =>
            width < names.length * 100 ? names.map((name, row) => "\n".repeat(row % 2) + name) : names,
          size: 48,
        },
        { ...valueAxis((value) => words.seconds(value)), splits: () => lines },
      ],
      scales: {
        x: { time: false, range: [-0.5, Math.max(names.length, 1) - 0.5] },
        y: { range: [0, lines.at(-1)!] },
      },
      series: [{}, bars("--cold", -1), bars("--warm", 1)],
    },
  };
}

/** The daily launches by outcome, stacked: ready, failed, cancelled. */
export function outcomes(words: StatsWords, stats: Stats, days: string[]): Content {
  const ended = series.outcomes(stats, days);
  const highest = Math.max(1, ...ended.map(series.count));
  return {
    // Bars are drawn on top of each other, the highest first.
    data: [
      days.map(series.dayTime),
      ended.map(series.count),
      ended.map(({ ready, failed }) => ready + failed),
      ended.map(({ ready }) => ready),
    ],
    read: (index) => `${words.day(days[index]!)} · ${describeOutcomes(words, ended[index]!)}`,
    options: {
      axes: [dayAxis(words, days), { ...valueAxis((value) => words.number(value)), incrs: COUNT_STRIDES, space: 30 }],
      scales: { x: dayScale(days), y: { range: [0, highest * 1.05] } },
      series: [{}, bars("--cancelled"), bars("--failed"), bars("--ready")],
    },
  };
}

/** `Ready: 5 · Failed: 2 · Cancelled: 1` */
export function describeOutcomes(words: StatsWords, { ready, failed, cancelled }: series.Outcomes): string {
  return [
    words.value("stats.ready", ready),
    words.value("stats.failed", failed),
    words.value("stats.cancelled", cancelled),
  ].join(" · ");
}

function describeBand(
  words: StatsWords,
  cold: boolean,
  { low, median, high }: series.Band,
  index: number,
): string {
  const [from, middle, to] = [low[index], median[index], high[index]];
  const name = words.cold(cold);
  if (from == null || middle == null || to == null) return words.say("stats.js.none", { name });
  const [lowest, typical, highest] = [from, middle, to].map((value) => words.seconds(value));
  return words.say("stats.js.band", { name, low: lowest!, median: typical!, high: highest! });
}

/** The current value of a custom property of the page. */
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

/** @param side - the position relative to the tick: left, right or centred */
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
    font: FONT,
    grid: { stroke: () => color("--line"), width: 1 },
    ticks: { show: false },
    gap: GAP,
    size: 32,
  };
}

function valueAxis(say: (value: number) => string): uPlot.Axis {
  return {
    ...axis(),
    // As wide as its widest label, which depends on the language.
    size: ({ ctx }, labels) => {
      ctx.font = FONT;
      return Math.max(AXIS_WIDTH, ...(labels ?? []).map((label) => Math.ceil(ctx.measureText(label).width) + GAP));
    },
    values: (_, splits) => splits.map(say),
  };
}

function dayAxis(words: StatsWords, days: string[]): uPlot.Axis {
  return {
    ...axis(),
    grid: { show: false },
    splits: ({ width }) => series.dayTicks(days, Math.floor((width - AXIS_WIDTH - MARGIN) / LABEL_DISTANCE)).map(series.dayTime),
    values: (_, splits) => splits.map((time) => words.shortDay(time)),
  };
}

function dayScale(days: string[]): uPlot.Scale {
  const [first, last] = [days[0]!, days.at(-1)!].map(series.dayTime) as [number, number];
  return { time: true, range: [first - series.DAY / 2, last + series.DAY / 2] };
}
