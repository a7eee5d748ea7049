/**
 * The element's shadow tree. Values from servers and pages are inserted as text only.
 */
import { html, type TemplateResult } from "lit";
import type { Mode } from "../session/session";
import type { Words } from "../i18n/words";

/** The content that is always there, unlike {@link Parts}. */
export interface Frame {
  mode: Mode;
  variant: string;
  lost: boolean;
  notice: string;
  /** The label of the button that starts a new launch; empty if it is hidden. */
  again: string;
  /** Whether it would be refused now. */
  waits: boolean;
  /** Whether the page has to be reloaded, because the server was upgraded. */
  outdated: boolean;
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
  /** An earlier version that can be started meanwhile. */
  earlier?: unknown;
  waterfall?: unknown;
  log?: unknown;
}

/** The shadow tree. It has no `style` attributes, which a strict Content-Security-Policy forbids. */
export function template(frame: Frame, parts: Parts, words: Words): TemplateResult {
  const { mode, variant, lost, notice, again, waits, outdated, live, spec, start } = frame;
  const isIdle = mode === "idle";
  return html`<div class="root" part="root" dir=${words.dir} data-mode=${mode} data-variant=${variant} ?data-lost=${lost}>
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
      ${parts.buttons}
      ${parts.remedy}
      <button
        id="reload"
        class="button primary"
        part="button reload"
        type="button"
        aria-label=${words.named(words.say("reload"), spec)}
        ?hidden=${!outdated}
        @click=${() => location.reload()}
      >${words.say("reload")}</button>
      <button
        id="again"
        class="button ${mode === "ready" ? "" : "primary"}"
        part="button again"
        type="button"
        aria-label=${words.named(again, spec)}
        aria-disabled=${waits}
        ?hidden=${!again || outdated}
        @click=${() => waits || start()}
      >${again}</button>
    </div>
    <p class="hint" part="hint" ?hidden=${!isIdle}>${words.say("launch.hint")}</p>
    ${parts.earlier}
    ${parts.waterfall}
    ${parts.log}
    <div id="live" class="sr-only" role="status">${live}</div>
  </div>`;
}
