/**
 * The element's shadow tree. Values from servers and pages are inserted as text only.
 */
import { html, type TemplateResult } from "lit";
import type { Mode } from "../session/session";
import type { Words } from "../i18n/words";

/** The content that is always there, unlike {@link Parts}. */
export interface Frame {
  mode: Mode;
  lost: boolean;
  notice: string;
  /** The label of the button that starts a new launch; empty if it is hidden. */
  again: string;
  /** The announcement for screen readers. */
  live: string;
  /** What can be launched, if nothing has been started. */
  spec: string;
  start(): void;
}

/** The parts that are loaded on demand. */
export interface Parts {
  panel?: unknown;
  outcome?: unknown;
  /** What can help, beside launching again. */
  remedy?: unknown;
  buttons?: unknown;
  waterfall?: unknown;
  log?: unknown;
}

/** The shadow tree. It has no `style` attributes, which a strict Content-Security-Policy forbids. */
export function template(frame: Frame, parts: Parts, words: Words): TemplateResult {
  const { mode, lost, notice, again, live, spec, start } = frame;
  const isIdle = mode === "idle";
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
        ?hidden=${!isIdle}
        @click=${start}
      >${words.say("launch")}</button>
      <bdi class="offered" part="spec" aria-hidden="true" ?hidden=${!isIdle}>${spec}</bdi>
      ${parts.remedy}
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
