/**
 * Templates for a running launch.
 */
import { html, nothing, type TemplateResult } from "lit";
import more from "../i18n/catalogs/more/en.json";
import { phaseLabel, SHOWN_PHASES, type ShownPhase } from "../session/phases";
import styles from "./running.css?inline";
import variants from "./variants.css?inline";
// For the session, which needs it when the server is ready.
import "./jupyter-server-url";
import type { EarlierLog } from "../session/build-log";
import type { ViewState } from "./view-state";
import { dayText, percentText } from "../i18n/times";
import { addEnglish, type Words } from "../i18n/words";

addEnglish(more);

/** The styles of these parts. */
export const sheet = new CSSStyleSheet();
sheet.replaceSync(styles + variants);

/** What the buttons do, and the log when it is opened or closed. */
export interface Actions {
  cancel(): void;
  reconnect(): void;
  notify(): void;
  logToggled(): void;
}

/** The progress: phase, step, percentage, bar, times and the row of phases. */
export function panel(state: ViewState, words: Words): TemplateResult {
  const { percent, spec } = state;
  return html`<section
    id="panel"
    class="panel"
    part="panel"
    tabindex="-1"
    aria-label=${words.named(words.say("panel"), spec)}
  >
    <div class="headline">
      <p class="phase" part="phase">${state.label}</p>
      <p class="step" part="step">${state.step}</p>
      <p class="percent" part="percent" aria-hidden="true">${
        percent === undefined ? "" : percentText(words, percent)
      }</p>
    </div>
    <div
      id="bar"
      class="bar"
      part="bar"
      role="progressbar"
      aria-label=${words.named(words.say("bar.label"), spec)}
      aria-valuemin="0"
      aria-valuemax="100"
      aria-valuenow=${percent ?? nothing}
      aria-valuetext=${state.valueText}
    ><div id="clip" class="clip"><div id="fill" class="fill" part="fill"><div id="ribs" class="ribs"></div></div></div></div>
    <p class="times" part="times">
      <span part="elapsed">${state.elapsed}</span>
      <span class="left" part="left">${state.left}</span>
      <span class="by" part="by">${state.by}</span>
    </p>
    ${phaseRow(state, words)}
  </section>`;
}

/** The row of phases. Which a launch can have is known from its first event; before, they are hidden. */
function phaseRow({ label, phases, spec }: ViewState, words: Words): TemplateResult {
  const isKnown = Object.keys(phases).length > 0;
  const shown: readonly ShownPhase[] = SHOWN_PHASES.filter((phase) => phase in phases || !isKnown);
  return html`<ol
    class="steps"
    part="steps"
    aria-label=${words.named(words.say("phases"), spec)}
    data-known=${isKnown}
  >${shown.map((phase) => {
    const state = phases[phase] ?? "upcoming";
    const isCurrent = state === "current";
    return html`<li data-step=${phase} data-state=${state} aria-current=${
      isCurrent ? "step" : nothing
    }><span class="dot" aria-hidden="true"></span><span class="label">${
      isCurrent ? label : phaseLabel(phase, words)
    }</span><span class="state">${words.say(`state.${state}`)}</span></li>`;
  })}</ol>`;
}

/**
 * The buttons of a running or ready launch.
 *
 * @param earlier - the log of the build, if that was earlier
 */
export function buttons(
  state: ViewState,
  words: Words,
  actions: Actions,
  earlier?: EarlierLog,
): TemplateResult {
  const { mode, spec } = state;
  return html`<a
      id="open"
      class="button primary open"
      part="button open"
      target="_blank"
      rel="noopener"
      aria-label=${words.named(words.say("open.new-tab"), spec)}
      href=${state.url || nothing}
      ?hidden=${mode !== "ready"}
    >${words.say("open")}</a>
    <button
      id="reconnect"
      class="button"
      part="button reconnect"
      type="button"
      aria-label=${words.named(words.say("lost.retry"), spec)}
      ?hidden=${!state.lost}
      @click=${actions.reconnect}
    >${words.say("lost.retry")}</button>
    <button
      id="notify"
      class="button"
      part="button notify"
      type="button"
      aria-label=${words.named(words.say("notify"), spec)}
      aria-pressed=${state.notify === true}
      ?hidden=${mode !== "running" || state.notify === undefined}
      @click=${actions.notify}
    >${words.say("notify")}</button>
    <button
      id="cancel"
      class="button"
      part="button cancel"
      type="button"
      aria-label=${words.named(words.say("cancel"), spec)}
      aria-disabled=${state.cancelling}
      ?hidden=${mode !== "running"}
      @click=${actions.cancel}
    >${words.say("cancel")}</button>
    ${
      earlier
        ? html`<a id="earlier-log" part="log-link" href=${earlier.url} target="_blank" rel="noopener">${words.say("log.earlier", { date: dayText(words, earlier.ended) })}</a>`
        : nothing
    }`;
}

/**
 * The log. Its lines are a part that is loaded when the log is opened.
 *
 * @param box - the element for the lines, which is filled elsewhere
 */
export function log(
  state: ViewState,
  words: Words,
  actions: Actions,
  box: HTMLElement,
): TemplateResult {
  const { lines, spec } = state;
  const name = words.named(`${words.say("log")} ${lines}`, spec);
  return html`<details id="log" class="log" part="log" @toggle=${actions.logToggled}>
    <summary part="log-summary" aria-label=${name}>${words.say("log")} <span class="count">${lines}</span></summary>
    ${box}
  </details>`;
}
