/**
 * The element's shadow tree. What comes from elsewhere goes into it as text only.
 */
import { html, type TemplateResult } from "lit";
import type { Mode } from "../session/session";
import type { Words } from "../i18n/words";

/** What is shown, but for what {@link Parts} show. */
export interface Frame {
  mode: Mode;
  lost: boolean;
  notice: string;
  /** What the button says that starts anew; empty: it is not there. */
  again: string;
  /** What is said to those who do not see the page. */
  live: string;
  /** What is offered while nothing was started. */
  spec: string;
  start(): void;
}

/** The parts that are loaded when they are wanted. */
export interface Parts {
  panel?: unknown;
  outcome?: unknown;
  buttons?: unknown;
  waterfall?: unknown;
  log?: unknown;
}

/** The whole of it. There is no `style` attribute: a strict policy of the page refuses it. */
export function template(frame: Frame, parts: Parts, words: Words): TemplateResult {
  const { mode, lost, notice, again, live, spec, start } = frame;
  const idle = mode === "idle";
  return html`<div class="root" part="root" dir=${words.dir} data-mode=${mode} ?data-lost=${lost}>
    ${parts.panel}
    <p class="notice" part="notice" role="status" ?hidden=${!notice}>${notice}</p>
    ${parts.outcome}
    <div class="actions" part="actions">
      <button
        id="launch"
        class="button primary"
        part="button launch"
        type="button"
        aria-label=${words.say("launch.of", { spec })}
        ?hidden=${!idle}
        @click=${start}
      >${words.say("launch")}</button>
      <bdi class="offered" part="spec" aria-hidden="true" ?hidden=${!idle}>${spec}</bdi>
      <button
        id="again"
        class="button primary"
        part="button again"
        type="button"
        ?hidden=${!again}
        @click=${start}
      >${again}</button>
      ${parts.buttons}
    </div>
    ${parts.waterfall}
    ${parts.log}
    <div id="live" class="sr-only" role="status">${live}</div>
  </div>`;
}
