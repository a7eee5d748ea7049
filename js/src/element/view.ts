/**
 * Shows a launch that is under way, or was: panel, buttons, log, the browser's tab. Loaded when one
 * is started.
 */
import { nothing } from "lit";
import { Bar } from "./bar";
import { hubUrl } from "../wire/server-url";
import { Lazy } from "./lazy";
import { Notifier } from "./notify";
import { LaunchRecord } from "../session/record";
import { buttons, log, panel, sheet } from "./running";
import type { LaunchSession } from "../session/session";
import { show, type Shown } from "./shown";
import type { Parts } from "./template";
import type { Words } from "../i18n/words";

/** What it needs of its element. */
export interface ViewHost {
  readonly session: LaunchSession;
  readonly shadow: ShadowRoot;
  /** What is launched, for people. */
  spec(): string;
  /** The line of the log to show, from 1; 0: none. */
  line(): number;
  /** The line is being shown. */
  lineTaken(): void;
  /** Whether the page's title and icon are to show it. */
  inTab(): boolean;
  words(): Words;
  cancel(): void;
  changed(): void;
}

/** One for each element, for all its launches. */
export class LaunchView {
  shown: Shown;

  readonly #host: ViewHost;
  readonly #calm = matchMedia("(prefers-reduced-motion: reduce)");
  readonly #bar: Bar;
  readonly #notifier: Notifier;
  readonly #tab = new Lazy(
    async () => new (await import("./tab")).Tab(),
    () => this.#host.changed(),
  );
  readonly #log = new Lazy(
    async () => {
      const { LogView } = await import("../log/log-view");
      const { session, shadow } = this.#host;
      return new LogView(this.#part("log-view")!, shadow, {
        words: this.#host.words(),
        source: () => (session.id ? { text: `${session.launchUrl}/log` } : {}),
        name: () => `${this.#host.spec().replace(/[^\w.-]+/g, "-")}.log`,
        lineHref: (line) => lineHref(session, line),
      });
    },
    (view) => {
      if (view) return this.#showLog();
      this.#host.session.notice = { key: "not-part" };
      this.#host.changed();
    },
  );

  constructor(host: ViewHost) {
    this.#host = host;
    this.#bar = new Bar((id) => this.#part(id));
    this.#notifier = new Notifier((notice) => {
      if (notice) host.session.notice = notice;
      host.changed();
    });
    host.session.remember(() => new LaunchRecord());
    host.shadow.adoptedStyleSheets.push(sheet);
    this.shown = this.tick(0);
  }

  /** Take what there is to say at a local time: after events, and once a second. */
  tick(time: number): Shown {
    const { session } = this.#host;
    const words = this.#host.words();
    this.shown = show(session, time, words, this.#notifier.wanted);
    if (this.#calm.matches) this.#bar.set(this.shown.percent ?? 0);
    if (this.#host.inTab()) {
      this.#tab.want();
      this.#tab.value?.show(this.shown, words);
    }
    const log = this.#log.value;
    if (log && log.words !== words) log.words = words;
    return this.shown;
  }

  /**
   * Draw the bar and the log, before the browser draws.
   *
   * @param time - of the frame, in milliseconds
   * @param now - the local time, in seconds since 1970
   * @returns whether the bar is still on its way
   */
  frame(time: number, now: number): boolean {
    const { model, mode, lost, record } = this.#host.session;
    if (this.#host.line() && this.#part("log")) this.openLog();
    if (record && this.#isLogOpen()) this.#log.value?.render(record.log);
    // A new launch begins at the left again, at once.
    if (!model.event) this.#bar.set(0);
    if (this.#calm.matches) return false;
    return this.#bar.frame(time, model.at(now), mode === "running" && !lost);
  }

  /** What is drawn of it. */
  parts(): Pick<Parts, "panel" | "buttons" | "log"> {
    const words = this.#host.words();
    const actions = {
      cancel: () => this.#host.cancel(),
      notify: () => void this.#notifier.toggle(),
      logToggled: () => this.#showLog(),
    };
    if (this.shown.mode === "gone") return { panel: nothing, buttons: nothing, log: nothing };
    return {
      panel: panel(this.shown, words),
      buttons: buttons(this.shown, words, actions),
      log: log(this.shown, words, actions),
    };
  }

  /** Open the log; what is drawn has to be there. */
  openLog(): void {
    const details = this.#part<HTMLDetailsElement>("log");
    if (details) details.open = true;
    this.#showLog();
  }

  /** Tell a person who wanted to know that the server is ready. */
  tellReady(): void {
    const { session } = this.#host;
    this.#notifier.tell(this.#host.words().say("notify.ready"), this.#host.spec(), session.id);
  }

  /** Leave the page around as it was. */
  leave(): void {
    this.#tab.value?.restore();
  }

  #showLog(): void {
    const { record } = this.#host.session;
    if (!record || !this.#isLogOpen()) return;
    this.#log.want();
    if (!this.#log.value) return;
    this.#log.value.render(record.log);
    const line = this.#host.line();
    if (!line) return;
    this.#log.value.goTo(line);
    this.#host.lineTaken();
  }

  #isLogOpen(): boolean {
    return this.#part<HTMLDetailsElement>("log")?.open === true;
  }

  #part<T extends HTMLElement>(id: string): T | null {
    return this.#host.shadow.querySelector<T>(`#${id}`);
  }
}

/** The address of a line: in the launch's own page, which may be this one. */
function lineHref({ hub, spec, id }: LaunchSession, line: number): string {
  if (!id) return `#line=${line}`;
  const fragment = `#launch=${encodeURIComponent(id)}&line=${line}`;
  const isOwn = new URLSearchParams(location.hash.slice(1)).has("launch");
  return isOwn ? fragment : `${hubUrl(hub)}v2/${spec}${fragment}`;
}
