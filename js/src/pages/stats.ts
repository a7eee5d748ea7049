// The script of stats.html: the numbers of the history, and of what runs now.
import "uplot/dist/uPlot.min.css";
import "./stats.css";
import more from "../i18n/catalogs/more/en.json";
import { ApiError, getJson } from "../wire/client";
import * as charts from "./stats-charts";
import * as series from "./stats-series";
import type { Distribution, Stats } from "./stats-series";
import { fillTable } from "./stats-table";

/** How long until it asks again, in milliseconds. */
const EVERY = 10_000;

/** What is waited for the answer, in milliseconds; a history may be large. */
const PATIENCE = 30_000;

const TEXTS: Record<string, string> = more;

const main = document.querySelector<HTMLElement>("main.stats")!;
const { api = "", days = "" } = main.dataset;
const clock = new Intl.DateTimeFormat("en", { timeStyle: "medium", hour12: false });

const drawn = {
  durations: new charts.Chart(part("durations"), part("durations-reading")),
  phases: new charts.Chart(part("phases"), part("phases-reading")),
  outcomes: new charts.Chart(part("outcomes"), part("outcomes-reading")),
};

/** What all numbers can be narrowed to; a server with one provider or host offers no choice. */
const filters = ["provider", "host"].flatMap((name) => {
  const select = main.querySelector<HTMLSelectElement>(`select[data-part="${name}"]`);
  return select ? [select] : [];
});

/** Of what the first chart shows the time. */
const chosen = part("phase") as HTMLSelectElement;

/** What the charts and tables show, as text: they are made anew only if it is something else. */
let shown = "";
let answered = "";
let timer: ReturnType<typeof setTimeout> | undefined;
let asking = false;
/** Counted up when something else is chosen: an answer to what was asked before is not shown. */
let choice = 0;

function part(name: string): HTMLElement {
  return main.querySelector<HTMLElement>(`[data-part="${name}"]`)!;
}

function say(name: string, text: string): void {
  const place = part(name);
  // What is read out is not to be read out again.
  if (place.textContent !== text) place.textContent = text;
}

/** Ask, show, and ask again in a while, as long as somebody can see it. */
async function refresh(): Promise<void> {
  if (asking) return;
  clearTimeout(timer);
  asking = true;
  const mine = choice;
  try {
    const stats = await getJson<Stats>(`${api}?${query(days)}`, AbortSignal.timeout(PATIENCE));
    if (mine !== choice) return;
    answered = clock.format(new Date());
    show(stats);
    say("problem", "");
  } catch (error) {
    console.warn(error);
    if (mine !== choice) return;
    say("problem", `${sentence(error)} ${answered && `These numbers are of ${answered}. `}${AGAIN}`);
  } finally {
    if (mine === choice) asking = false;
  }
  if (document.visibilityState === "visible") timer = setTimeout(refresh, EVERY);
}

/** What is asked for, as the query of the endpoint and of this page. */
function query(period: string): string {
  const chosen = filters.filter(({ value }) => value).map(({ id, value }) => [id, value]);
  return String(new URLSearchParams([["days", period], ...chosen]));
}

/** Show what is chosen now; links, and a reload, keep it. */
function choose(): void {
  for (const link of main.querySelectorAll<HTMLAnchorElement>("a[data-days]")) {
    link.search = query(link.dataset.days!);
  }
  history.replaceState(history.state, "", `?${query(days)}`);
  choice += 1;
  asking = false;
  void refresh();
}

const AGAIN = "It is asked again every 10 seconds.";

function sentence(error: unknown): string {
  return error instanceof ApiError ? error.message : "The server cannot be reached.";
}

