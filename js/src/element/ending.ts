/**
 * Templates for why there is no server, or not yet, and for where the time went. Loaded when a launch
 * starts.
 */
import { html, nothing, svg, type TemplateResult } from "lit";
import more from "../i18n/catalogs/more/en.json";
import styles from "./ending.css?inline";
import { copyText } from "../log/text";
import { buildLogUrl } from "../session/build-log";
import { evidenceLines, linesBefore } from "../session/evidence";
import { phaseLabel, phaseName } from "../session/phases";
import { type Outcome, outcomeOf } from "../session/outcome";
import { outcomeText, spokenOutcome } from "../session/outcome-text";
import { type Remedy, remedyOf } from "../session/remedy";
import type { LaunchSession } from "../session/session";
import type { LaunchTranscript } from "../session/transcript";
import { lineHref } from "./log-names";
import { placeText, stepText } from "./view-state";
import type { Parts } from "./template";
import type { LaunchEvent } from "../wire/event";
import { duration, shortDuration } from "../i18n/times";
import { type AheadRow, aheadRows, waterfallRows } from "../session/waterfall";
import { addEnglish, type Words } from "../i18n/words";

addEnglish(more);

/** The styles of these parts. */
export const sheet = new CSSStyleSheet();
sheet.replaceSync(styles);

/** Where the time of a failure went matters only if it took longer, in seconds. */
const MIN_FAILURE = 1;

export { spokenOutcome };

/**
 * Return the parts. A part without content is empty.
 *
 * @param showLine - opens the log at a line, counted from 1
 */
export function ending(
  session: LaunchSession,
  words: Words,
  showLine: (line: number) => void,
): Pick<Parts, "outcome" | "remedy" | "waterfall"> {
  const { mode, model, transcript } = session;
  const problem = mode === "running" ? problemOf(model.event) : undefined;
  const outcome = session.outcome ?? problem;
  const hasEnded = mode === "ready" || mode === "failed" || mode === "cancelled";
  return {
    outcome: outcome ? outcomeSection(outcome, session, words, showLine) : nothing,
    remedy: outcome && !problem ? remedies(outcome, session, words) : nothing,
    waterfall: hasEnded && transcript ? waterfall(transcript, mode === "ready", session, words) : nothing,
  };
}

function outcomeSection(
  outcome: Outcome,
  session: LaunchSession,
  words: Words,
  showLine: (line: number) => void,
): TemplateResult {
  const { event, evidence } = outcome;
  const { heading, message, original, advice } = outcomeText(outcome, words);
  const log = session.mode === "failed" ? buildLogUrl(session) : undefined;
  const where = event && !event.problem ? whereItEnded(session, words) : "";
  return html`<section
    class="outcome"
    part="outcome"
    data-remedy=${remedyOf(outcome, session).kind}
  >
    ${
      message
        ? html`<h2 part="outcome-title" dir="auto">${heading}</h2>
            <p part="outcome-message" dir="auto">${message}</p>`
        : html`<h2 part="outcome-title outcome-message" dir="auto">${heading}</h2>`
    }
    ${original ? html`<p class="original" lang="en" dir="ltr">${original}</p>` : nothing}
    ${advice ? html`<p class="advice" part="advice" dir="auto">${advice}</p>` : nothing}
    ${countdown(outcome, words)}
    ${event?.problem ? html`<p part="trying">${words.say("problem.trying")}</p>` : nothing}
    ${evidence.length ? evidenceList(evidence, session, words, showLine) : nothing}
    ${where ? html`<p class="where" part="where" dir="auto">${where}</p>` : nothing}
    ${
      log
        ? html`<p><a part="log-link" href=${log} target="_blank" rel="noopener" aria-label=${words.named(words.say("log.link.hint"), session.spec)}>${words.say("log.link.hint")}</a></p>`
        : nothing
    }
  </section>`;
}

