/**
 * The template around the lines of the log: search, buttons and status.
 */
import { html, nothing, svg, type SVGTemplateResult, type TemplateResult } from "lit";
import type { Words } from "../i18n/words";

/** The state of the launch, where the log hides everything else. */
export interface LogProgress {
  phase: string;
  percent: string;
  /** The address of the Jupyter server; empty until it is ready. */
  url: string;
}

/** What the template displays. */
export interface LogViewState {
  follows: boolean;
  /** Whether long lines wrap. */
  wraps: boolean;
  /** Whether the time of each line is shown. */
  times: boolean;
  /** Whether steps are folded; undefined if there is nothing to fold. */
  folds: boolean | undefined;
  /** The lines that are copied, if not all of them; counted from 1. */
  copied: [first: number, last: number] | undefined;
  /** What is shown in full screen; undefined otherwise. */
  progress: LogProgress | undefined;
  /** Whether the oldest lines were dropped. */
  cut: boolean;
  /** Whether the log fills the screen. */
  full: boolean;
  /** The address of the complete log as plain text; undefined if there is none. */
  file: string | undefined;
  fileName: string;
  /** The address under which the log is kept; undefined if there is none. */
  permanent: string | undefined;
  /** Whether there is a search text. */
  searches: boolean;
  /** The position of the selected match and the number of matches. */
  match: string;
  /** The result of the last action, for the status. */
  status: string;
  /** Whether the status is for screen readers only, because the result is visible elsewhere. */
  statusHidden: boolean;
}

/** What the buttons do. */
export interface LogActions {
  search(text: string): void;
  /** Select the next or the previous match. */
  move(step: 1 | -1): void;
  key(event: KeyboardEvent): void;
  follow(): void;
  latest(): void;
  wrap(): void;
  times(): void;
  fold(): void;
  copy(): void;
  download(): void;
  full(): void;
}

const icon = (path: SVGTemplateResult) =>
  html`<svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">${path}</svg>`;

const UP = icon(svg`<path d="m5 12.5 5-5 5 5" />`);
const DOWN = icon(svg`<path d="m5 7.5 5 5 5-5" />`);
const FOLLOW = icon(svg`<path d="M3.5 4.5h13m-13 4.5h6m-6 4.5h6m4-5v8m-3-3 3 3 3-3" />`);
const WRAP = icon(svg`<path d="M3.5 4.5h13m-13 5h10.5a2.75 2.75 0 0 1 0 5.5H10m2.5-2.5L10 15l2.5 2.5M3.5 15h3" />`);
const TIMES = icon(svg`<circle cx="10" cy="10" r="6.5" /><path d="M10 6v4l2.5 2" />`);
const FOLD = icon(svg`<path d="M3.5 10h13M7 3.5 10 6.5l3-3m-6 13 3-3 3 3" />`);
const COPY = icon(svg`<path d="M7.5 7.5h9v9h-9zM12.5 7.5v-4h-9v9h4" />`);
const DOWNLOAD = icon(svg`<path d="M10 3v9m-4-4 4 4 4-4M3.5 13v3.5h13V13" />`);
const LINK = icon(svg`<path d="M8 5.5H5.5a4.5 4.5 0 0 0 0 9H8m4-9h2.5a4.5 4.5 0 0 1 0 9H12M6.5 10h7" />`);
const FULL = icon(svg`<path d="M3.5 8V3.5H8m4 0h4.5V8m0 4v4.5H12m-4 0H3.5V12" />`);
const LEAVE = icon(svg`<path d="M8 3.5V8H3.5m13 0H12V3.5m0 13V12h4.5M3.5 12H8v4.5" />`);

/**
 * @param box - the element with the lines, which is drawn elsewhere
 */
export function logTemplate(
  state: LogViewState,
  words: Words,
  actions: LogActions,
  box: HTMLElement,
): TemplateResult {
  return html`${progress(state.progress, words)}
    <div class="log-tools" part="log-tools">${search(state, words, actions)}${buttons(state, words, actions)}</div>
    <p class="log-note" ?hidden=${!state.cut}>${words.say("log.cut")}</p>
    <div class="log-frame">
      ${box}
      <button class="button log-latest" part="button" type="button" ?hidden=${state.follows} @click=${actions.latest}>
        ${DOWN}${words.say("log.latest")}
      </button>
      <p class=${state.statusHidden ? "log-said sr-only" : "log-said"} role="status">${state.status}</p>
    </div>`;
}

