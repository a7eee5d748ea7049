// The script of stats.html: statistics of the history and of running launches.
import "uplot/dist/uPlot.min.css";
import "./stats.css";
import { loadCatalog } from "../i18n/catalogs";
import english from "../i18n/catalogs/more/en.json";
import type { Catalog } from "../i18n/words";
import { ApiError, getJson } from "../wire/client";
import * as charts from "./stats-charts";
import * as series from "./stats-series";
import type { Distribution, Stats } from "./stats-series";
import { fillTable, type Quantity } from "./stats-table";
import { StatsWords } from "./stats-words";

/** The time between two requests, in milliseconds. */
const INTERVAL = 10_000;

/** The timeout of a request, in milliseconds. A history may be large. */
const TIMEOUT = 30_000;

const main = document.querySelector<HTMLElement>("main.stats")!;
const { api = "", days = "" } = main.dataset;
const { lang } = document.documentElement;
const texts = JSON.parse(main.dataset.words ?? "{}") as Catalog;
const words = new StatsWords(lang, texts);
/** The reasons of failures, by key. */
let reasonTexts: Catalog = english;

const chartsByName = {
  durations: new charts.Chart(part("durations"), part("durations-reading")),
  phases: new charts.Chart(part("phases"), part("phases-reading")),
  outcomes: new charts.Chart(part("outcomes"), part("outcomes-reading")),
};

/** The filters of all numbers. A server with one provider or host has no filter for it. */
const filters = ["provider", "host"].flatMap((name) => {
  const select = main.querySelector<HTMLSelectElement>(`select[data-part="${name}"]`);
  return select ? [select] : [];
});

/** The phase in the first chart. */
const phaseSelect = part("phase") as HTMLSelectElement;

/** The data of the charts and tables as JSON. They are drawn again only if it changes. */
let shown = "";
/** The time of the last response. */
let updated = "";
let timer: ReturnType<typeof setTimeout> | undefined;
let isLoading = false;
/** Increases when a filter changes. Responses to earlier requests are not shown. */
let version = 0;

function part(name: string): HTMLElement {
  return main.querySelector<HTMLElement>(`[data-part="${name}"]`)!;
}

function setText(name: string, text: string): void {
  const element = part(name);
  // Screen readers announce each change.
  if (element.textContent !== text) element.textContent = text;
}

/** Request and show the numbers, repeatedly while the page is visible. */
async function refresh(): Promise<void> {
  if (isLoading) return;
  clearTimeout(timer);
  isLoading = true;
  const requested = version;
  try {
    const stats = await getJson<Stats>(`${api}?${query(days)}`, AbortSignal.timeout(TIMEOUT));
    if (requested !== version) return;
    updated = words.clock(new Date());
    show(stats);
    setText("problem", "");
  } catch (error) {
    console.warn(error);
    if (requested !== version) return;
    const old = updated && words.say("stats.js.old", { time: updated });
    setText("problem", [sentence(error), old, words.say("stats.js.retrying")].filter(Boolean).join(" "));
  } finally {
    if (requested === version) isLoading = false;
  }
  if (document.visibilityState === "visible") timer = setTimeout(refresh, INTERVAL);
}

/** The query of the endpoint and of this page. */
function query(period: string): string {
  const values = filters.filter(({ value }) => value).map(({ id, value }) => [id, value]);
  const asked = new URLSearchParams(location.search).get("lang");
  return String(new URLSearchParams([["days", period], ...values, ...(asked ? [["lang", asked]] : [])]));
}

/** Apply the filters, and keep them in links and in the page's address. */
function applyFilters(): void {
  for (const link of main.querySelectorAll<HTMLAnchorElement>("a[data-days]")) {
    link.search = query(link.dataset.days!);
  }
  history.replaceState(history.state, "", `?${query(days)}`);
  version += 1;
  isLoading = false;
  void refresh();
}

function sentence(error: unknown): string {
  return error instanceof ApiError ? error.message : words.say("stats.js.unreachable");
}

function show(stats: Stats): void {
  showLive(stats);
  setText("updated", words.say("stats.js.as-of", { time: updated }));
  setText("lost", stats.lost ? words.say("stats.js.lost", { count: words.number(stats.lost) }) : "");
  const { days: ended, phases, reasons, repositories } = stats;
  const names = series.lastDays(stats.now, stats.last_days);
  const data = JSON.stringify([names, ended, phases, reasons, repositories]);
  const isEmpty = ended.length === 0;
  part("empty").hidden = !isEmpty || main.dataset.kept !== "yes";
  part("past").hidden = isEmpty;
  showFigures(stats);
  if (isEmpty || data === shown) return;
  shown = data;
  offerPhases(stats);
  phaseSelect.onchange = () => showDurations(stats, names);
  showDurations(stats, names);
  chartsByName.phases.show(charts.phases(words, stats));
  chartsByName.outcomes.show(charts.outcomes(words, stats, names));
  showTables(stats);
}