/** The lines that show why, after those that led there. Their numbers open the log where they are. */
function evidenceList(
  evidence: readonly string[],
  session: LaunchSession,
  words: Words,
  showLine: (line: number) => void,
): TemplateResult {
  const { transcript } = session;
  // The lines that came with the events are not the last ones of a log that was cut.
  const log = transcript?.isCut ? undefined : transcript?.log;
  const lines = log ? evidenceLines(log, evidence) : [];
  const opened = (event: MouseEvent, line: number) => {
    // The browser opens a new tab or window.
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    showLine(line);
  };
  const item = (text: string, line = 0, name = "") => html`<li class=${name}>${
    line
      ? html`<a
          href=${lineHref(session, line)}
          aria-label=${words.say("log.line", { number: String(line) })}
          @click=${(event: MouseEvent) => opened(event, line)}
        >${line}</a>`
      : nothing
  }<span>${text}</span></li>`;
  return html`<div
    class="evidence"
    part="evidence"
    role="group"
    dir="ltr"
    tabindex="0"
    aria-label=${words.named(words.say("evidence"), session.spec)}
  ><ol>${log && linesBefore(log, lines).map(({ line, text }) => item(text, line + 1, "before"))}${evidence.map(
    (text, index) => item(text, (lines[index] ?? -1) + 1),
  )}</ol></div>`;
}

/** Which phase and step a launch had reached, and after which time. */
function whereItEnded({ model, transcript }: LaunchSession, words: Words): string {
  const last = transcript?.timeline.entries.findLast(({ phase }) => phase !== "failed" && phase !== "cancelled");
  if (!last) return "";
  const phase = phaseLabel(phaseName(last.phase, last.step_key), words);
  const place = placeText(phase, stepText(last, words), words);
  const seconds = model.elapsed(0);
  if (seconds < MIN_FAILURE) return place;
  return `${place} · ${words.say("elapsed.after", { time: duration(words, seconds) })}`;
}

/** The main action, and what an administrator needs. */
function remedies(outcome: Outcome, session: LaunchSession, words: Words): TemplateResult {
  const { event } = outcome;
  const remedy = remedyOf(outcome, session);
  const isReport = remedy.kind === "report";
  return html`${remedyLink(remedy, event, session.spec, words)}${
    isReport || event?.fault === "server"
      ? html`<button
          class="button ${isReport ? "primary" : ""}"
          part="button report"
          type="button"
          aria-label=${words.named(words.say("report"), session.spec)}
          @click=${(click: Event) => void copyReport(click, outcome, session.spec, words)}
        >${words.say("report")}</button>`
      : nothing
  }`;
}

function remedyLink(
  { kind, url }: Remedy,
  event: LaunchEvent | undefined,
  spec: string,
  words: Words,
): unknown {
  if (kind === "elsewhere") {
    const label = words.say("elsewhere", { host: new URL(url).host });
    return html`<a class="button primary" part="button elsewhere" href=${url} target="_blank" rel="noopener" aria-label=${words.named(label, spec)}>${label}</a>`;
  }
  if (kind === "edit") {
    const label = words.say("edit", { file: event?.file ?? "" });
    return html`<a class="button primary" part="button edit" href=${url} target="_blank" rel="noopener" aria-label=${words.named(label, spec)}>${label}</a>`;
  }
  if (kind === "repository") {
    const label = words.say("open.repository");
    return html`<a class="button primary" part="button repository" href=${url} target="_blank" rel="noopener" aria-label=${words.named(label, spec)}>${label}</a>`;
  }
  if (kind !== "address") return nothing;
  const label = words.say("edit.address");
  return html`<a class="button primary" part="button address" href=${url} aria-label=${words.named(label, spec)}>${label}</a>`;
}

/** For how long a new attempt would be refused. Drawn once a second. */
function countdown({ retryAt = 0 }: Outcome, words: Words): TemplateResult | typeof nothing {
  const seconds = Math.ceil((retryAt - Date.now()) / 1000);
  if (seconds <= 0) return nothing;
  const time = duration(words, seconds);
  return html`<p class="advice" part="retry-in">${words.say("retry.in", { time })}</p>`;
}

/** What keeps a server from starting, while the Hub still tries. */
function problemOf(event: LaunchEvent | undefined): Outcome | undefined {
  return event?.problem
    ? { ...outcomeOf({ ...event, message: event.problem }), title: "problem" }
    : undefined;
}