function progress(shown: LogProgress | undefined, words: Words): TemplateResult | typeof nothing {
  if (!shown) return nothing;
  const { phase, percent, url } = shown;
  return html`<div class="log-progress">
    <strong>${phase}</strong> <span>${percent}</span>
    ${
      url
        ? html`<a class="button primary" part="button open" href=${url} target="_blank" rel="noopener" aria-label=${words.say("open.new-tab")}>${words.say("open")}</a>`
        : nothing
    }
  </div>`;
}

function search({ searches, match }: LogViewState, words: Words, actions: LogActions): TemplateResult {
  const step = (name: string, picture: TemplateResult, by: 1 | -1) =>
    html`<button class="log-tool" type="button" aria-label=${name} title=${name} ?disabled=${!searches} @click=${() => actions.move(by)}>${picture}</button>`;
  return html`<search class="log-search">
    <input
      class="log-field"
      type="search"
      autocomplete="off"
      autocapitalize="off"
      spellcheck="false"
      enterkeyhint="search"
      aria-label=${words.say("log.search")}
      placeholder=${words.say("log.search")}
      @input=${(event: Event) => actions.search((event.target as HTMLInputElement).value)}
      @keydown=${actions.key}
    />
    <span class="log-match">${match}</span>
    ${step(words.say("log.search.previous"), UP, -1)}${step(words.say("log.search.next"), DOWN, 1)}
  </search>`;
}

function buttons(state: LogViewState, words: Words, actions: LogActions): TemplateResult {
  const { follows, wraps, times, folds, copied, full, file, fileName, permanent } = state;
  const labelled = (picture: TemplateResult, name: string) =>
    html`${picture}<span class="log-label">${name}</span>`;
  const copy = copied
    ? words.say("log.copy.lines", { first: String(copied[0]), last: String(copied[1]) })
    : words.say("log.copy");
  const download = labelled(DOWNLOAD, words.say("log.download"));
  const size = full ? labelled(LEAVE, words.say("log.full.leave")) : labelled(FULL, words.say("log.full"));
  return html`<div class="log-buttons">
    <button class="log-tool" type="button" aria-pressed=${follows} title=${words.say("log.follow")} @click=${actions.follow}>${labelled(FOLLOW, words.say("log.follow"))}</button>
    <button class="log-tool" type="button" aria-pressed=${wraps} title=${words.say("log.wrap")} @click=${actions.wrap}>${labelled(WRAP, words.say("log.wrap"))}</button>
    <button class="log-tool" type="button" aria-pressed=${times} title=${words.say("log.times")} @click=${actions.times}>${labelled(TIMES, words.say("log.times"))}</button>
    ${
      folds === undefined
        ? nothing
        : html`<button class="log-tool" type="button" aria-pressed=${folds} title=${words.say("log.folds")} @click=${actions.fold}>${labelled(FOLD, words.say("log.folds"))}</button>`
    }
    <button class="log-tool" type="button" title=${copy} @click=${actions.copy}>${labelled(COPY, copy)}</button>
    ${
      file
        ? // Browsers may show a file of another site instead of saving it: not in place of this page.
          html`<a class="log-tool" href=${file} download=${fileName} target="_blank" rel="noopener" title=${words.say("log.download")}>${download}</a>`
        : html`<button class="log-tool" type="button" title=${words.say("log.download")} @click=${actions.download}>${download}</button>`
    }
    ${
      permanent
        ? html`<a class="log-tool" href=${permanent} target="_blank" rel="noopener" title=${words.say("log.link.hint")}>${labelled(LINK, words.say("log.link"))}</a>`
        : nothing
    }
    <button class="log-tool" type="button" title=${words.say(full ? "log.full.leave" : "log.full")} @click=${actions.full}>${size}</button>
  </div>`;
}
