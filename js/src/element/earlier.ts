/**
 * An earlier version of the repository, which can be started while the newest one is built. Loaded
 * when a launch starts.
 */
import { html, nothing, type TemplateResult } from "lit";
import more from "../i18n/catalogs/more/en.json";
import styles from "./earlier.css?inline";
import { dateText, percentText } from "../i18n/times";
import { phaseLabel, phaseName } from "../session/phases";
import { LaunchTranscript } from "../session/transcript";
import { LaunchSession, type Mode, now } from "../session/session";
import type { Earlier } from "../wire/event";
import { addEnglish, type TextKey, type Words } from "../i18n/words";

addEnglish(more);

/** The styles of this part. */
export const sheet = new CSSStyleSheet();
sheet.replaceSync(styles);

/** The label of the button that starts it, by what its date is that of. */
const START: Record<Earlier["date_of"], TextKey> = {
  commit: "earlier.start",
  build: "earlier.start.build",
  launch: "earlier.start.launch",
};

/** What is said of the newest version, by the mode of its launch. */
const NEWEST: Partial<Record<Mode, TextKey>> = {
  running: "earlier.follows",
  ready: "earlier.newest",
};

/** The digits of a commit that people read. */
const SHORT = 8;

/** The offer of a launch, and the launch of the earlier version: one launch after the other. */
export class EarlierVersion {
  readonly #newest: LaunchSession;
  readonly #session: LaunchSession;
  /** The launch of the newest version to which the offer belongs. */
  #id = "";
  #isPaused = false;

  /**
   * @param newest - has the launch of the newest version
   * @param changed - called when there is something else to draw
   */
  constructor(newest: LaunchSession, changed: () => void) {
    this.#newest = newest;
    this.#session = new LaunchSession({
      changed,
      started: (id) => remember(this.#id, id),
      phase: () => undefined,
      ready: () => undefined,
      failed: () => undefined,
      forgotten: () => {
        remember(this.#id, "");
        this.#session.clear();
        return true;
      },
    });
    this.#session.remember(() => new LaunchTranscript());
  }

  /** Whether the user has started it: the newest version is offered then, and not opened. */
  get isStarted(): boolean {
    return this.#session.mode === "ready" || this.#isActive;
  }

  get #isActive(): boolean {
    return this.#session.mode === "starting" || this.#session.mode === "running";
  }

  /** Stop watching. The launch continues, and is watched again with the next update. */
  pause(): void {
    this.#isPaused = true;
    if (this.#session.id) this.#session.pause();
    else this.#session.clear();
  }

  /** Take note of what has become of the newest version. */
  update(): void {
    const { id, transcript } = this.#newest;
    if (id !== this.#id) {
      // Another launch. The earlier version of the last one goes on.
      this.#id = id;
      this.#session.clear();
    }
    if (transcript?.earlier) this.#resume(transcript.earlier);
  }

  /** The part to draw. */
  part(words: Words): TemplateResult | typeof nothing {
    const { mode, transcript } = this.#newest;
    const earlier = transcript?.earlier;
    // Once the newest version is ready, nobody needs an earlier one that was not started.
    if (!earlier || mode === "gone" || (mode === "ready" && !this.isStarted)) return nothing;
    return this.#section(earlier, words);
  }

  /** Watch what was started before the page was loaded, or before the element was removed. */
  #resume(earlier: Earlier): void {
    const session = this.#session;
    const known = session.mode === "idle" ? recall(this.#id) : "";
    const isPaused = this.#isPaused;
    this.#isPaused = false;
    if (known) {
      this.#configure(earlier);
      session.resume(known);
    } else if (isPaused && this.#isActive) session.resume(session.id);
  }

  #configure({ spec }: Earlier): void {
    const { server, urlpath } = this.#newest;
    Object.assign(this.#session, { server, spec, urlpath });
  }

  #start(earlier: Earlier): void {
    remember(this.#id, "");
    this.#configure(earlier);
    void this.#session.start();
  }

  #section(earlier: Earlier, words: Words): TemplateResult {
    const { mode, url } = this.#session;
    const { spec } = this.#newest;
    const date = dateText(words, earlier.date);
    const label = words.say(START[earlier.date_of], { date });
    const text = this.#text(earlier, mode, words);
    // A screen reader would read out each number of the progress.
    const spoken = this.#isActive ? "" : text;
    return html`<section
      class="earlier"
      part="earlier"
      aria-label=${words.named(words.say("earlier"), spec)}
    >
      <p part="earlier-text" dir="auto">${text}</p>
      <button
        id="earlier-start"
        class="button"
        part="button earlier-start"
        type="button"
        aria-label=${words.named(label, spec)}
        ?hidden=${this.isStarted}
        @click=${() => this.#start(earlier)}
      >${label}</button>
      <a
        id="earlier-open"
        class="button"
        part="button earlier-open"
        target="_blank"
        rel="noopener"
        aria-label=${words.named(words.say("earlier.open.new-tab"), spec)}
        href=${url || nothing}
        ?hidden=${mode !== "ready"}
      >${words.say("earlier.open")}</a>
      <div class="sr-only" role="status">${spoken}</div>
    </section>`;
  }

  /** What is said of it, and of the newest version. */
  #text({ commit }: Earlier, mode: Mode, words: Words): string {
    if (this.#isActive) return this.#progress(words);
    const values = { commit: commit.slice(0, SHORT) };
    if (mode !== "idle" && mode !== "ready") {
      const { message = {} } = this.#session.outcome ?? {};
      return `${words.say("earlier.failed")} ${words.localize(message)}`;
    }
    const text = words.say(mode === "idle" ? "earlier.offer" : "earlier.ready", values);
    const newest = NEWEST[this.#newest.mode];
    return newest ? `${text} ${words.say(newest)}` : text;
  }

  /** How far it is. */
  #progress(words: Words): string {
    const { model } = this.#session;
    const phase = model.event
      ? phaseLabel(phaseName(model.event.phase, model.event.step_key), words)
      : words.say("phase.connecting");
    const percent = percentText(words, Math.floor(model.at(now())));
    return words.say("earlier.starting", { phase, percent });
  }
}

/** The key under which a tab remembers the earlier version that was started beside a launch. */
function keyOf(id: string): string {
  return `binderprogress.earlier.${id}`;
}

function remember(id: string, earlier: string): void {
  try {
    if (earlier) sessionStorage.setItem(keyOf(id), earlier);
    else sessionStorage.removeItem(keyOf(id));
  } catch (error) {
    // As in a sandboxed frame. A reload then offers it again.
    console.warn(error);
  }
}

function recall(id: string): string {
  try {
    return sessionStorage.getItem(keyOf(id)) ?? "";
  } catch (error) {
    console.warn(error);
    return "";
  }
}