/** Copy what an administrator needs to know, and say so on the button. */
async function copyReport(
  { currentTarget }: Event,
  { message, advice, evidence }: Outcome,
  spec: string,
  words: Words,
): Promise<void> {
  const button = currentTarget as HTMLElement;
  const lines = [spec, new Date().toISOString(), message.text, advice.text, "", ...evidence];
  const report = new Blob([lines.filter((line) => line !== undefined).join("\n")], { type: "text/plain" });
  const copied = await copyText(Promise.resolve(report), button.parentElement!);
  button.textContent = words.say(copied ? "log.copied" : "log.copy.failed");
}

/** The rows of what was done meanwhile. Nobody waited for it, so its bars are hatched. */
function aheadSection(rows: AheadRow[], share: (seconds: number) => string, words: Words): TemplateResult {
  return html`<tbody role="rowgroup" class="ahead" part="ahead">
    <tr role="row"><th scope="rowgroup" role="rowheader" colspan="3">${words.say("waterfall.ahead")}</th></tr>
    ${rows.map(
      ({ step, start, duration, saved }) => html`<tr role="row" class="part">
        <th scope="row" role="rowheader" dir="auto">${stepText(step, words)}</th>
        <td role="cell" class="stretch"><svg aria-hidden="true">${svg`<line
          x1=${share(start)}
          x2=${share(start + duration)}
          y1="50%"
          y2="50%"
        />`}</svg></td>
        <td role="cell" class="took">${shortDuration(words, saved)}</td>
      </tr>`,
    )}
  </tbody>`;
}

function waterfall(
  { timeline }: LaunchTranscript,
  isReady: boolean,
  // The address is empty on a plain BinderHub.
  { launchUrl, model, spec }: LaunchSession,
  words: Words,
): TemplateResult | typeof nothing {
  const { rows, total } = waterfallRows(timeline);
  const phases = rows.filter(({ step }) => !step).length;
  const saysSomething = isReady || (total >= MIN_FAILURE && phases > 1);
  if (!rows.length || !saysSomething) return nothing;
  const ahead = aheadRows(timeline, model.event?.ahead ?? [], total);
  const share = (seconds: number) => `${((100 * seconds) / total).toFixed(2)}%`;
  // The explicit roles are the elements' own. On narrow pages, the layout removes them.
  const table = html`<table class="waterfall" part="waterfall" role="table">
    <caption>${words.say("waterfall")}</caption>
    <thead class="sr-only" role="rowgroup">
      <tr role="row">
        <th scope="col" role="columnheader">${words.say("waterfall.what")}</th>
        <th scope="col" role="columnheader">${words.say("waterfall.when")}</th>
        <th scope="col" role="columnheader">${words.say("waterfall.took")}</th>
      </tr>
    </thead>
    <tbody role="rowgroup">${rows.map(
      ({ phase, step, start, duration }) => html`<tr role="row" class=${step ? "part" : "whole"}>
        <th scope="row" role="rowheader" dir="auto">${step ? stepText(step, words) : phaseLabel(phase, words)}</th>
        <td role="cell" class="stretch"><svg aria-hidden="true">${svg`<rect
          x=${share(start)}
          width=${share(duration)}
          height="100%"
          rx="2"
        />`}</svg></td>
        <td role="cell" class="took">${shortDuration(words, duration)}</td>
      </tr>`,
    )}</tbody>
    ${ahead.length ? aheadSection(ahead, share, words) : nothing}
  </table>`;
  // Browsers may show a file of another site instead of saving it: not in place of this page.
  return html`<div>
    ${table}
    ${
      launchUrl &&
      html`<p class="trace" part="trace">
        <a href="${launchUrl}/trace?format=chrome" download target="_blank" rel="noopener" aria-label=${words.named(words.say("waterfall.trace"), spec)}>${words.say("waterfall.trace")}</a>
        ${words.say("waterfall.trace.hint")}
      </p>`
    }
  </div>`;
}