function showLive({ live, all_replicas, replicas }: Stats): void {
  setText("running", words.number(all_replicas.running));
  const by = Object.entries(live.phases).map(([phase, launches]) => words.inPhase(phase, launches));
  // Phases are known of one replica only.
  const parts = replicas > 1 ? [words.value("stats.js.replicas", replicas)] : by;
  const builds = words.value("stats.js.builds", all_replicas.building);
  const capacity = words.value("stats.js.capacity", live.capacity);
  setText("running-more", [builds, ...parts, capacity].join(" · "));
}

function showFigures(stats: Stats): void {
  const total = series.sum(stats.days);
  setText("launches", words.number(series.count(total)));
  setText("launches-more", charts.describeOutcomes(words, total));
  const rate = series.successRate(total);
  setText("success", rate === undefined ? "–" : words.percent(rate));
  for (const [name, cold] of [["cold", true], ["warm", false]] as const) {
    const total = series.overall(stats, "total", cold);
    setText(name, total ? words.seconds(total.p50) : "–");
    setText(`${name}-more`, total ? words.say("stats.js.within", { time: words.seconds(total.p90) }) : words.say("stats.js.none-yet"));
  }
}

/** Offer the phases that exist, and keep the selection. */
function offerPhases(stats: Stats): void {
  const phases = ["total", ...series.phasesIn(stats)];
  const selected = phases.includes(phaseSelect.value) ? phaseSelect.value : "total";
  phaseSelect.replaceChildren(...phases.map((phase) => new Option(words.phase(phase), phase)));
  phaseSelect.value = selected;
}

function kind({ cold }: Distribution): string {
  return words.cold(cold);
}

function number(value: number): Quantity {
  return { quantity: words.number(value) };
}

function seconds(value: number): Quantity {
  return { quantity: words.seconds(value) };
}

function showDurations(stats: Stats, names: string[]): void {
  chartsByName.durations.show(charts.durations(words, stats, names, phaseSelect.value));
  fillTable(
    part("durations-table"),
    stats.phases
      .filter(({ phase, day }) => phase === phaseSelect.value && day)
      .map((d) => [words.day(d.day), kind(d), number(d.launches), seconds(d.p50), seconds(d.p25), seconds(d.p75)]),
  );
}

function showTables(stats: Stats): void {
  const order = [...series.phasesIn(stats), "total"];
  fillTable(
    part("phases-table"),
    order.flatMap((phase) =>
      [true, false]
        .map((cold) => series.overall(stats, phase, cold))
        .filter((d) => d !== undefined)
        .map((d) => [
          words.phase(phase),
          kind(d),
          number(d.launches),
          ...[d.p10, d.p25, d.p50, d.p75, d.p90].map(seconds),
        ]),
    ),
  );
  fillTable(
    part("outcomes-table"),
    stats.days.map((d) => [words.day(d.day), ...[d.ready, d.cold, d.failed, d.cancelled].map(number)]),
  );
  fillTable(
    part("reasons"),
    stats.reasons.map(({ reason, outcome, launches }) => [
      reasonTexts[`reason.${reason}`] ?? reason,
      words.phase(outcome),
      number(launches),
    ]),
  );
  part("no-reasons").hidden = stats.reasons.length > 0;
  fillTable(
    part("repositories"),
    stats.repositories.map((r) => [
      r.repository.replace(/^https?:\/\//, ""),
      seconds(r.seconds),
      seconds(r.pulled),
      number(r.launches),
      number(r.failed),
    ]),
  );
  part("no-repositories").hidden = stats.repositories.length > 0;
}

for (const select of filters) select.addEventListener("change", applyFilters);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") void refresh();
  else clearTimeout(timer);
});
void start();

/** Load the reasons in the language of the page, and show the numbers. */
async function start(): Promise<void> {
  try {
    reasonTexts = { ...english, ...(await loadCatalog(lang)) };
  } catch (error) {
    // The reasons are in English then.
    console.warn(error);
  }
  await refresh();
}