function show(stats: Stats): void {
  showLive(stats.live);
  say("updated", `As of ${answered}.`);
  say("lost", stats.lost ? `Launches that could not be written into the history: ${stats.lost}` : "");
  const { days: ended, phases, reasons, repositories } = stats;
  const names = series.lastDays(stats.now, stats.last_days);
  const what = JSON.stringify([names, ended, phases, reasons, repositories]);
  const empty = ended.length === 0;
  part("empty").hidden = !empty || main.dataset.kept !== "yes";
  part("past").hidden = empty;
  showFigures(stats);
  if (empty || what === shown) return;
  shown = what;
  offerPhases(stats);
  chosen.onchange = () => showDurations(stats, names);
  showDurations(stats, names);
  drawn.phases.show(charts.phases(stats));
  drawn.outcomes.show(charts.outcomes(stats, names));
  showTables(stats);
}

function showLive({ running, building, capacity, phases }: Stats["live"]): void {
  say("running", String(running));
  const by = Object.entries(phases).map(([phase, launches]) => `${phase}: ${launches}`);
  say("running-more", [`builds: ${building}`, ...by, `room for ${capacity}`].join(" · "));
}

function showFigures(stats: Stats): void {
  const total = series.sum(stats.days);
  const { ready, failed, cancelled } = total;
  say("launches", String(series.count(total)));
  say("launches-more", `ready: ${ready} · failed: ${failed} · cancelled: ${cancelled}`);
  const rate = series.successRate(total);
  say("success", rate === undefined ? "–" : series.percent(rate));
  for (const [name, cold] of [["cold", true], ["warm", false]] as const) {
    const found = series.whole(stats, "total", cold);
    say(name, found ? series.seconds(found.p50) : "–");
    say(`${name}-more`, found ? `nine of ten within ${series.seconds(found.p90)}` : "none yet");
  }
}

/** Let one choose of the phases that are there; what was chosen stays. */
function offerPhases(stats: Stats): void {
  const phases = ["total", ...series.phasesIn(stats)];
  const before = phases.includes(chosen.value) ? chosen.value : "total";
  chosen.replaceChildren(...phases.map((phase) => new Option(named(phase), phase)));
  chosen.value = before;
}

function named(phase: string): string {
  return phase === "total" ? "the whole launch" : phase;
}

function kind({ cold }: Distribution): string {
  return cold ? "cold" : "warm";
}

function showDurations(stats: Stats, names: string[]): void {
  const { seconds } = series;
  drawn.durations.show(charts.durations(stats, names, chosen.value));
  fillTable(
    part("durations-table"),
    stats.phases
      .filter(({ phase, day }) => phase === chosen.value && day)
      .map((d) => [d.day, kind(d), d.launches, seconds(d.p50), seconds(d.p25), seconds(d.p75)]),
  );
}

function showTables(stats: Stats): void {
  const { seconds } = series;
  const order = [...series.phasesIn(stats), "total"];
  fillTable(
    part("phases-table"),
    order.flatMap((phase) =>
      [true, false]
        .map((cold) => series.whole(stats, phase, cold))
        .filter((d) => d !== undefined)
        .map((d) => [
          named(phase),
          kind(d),
          d.launches,
          ...[d.p10, d.p25, d.p50, d.p75, d.p90].map(seconds),
        ]),
    ),
  );
  fillTable(
    part("outcomes-table"),
    stats.days.map((d) => [d.day, d.ready, d.cold, d.failed, d.cancelled]),
  );
  fillTable(
    part("reasons"),
    stats.reasons.map((r) => [TEXTS[`reason.${r.reason}`] ?? r.reason, r.outcome, r.launches]),
  );
  part("no-reasons").hidden = stats.reasons.length > 0;
  fillTable(
    part("repositories"),
    stats.repositories.map((r) => [
      r.repository.replace(/^https?:\/\//, ""),
      seconds(r.seconds),
      seconds(r.pulled),
      r.launches,
      r.failed,
    ]),
  );
  part("no-repositories").hidden = stats.repositories.length > 0;
}

for (const select of filters) select.addEventListener("change", choose);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") void refresh();
  else clearTimeout(timer);
});
void refresh();
