/**
 * Templates for why there is no server, or not yet, and for where the time went. Loaded when a launch
 * starts.
 */
import { html, nothing, svg, type TemplateResult } from "lit";
import more from "../i18n/catalogs/more/en.json";
import styles from "./ending.css?inline";
import { copyText } from "../log/text";
import { buildLogUrl } from "../session/build-log";
import { editUrl } from "../session/edit-url";
import { phaseLabel } from "../session/phases";
import { type Outcome, outcomeOf } from "../session/outcome";
import type { LaunchSession } from "../session/session";
import type { LaunchTranscript } from "../session/transcript";
import { stepText } from "./view-state";
import type { Parts } from "./template";
import type { LaunchEvent } from "../wire/event";
import { shortDuration } from "../i18n/times";
import { waterfallRows } from "../session/waterfall";
import { addEnglish, type LocalizedText, type Words } from "../i18n/words";

addEnglish(more);

/** The styles of these parts. */
export const sheet = new CSSStyleSheet();
sheet.replaceSync(styles);

/** Return the parts. A part without content is empty. */
export function ending(
  session: LaunchSession,
  words: Words,
): Pick<Parts, "outcome" | "waterfall"> {
  const { mode, model, transcript } = session;
  const outcome = session.outcome ?? (mode === "running" ? problemOf(model.event) : undefined);
  const hasEnded = mode === "ready" || mode === "failed" || mode === "cancelled";
  return {
    outcome: outcome ? outcomeSection(outcome, session, words) : nothing,
    waterfall: hasEnded && transcript ? waterfall(transcript, session.launchUrl, words) : nothing,
  };
}

function outcomeSection(outcome: Outcome, session: LaunchSession, words: Words): TemplateResult {
  const { spec } = session;
  const { title, message, advice, evidence, event } = outcome;
  const { fault, file = "", line, subject = "" } = event ?? {};
  const edit = fault === "repository" && file ? editUrl(spec, file, line) : "";
  const isGeneral = isEnglishOf(message, words);
  const { key = "" } = message;
  // A rule's own sentence is more specific than the translation of its reason: show both.
  const messageText = isGeneral
    ? words.localize(message)
    : words.localize({ ...message, key: key.replace(/\.named$/, "") });
  const hasOriginal = !isGeneral && message.text && message.text !== messageText;
  const general = { ...advice, values: { file, subject } };
  const log = session.mode === "failed" ? buildLogUrl(session) : undefined;
  const adviceText = isEnglishOf(general, words) ? words.localize(general) : advice.text;
  return html`<section class="outcome ${event?.retry === false ? "final" : ""}" part="outcome">
    <h2 part="outcome-title">${words.say(title)}</h2>
    ${messageText ? html`<p part="outcome-message" dir="auto">${messageText}</p>` : nothing}
    ${hasOriginal ? html`<p class="original" lang="en" dir="ltr">${message.text}</p>` : nothing}
    ${adviceText ? html`<p class="advice" part="advice" dir="auto">${adviceText}</p>` : nothing}
    ${event?.problem ? html`<p part="trying">${words.say("problem.trying")}</p>` : nothing}
    ${
      evidence.length
        ? html`<pre
            class="evidence"
            part="evidence"
            dir="ltr"
            tabindex="0"
            role="region"
            aria-label=${words.say("evidence")}
          >${evidence.join("\n")}</pre>`
        : nothing
    }
    ${
      edit
        ? html`<p><a class="button primary" part="button edit" href=${edit} target="_blank" rel="noopener"
            >${words.say("edit", { file })}</a></p>`
        : nothing
    }
    ${
      fault === "server"
        ? html`<p><button
            class="button"
            part="button report"
            type="button"
            @click=${(event: Event) => void copyReport(event, outcome, spec, words)}
          >${words.say("report")}</button></p>`
        : nothing
    }
    ${
      log
        ? html`<p><a part="log-link" href=${log} target="_blank" rel="noopener">${words.say("log.link.hint")}</a></p>`
        : nothing
    }
  </section>`;
}

/** What keeps a server from starting, while the Hub still tries. */
function problemOf(event: LaunchEvent | undefined): Outcome | undefined {
  return event?.problem
    ? { ...outcomeOf({ ...event, message: event.problem }), title: "problem" }
    : undefined;
}

/** Whether a text is the English one with its key, so that its translation says the same. */
function isEnglishOf({ key = "", text, values = {} }: LocalizedText, words: Words): boolean {
  const english = words.english(key).replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? "");
  return text === undefined || !words.has(key) || text === english;
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

/** @param launchUrl - the launch's address; empty on a plain BinderHub */
function waterfall(
  { timeline }: LaunchTranscript,
  launchUrl: string,
  words: Words,
): TemplateResult | typeof nothing {
  const { rows, total } = waterfallRows(timeline);
  if (!rows.length) return nothing;
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
  </table>`;
  // Browsers may show a file of another site instead of saving it: not in place of this page.
  return html`<div>
    ${table}
    ${
      launchUrl &&
      html`<p class="trace" part="trace">
        <a href="${launchUrl}/trace?format=chrome" download target="_blank" rel="noopener">${words.say("waterfall.trace")}</a>
        ${words.say("waterfall.trace.hint")}
      </p>`
    }
  </div>`;
}
