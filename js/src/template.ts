/**
 * The element's shadow tree. What comes from elsewhere goes into it as text only.
 */
import { html, nothing, type TemplateResult } from "lit";
import { phaseLabel, STEPS } from "./phases";
import { isOver } from "./session";
import type { Shown } from "./shown";
import type { Words } from "./words";

/** What the buttons do. */
export interface Actions {
  start(): void;
  cancel(): void;
  logToggled(): void;
}

/**
 * The whole of it. The bar is not drawn here but on each frame, and there is no `style` attribute:
 * a strict policy of the page refuses it.
 *
 * @param spec - what is offered while nothing was started
 */
export function template(
  shown: Shown,
  words: Words,
  spec: string,
  actions: Actions,
): TemplateResult {
  const { mode } = shown;
  const bare = mode === "gone" || mode === "idle";
  return html`<div class="root" part="root" data-mode=${mode} ?data-lost=${shown.lost}>
    ${panel(shown, words, bare)}
    <p class="notice" part="notice" role="status" ?hidden=${!shown.notice}>${shown.notice}</p>
    ${outcome(shown)}
    <div class="actions" part="actions">
      <button
        id="launch"
        class="button primary"
        part="button launch"
        type="button"
        ?hidden=${mode !== "idle"}
        @click=${actions.start}
      >Launch<span class="sr-only"> ${spec}</span></button>
      <span class="offered" part="spec" aria-hidden="true" ?hidden=${mode !== "idle"}>${spec}</span>
      <a
        id="open"
        class="button primary open"
        part="button open"
        target="_blank"
        rel="noopener"
        href=${shown.url || nothing}
        ?hidden=${mode !== "ready"}
      >Open<span class="sr-only"> the server in a new tab</span></a>
      <button
        id="again"
        class="button primary"
        part="button again"
        type="button"
        ?hidden=${!isOver(mode)}
        @click=${actions.start}
      >${shown.outcome?.again}</button>
      <button
        id="cancel"
        class="button"
        part="button cancel"
        type="button"
        aria-disabled=${shown.cancelling}
        ?hidden=${mode !== "running"}
        @click=${actions.cancel}
      >Cancel</button>
    </div>
    <details id="log" class="log" part="log" ?hidden=${bare} @toggle=${actions.logToggled}>
      <summary part="log-summary">Log <span class="count">${shown.lines}</span></summary>
      <div id="log-view"></div>
      <p class="log-foot"><a part="log-link" href=${shown.logUrl || nothing} target="_blank" rel="noopener">The whole log as plain text</a></p>
    </details>
    <div id="live" class="sr-only" role="status" aria-live="polite">${shown.live}</div>
  </div>`;
}

function panel(shown: Shown, words: Words, hidden: boolean): TemplateResult {
  const { percent } = shown;
  return html`<section
    id="panel"
    class="panel"
    part="panel"
    tabindex="-1"
    aria-label="Progress"
    ?hidden=${hidden}
  >
    <div class="headline">
      <p class="phase" part="phase">${shown.label}</p>
      <p class="step" part="step">${shown.step}</p>
      <p class="percent" part="percent" aria-hidden="true">${
        percent === undefined ? "" : `${percent}%`
      }</p>
    </div>
    <div
      id="bar"
      class="bar"
      part="bar"
      role="progressbar"
      aria-label="Launch"
      aria-valuemin="0"
      aria-valuemax="100"
      aria-valuenow=${percent ?? nothing}
      aria-valuetext=${shown.valueText}
    ><div id="fill" class="fill" part="fill"></div></div>
    <p class="times" part="times">
      <span part="elapsed">${shown.elapsed}</span>
      <span class="left" part="left">${shown.left}</span>
    </p>
    <ol class="steps" part="steps" aria-label="Phases">${STEPS.map((step) => {
      const state = shown.steps[step];
      return html`<li data-step=${step} data-state=${state} aria-current=${
        state === "current" ? "step" : nothing
      }><span class="dot" aria-hidden="true"></span><span class="label">${phaseLabel(step, words)}</span><span class="state">${words.say(`state.${state}`)}</span></li>`;
    })}</ol>
  </section>`;
}

function outcome({ outcome }: Shown): TemplateResult | typeof nothing {
  if (!outcome) return nothing;
  const { title, message, advice, evidence } = outcome;
  return html`<section class="outcome" part="outcome">
    <h2 part="outcome-title">${title}</h2>
    ${message ? html`<p part="outcome-message">${message}</p>` : nothing}
    ${advice ? html`<p class="advice" part="advice">${advice}</p>` : nothing}
    ${
      evidence.length
        ? html`<pre
            class="evidence"
            part="evidence"
            tabindex="0"
            role="region"
            aria-label="Why, from the log"
          >${evidence.join("\n")}</pre>`
        : nothing
    }
  </section>`;
}
