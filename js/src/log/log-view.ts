/**
 * The log: its lines, search and buttons. Loaded when the log is opened.
 */
import { render } from "lit";
import more from "../i18n/catalogs/more/en.json";
import type { LogSection } from "./folds";
import { Hold } from "./hold";
import type { LogSource } from "./lines";
import { LongLog } from "./long-log";
import { LogRows } from "./rows";
import { LogSearch } from "./search";
import { type LogActions, type LogProgress, logTemplate } from "./template";
import { copyText, plainLog, save } from "./text";
import type { LaunchTranscript } from "../session/transcript";
import ansi from "./ansi.css?inline";
import styles from "./log-view.css?inline";
import steps from "./steps.css?inline";
import { countText } from "../i18n/times";
import { addEnglish, type Words } from "../i18n/words";

addEnglish(more);

/** The time for searching in a frame, in milliseconds. The rest is for drawing. */
const SLICE = 8;

/** How long the status is shown, in milliseconds. */
const STATUS_DURATION = 4000;

/** The accessible names of line numbers. */
const LABELS = { error: "log.line.error", warning: "log.line.warning", none: "log.line" } as const;

/** The time of a line. Digits, because they take the same width in each line. */
const CLOCK = new Intl.DateTimeFormat("en", { hourCycle: "h23", hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** Options of {@link LogView}. */
export interface LogViewOptions {
  words: Words;
  /** What was launched. */
  spec(): string;
  /** The complete log: its address as plain text, under which it is kept, and of its parts. */
  source(): { text?: string | undefined; permanent?: string | undefined; parts?: string };
  /** The name of the downloaded file. */
  name(): string;
  /** The address of a line, counted from 1, or of lines to another one. */
  lineHref(line: number, to?: number): string;
  /** The sections of the log. */
  sections(): readonly LogSection[];
  /** What is shown in full screen, where the log hides everything else. */
  progress(): LogProgress;
}

/** Shows a log in an element. */
export class LogView {
  readonly #host: HTMLElement;
  readonly #shadow: ShadowRoot;
  readonly #options: LogViewOptions;
  readonly #search = new LogSearch(() => this.#schedule());
  readonly #rows: LogRows;
  readonly #actions: LogActions = {
    search: (text) => this.#find(text),
    move: (step) => this.#move(step),
    key: (event) => this.#searchKey(event),
    follow: () => this.#follow(!this.#rows.follows),
    latest: () => {
      this.#follow(true);
      this.#rows.box.focus();
    },
    wrap: () => this.#wrap(!this.#rows.wraps),
    times: () => this.#toggleTimes(),
    fold: () => this.#foldAll(),
    copy: () => void this.#copy(),
    download: () => void this.#download(),
    full: () => void this.#toggleFull().catch(console.error),
  };

  #words: Words;
  #log: LogSource | undefined;
  #long: LongLog | undefined;
  #drawn = "";
  #status = "";
  #statusHidden = false;
  #statusTimer: ReturnType<typeof setTimeout> | undefined;
  #frame = 0;
  /** The line where a new search starts, until its first match is selected. */
  #seeking: number | undefined;
  /** The lines to show as soon as they exist, counted from 0. */
  #goal: { line: number; to: number } | undefined;
  /** Keeps the first of them in view. */
  readonly #hold = new Hold();
  #held: number | undefined;
  #times = false;

  /**
   * @param host - an empty element, which the view fills
   * @param shadow - the shadow tree of `host`, which gets the styles
   */
  constructor(host: HTMLElement, shadow: ShadowRoot, options: LogViewOptions) {
    this.#host = host;
    this.#shadow = shadow;
    this.#options = options;
    this.#words = options.words;
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(styles + steps + ansi);
    shadow.adoptedStyleSheets.push(sheet);
    this.#rows = new LogRows({
      changed: () => this.#schedule(),
      clicked: (line, event) => this.#clicked(line, event),
      stepped: (line, isRange) => this.#focusLine(line, isRange),
      href: (line) => options.lineHref(line),
      label: (line, severity) => this.#words.say(LABELS[severity ?? "none"], { number: String(line) }),
      more: () => this.#words.say("log.more"),
      time: (line) => this.#time(line),
      fold: ({ label, result }) => [this.#words.say("log.fold", { step: label }), result].filter(Boolean).join(", "),
    });
    host.classList.add("log-view");
    host.addEventListener("keydown", (event) => this.#key(event));
    host.addEventListener("fullscreenchange", () => this.#draw());
    this.#draw();
  }

  /** The language of the texts around the lines. */
  get words(): Words {
    return this.#words;
  }

  set words(words: Words) {
    this.#words = words;
    this.#rows.forget();
    this.#drawn = "";
    this.#draw();
    this.#schedule();
  }

  /** Draw what has changed in the log of a launch, which may be the same as before. */
  show(transcript: LaunchTranscript): void {
    if (transcript !== this.#long?.transcript) {
      this.#long = new LongLog({
        transcript,
        url: this.#options.source().parts ?? "",
        changed: () => this.#schedule(),
        failed: () => this.#setStatus(this.#words.say("log.part.failed")),
        timed: () => {
          this.#rows.forget();
          this.#schedule();
        },
      });
      this.#long.showsTimes = this.#times;
    }
    this.render(this.#long);
  }

  /**
   * Draw what has changed, if the view is visible.
   *
   * @param log - the same as before, or that of a new launch
   */
  render(log: LogSource): void {
    if (log !== this.#log) {
      this.#search.restart();
      this.#held = undefined;
    }
    this.#log = log;
    if (!this.#host.checkVisibility()) return;
    this.#update(log);
    if (this.#search.isBehind(log)) this.#schedule();
  }

  /**
   * Scroll to a line, mark and focus it, and stop following the end. If the line does not exist yet,
   * this happens when it arrives. The page scrolls and the focus moves only if the reader has done nothing since.
   *
   * @param line - counted from 1
   * @param to - the last of several lines to mark, counted from 1
   */
  goTo(line: number, to = line): void {
    this.#goal = { line: line - 1, to: to - 1 };
    this.#held = undefined;
    this.#hold.begin();
    this.#schedule();
  }

  /** Draw what is around the lines, if it has changed. */
  refresh(): void {
    if (this.#isFull) this.#draw();
  }

  /** Draw in the next frame, even if nobody calls {@link render} until then. */
  #schedule(): void {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      const log = this.#log;
      if (!log || !this.#host.checkVisibility()) return;
      this.#search.step(log, SLICE);
      this.#seek(log);
      this.#update(log);
      if (this.#search.isBehind(log)) this.#schedule();
    });
  }

  #update(log: LogSource): void {
    this.#rows.update(log, this.#options.sections());
    const goal = this.#goal && this.#goal.line < log.end ? this.#goal : undefined;
    if (goal) this.#goNow(goal.line, goal.to, log);
    const held = this.#hold.isActive ? this.#held : undefined;
    // Again, because the box may have another size now, or the line may be in a folded step.
    if (held !== undefined) this.#rows.show(held);
    this.#rows.render(log, this.#search);
    if (goal && held !== undefined) this.#rows.focus(held);
    this.#draw();
    if (held !== undefined) this.#hold.keep(this.#rows.number(held));
  }

  #goNow(line: number, to: number, log: LogSource): void {
    this.#goal = undefined;
    if (line < log.start) {
      this.#setStatus(this.#words.say("log.gone", { number: String(line + 1) }));
      return;
    }
    this.#rows.marked = { from: line, to };
    this.#rows.show(line);
    this.#held = line;
  }

  /** Draw the parts around the lines, if they have changed. */
  #draw(): void {
    const { count, position, active } = this.#search;
    const { text, permanent } = this.#options.source();
    const number = (value: number) => this.#words.number(value);
    const more = this.#search.isCut ? "+" : this.#log && this.#search.isBehind(this.#log) ? "…" : "";
    const state = {
      follows: this.#rows.follows,
      wraps: this.#rows.wraps,
      times: this.#times,
      folds: this.#options.sections().some(({ start, end }) => end - start > 1)
        ? this.#rows.folds.some
        : undefined,
      copied: this.#markedLines(),
      progress: this.#isFull ? this.#options.progress() : undefined,
      cut: (this.#log?.start ?? 0) > 0,
      full: this.#isFull,
      file: text,
      permanent,
      fileName: this.#options.name(),
      searches: active,
      match: active ? `${position ? number(position) : "–"} / ${number(count)}${more}` : "",
      status: this.#status,
      statusHidden: this.#statusHidden,
    };
    const label = this.#words.named(this.#words.say("log"), this.#options.spec());
    const drawn = JSON.stringify([label, state]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#host.classList.toggle("wraps", state.wraps);
    this.#rows.box.setAttribute("aria-label", label);
    render(logTemplate(state, this.#words, this.#actions, this.#rows.box), this.#host);
  }

  /** @param hidden - whether the status is for screen readers only */
  #setStatus(text: string, hidden = false): void {
    this.#status = text;
    this.#statusHidden = hidden;
    clearTimeout(this.#statusTimer);
    this.#statusTimer = setTimeout(() => {
      this.#status = "";
      this.#draw();
    }, STATUS_DURATION);
    this.#draw();
  }

  #follow(follows: boolean): void {
    this.#rows.follows = follows;
    this.#goal = undefined;
    this.#schedule();
    this.#draw();
  }

  #wrap(wraps: boolean): void {
    this.#rows.wraps = wraps;
    this.#schedule();
    this.#draw();
  }

  #toggleTimes(): void {
    this.#times = !this.#times;
    if (this.#long) this.#long.showsTimes = this.#times;
    this.#rows.refresh();
    this.#schedule();
    this.#draw();
  }

  /** When a line was written, in the local time. */
  #time(line: number): string {
    const time = this.#times && this.#log?.time(line);
    return time ? CLOCK.format(1000 * time) : "";
  }

  #foldAll(): void {
    this.#rows.foldAll(!this.#rows.folds.some);
    this.#schedule();
    this.#draw();
  }

  #find(text: string): void {
    const from = this.#search.current?.line ?? this.#seeking ?? this.#rows.first;
    this.#search.begin(text);
    this.#seeking = text ? from : undefined;
    this.#schedule();
  }

  /** Select the first match of a new search. */
  #seek(log: LogSource): void {
    if (this.#seeking === undefined) return;
    if (this.#search.seek(this.#seeking, log)) this.#atMatch(log);
    else if (this.#search.isBehind(log)) return;
    else this.#setStatus(this.#words.say("log.search.none"), true);
    this.#seeking = undefined;
  }

  #move(step: 1 | -1): void {
    const log = this.#log;
    if (!log || !this.#search.move(step, this.#rows.first)) return;
    this.#seeking = undefined;
    this.#atMatch(log);
  }

  #atMatch(log: LogSource): void {
    const { current, position, count } = this.#search;
    if (!current) return;
    this.#rows.show(current.line);
    this.#update(log);
    this.#rows.showMatch();
    const values = { position: this.#words.number(position), count: this.#words.number(count) };
    this.#setStatus(this.#words.say("log.search.at", values), true);
  }

  #searchKey(event: KeyboardEvent): void {
    // Enter also confirms the composition of an input method.
    if (event.isComposing) return;
    if (event.key === "Enter") {
      event.preventDefault();
      this.#move(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape") {
      const field = event.target as HTMLInputElement;
      // If there is nothing to clear, Escape is for others, such as full screen.
      if (field.value) event.preventDefault();
      field.value = "";
      this.#find("");
      this.#rows.box.focus();
    }
  }

  #key(event: KeyboardEvent): void {
    const field = this.#host.querySelector<HTMLInputElement>(".log-field")!;
    // The second time, the browser's own search opens.
    if (event.target === field) return;
    const { altKey, ctrlKey, key, metaKey, target } = event;
    if (key === "Escape" && this.#host.popover !== null) this.#fillPage(false);
    // Lines may arrive, or turn out to be longer, while the browser scrolls.
    if (target === this.#rows.box && !altKey && !metaKey) {
      if (key === "End") this.#follow(true);
      if (key === "Home") this.#toStart(event);
    }
    const find = (ctrlKey || metaKey) && !altKey && key.toLowerCase() === "f";
    const slash = key === "/" && target === this.#rows.box;
    if (!find && !slash) return;
    event.preventDefault();
    field.focus();
    field.select();
  }

  #toStart(event: KeyboardEvent): void {
    event.preventDefault();
    this.#rows.show(this.#log?.start ?? 0);
    this.#schedule();
    this.#draw();
  }

  #clicked(line: number, event: MouseEvent): void {
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const from = event.shiftKey ? (this.#rows.marked?.from ?? line) : line;
    this.#mark(from, line, event);
  }

  /** Mark lines, and put them into the page's address if it is that of the launch. */
  #mark(from: number, to: number, event: Event): void {
    this.#rows.marked = { from, to };
    this.#rows.follows = false;
    this.#schedule();
    this.#draw();
    const [first, last] = [Math.min(from, to) + 1, Math.max(from, to) + 1];
    const href = new URL(this.#options.lineHref(first, last), location.href).href;
    // The line is visible already: do not scroll the page, and add no history entry.
    const isHere = href.split("#")[0] === location.href.split("#")[0];
    if (isHere || first !== last) event.preventDefault();
    if (isHere) history.replaceState(history.state, "", href);
  }

  /** @param isRange - whether the marked lines reach as far */
  #focusLine(line: number, isRange: boolean): void {
    if (!this.#log) return;
    const from = this.#rows.marked?.from ?? this.#rows.focused;
    if (isRange && from !== undefined) this.#mark(from, line, new Event("mark"));
    this.#rows.show(line);
    this.#update(this.#log);
    this.#rows.focus(line);
  }

  /** The marked lines, counted from 1, if there are several. */
  #markedLines(): [first: number, last: number] | undefined {
    const { from = 0, to = 0 } = this.#rows.marked ?? {};
    return from === to ? undefined : [Math.min(from, to) + 1, Math.max(from, to) + 1];
  }

  async #copy(): Promise<void> {
    const log = this.#log;
    if (!log) return;
    const [first, last] = this.#markedLines() ?? [log.start + 1, log.end];
    const copied = await copyText(plainLog(log, first - 1, last), this.#host);
    const lines = countText(this.#words, "log.lines", last - first + 1);
    this.#setStatus(copied ? this.#words.say("log.copied.lines", { lines }) : this.#words.say("log.copy.failed"));
  }

  async #download(): Promise<void> {
    if (this.#log) save(await plainLog(this.#log, this.#log.start, this.#log.end), this.#options.name());
  }

  get #isFull(): boolean {
    return this.#shadow.fullscreenElement === this.#host || this.#host.popover !== null;
  }

  async #toggleFull(): Promise<void> {
    // Not on iPhones, nor in frames without the permission: there, the log fills the page.
    if (!document.fullscreenEnabled) this.#fillPage(!this.#isFull);
    else await (this.#isFull ? document.exitFullscreen() : this.#host.requestFullscreen());
  }

  #fillPage(fills: boolean): void {
    this.#host.popover = fills ? "manual" : null;
    if (fills) this.#host.showPopover();
    this.#host.classList.toggle("full", fills);
    this.#draw();
  }
}
