/**
 * What is shown at the end of a launch: why there is no server, and where the time went. Loaded
 * once a launch is under way.
 */
import { html, nothing, svg, type TemplateResult } from "lit";
import more from "../i18n/catalogs/more/en.json";
import styles from "./ending.css?inline";
import { phaseLabel } from "../session/phases";
import type { LaunchRecord } from "../session/record";
import type { LaunchSession, Outcome } from "../session/session";
import { stepText } from "./shown";
import type { Parts } from "./template";
import { shortDuration } from "../i18n/times";
import { rows } from "../session/waterfall";
import { learn, type Words } from "../i18n/words";

learn(more);

/** The style of these parts. */
export const sheet = new CSSStyleSheet();
sheet.replaceSync(styles);

/** Make the parts; those that there is nothing to say in are nothing. */
export function ending(
  session: LaunchSession,
  words: Words,
): Pick<Parts, "outcome" | "waterfall"> {
  const { mode, outcome, record } = session;
  const over = mode === "ready" || mode === "failed" || mode === "cancelled";
  return {
    outcome: outcome ? why(outcome, words) : nothing,
    waterfall: over && record ? waterfall(record, session.launchUrl, words) : nothing,
  };
}

function why(outcome: Outcome, words: Words): TemplateResult {
  const { title, message, advice, evidence } = outcome;
  const [said, todo] = [words.tell(message), words.tell(advice)];
  // What the server said itself may tell more than its translation.
  const original = message.text && message.text !== said && !message.values?.subject;
  return html`<section class="outcome" part="outcome">
    <h2 part="outcome-title">${words.say(title)}</h2>
    ${said ? html`<p part="outcome-message" dir="auto">${said}</p>` : nothing}
    ${original ? html`<p class="original" lang="en" dir="ltr">${message.text}</p>` : nothing}
    ${todo ? html`<p class="advice" part="advice" dir="auto">${todo}</p>` : nothing}
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
  </section>`;
}

/** @param launchUrl - where the server tells of it; empty where there is no such server */
function waterfall(
  { timeline }: LaunchRecord,
  launchUrl: string,
  words: Words,
): TemplateResult | typeof nothing {
  const { rows: found, total } = rows(timeline);
  if (!found.length) return nothing;
  const share = (seconds: number) => `${((100 * seconds) / total).toFixed(2)}%`;
  // The roles are the elements' own, which a narrow page takes from them by its layout.
  const table = html`<table class="waterfall" part="waterfall" role="table">
    <caption>${words.say("waterfall")}</caption>
    <thead class="sr-only" role="rowgroup">
      <tr role="row">
        <th scope="col" role="columnheader">${words.say("waterfall.what")}</th>
        <th scope="col" role="columnheader">${words.say("waterfall.when")}</th>
        <th scope="col" role="columnheader">${words.say("waterfall.took")}</th>
      </tr>
    </thead>
    <tbody role="rowgroup">${found.map(
      ({ phase, step, start, took }) => html`<tr role="row" class=${step ? "part" : "whole"}>
        <th scope="row" role="rowheader" dir="auto">${step ? stepText(step, words) : phaseLabel(phase, words)}</th>
        <td role="cell" class="stretch"><svg aria-hidden="true">${svg`<rect
          x=${share(start)}
          width=${share(took)}
          height="100%"
          rx="2"
        />`}</svg></td>
        <td role="cell" class="took">${shortDuration(words, took)}</td>
      </tr>`,
    )}</tbody>
  </table>`;
  // A browser that does not save what comes from another site shows it, but not instead of this page.
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
