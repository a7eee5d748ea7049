/**
 * The templates of a launch that is under way.
 */
import { html, nothing, type TemplateResult } from "lit";
import more from "../i18n/catalogs/more/en.json";
import { phaseLabel, STEPS } from "../session/phases";
import styles from "./running.css?inline";
// For the session, which wants it when the server is ready: it is there by then.
import "./jupyter-server-url";
import type { Shown } from "./shown";
import { percentText } from "../i18n/times";
import { learn, type Words } from "../i18n/words";

learn(more);

/** The style of these parts. */
export const sheet = new CSSStyleSheet();
sheet.replaceSync(styles);

/** What the buttons do, and the log when it is opened. */
export interface Actions {
  cancel(): void;
  notify(): void;
  logToggled(): void;
}

/** Where it stands: phase, step, percent, bar, clocks, phases. */
export function panel(shown: Shown, words: Words): TemplateResult {
  const { percent } = shown;
  return html`<section
    id="panel"
    class="panel"
    part="panel"
    tabindex="-1"
    aria-label=${words.say("panel")}
  >
    <div class="headline">
      <p class="phase" part="phase">${shown.label}</p>
      <p class="step" part="step">${shown.step}</p>
      <p class="percent" part="percent" aria-hidden="true">${
        percent === undefined ? "" : percentText(words, percent)
      }</p>
    </div>
    <div
      id="bar"
      class="bar"
      part="bar"
      role="progressbar"
      aria-label=${words.say("bar.label")}
      aria-valuemin="0"
      aria-valuemax="100"
      aria-valuenow=${percent ?? nothing}
      aria-valuetext=${shown.valueText}
    ><div id="fill" class="fill" part="fill"><div id="ribs" class="ribs"></div></div></div>
    <p class="times" part="times">
      <span part="elapsed">${shown.elapsed}</span>
      <span class="left" part="left">${shown.left}</span>
    </p>
    <ol class="steps" part="steps" aria-label=${words.say("phases")}>${STEPS.map((step) => {
      const state = shown.steps[step] ?? "upcoming";
      return html`<li data-step=${step} data-state=${state} aria-current=${
        state === "current" ? "step" : nothing
      }><span class="dot" aria-hidden="true"></span><span class="label">${phaseLabel(step, words)}</span><span class="state">${words.say(`state.${state}`)}</span></li>`;
    })}</ol>
  </section>`;
}

/** What can be done with a launch that is under way, or ready. */
export function buttons(shown: Shown, words: Words, actions: Actions): TemplateResult {
  const { mode } = shown;
  return html`<a
      id="open"
      class="button primary open"
      part="button open"
      target="_blank"
      rel="noopener"
      aria-label=${words.say("open.new-tab")}
      href=${shown.url || nothing}
      ?hidden=${mode !== "ready"}
    >${words.say("open")}</a>
    <button
      id="notify"
      class="button"
      part="button notify"
      type="button"
      aria-pressed=${shown.notify === true}
      ?hidden=${mode !== "running" || shown.notify === undefined}
      @click=${actions.notify}
    >${words.say("notify")}</button>
    <button
      id="cancel"
      class="button"
      part="button cancel"
      type="button"
      aria-disabled=${shown.cancelling}
      ?hidden=${mode !== "running"}
      @click=${actions.cancel}
    >${words.say("cancel")}</button>`;
}

/** The log, which has a part of its own in it when it is opened. */
export function log(shown: Shown, words: Words, actions: Actions): TemplateResult {
  return html`<details id="log" class="log" part="log" @toggle=${actions.logToggled}>
    <summary part="log-summary">${words.say("log")} <span class="count">${shown.lines}</span></summary>
    <div id="log-view"></div>
  </details>`;
}
