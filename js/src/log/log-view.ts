/**
 * The log that a person reads: its lines, search, and buttons. Loaded when the log is opened.
 */
import { nothing, render } from "lit";
import more from "../i18n/catalogs/more/en.json";
import type { LogBuffer } from "./lines";
import { LogRows } from "./rows";
import { LogSearch } from "./search";
import { type LogActions, logTemplate } from "./template";
import { copyText, plainLog, save } from "./text";
import styles from "./log-view.css?inline";
import { learn, type Words } from "../i18n/words";

learn(more);

/** How long it searches in a frame, in milliseconds: the rest is for drawing. */
const SLICE = 8;

/** How long it says what was done, in milliseconds. */
const SAID_FOR = 4000;

/** What {@link LogView} needs to know. */
export interface LogViewOptions {
  words: Words;
  /** Where the whole log is: `text` is its address as plain text, if there is one. */
  source(): { text?: string };
  /** The name of the file that is downloaded. */
  name(): string;
  /** The address of a line, counted from 1. */
  lineHref(line: number): string;
}

/** Shows a log in an element. */
export class LogView {
  readonly #host: HTMLElement;
  readonly #shadow: ShadowRoot;
  readonly #options: LogViewOptions;
  readonly #sheet = new CSSStyleSheet();
  readonly #search = new LogSearch();
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
    copy: () => void this.#copy(),
    download: () => void this.#download(),
    full: () => void this.#toggleFull().catch(console.error),
  };
  readonly #listening = new AbortController();

  #words: Words;
  #log: LogBuffer | undefined;
  #drawn = "";
  #said = "";
  #seen = false;
  #saying: ReturnType<typeof setTimeout> | undefined;
  #frame = 0;
  /** From which line on the first match of a new search is wanted. */
  #seeking: number | undefined;
  /** The line to show as soon as it is there, counted from 0, and what had the focus by then. */
  #goal: { line: number; focused: Element | null } | undefined;

  /**
   * @param host - an empty element that this fills
   * @param shadow - the shadow tree it is in, which gets the style
   */
  constructor(host: HTMLElement, shadow: ShadowRoot, options: LogViewOptions) {
    this.#host = host;
    this.#shadow = shadow;
    this.#options = options;
    this.#words = options.words;
    this.#sheet.replaceSync(styles);
    shadow.adoptedStyleSheets = [...shadow.adoptedStyleSheets, this.#sheet];
    this.#rows = new LogRows({
      changed: () => this.#schedule(),
      clicked: (line, event) => this.#clicked(line, event),
      stepped: (line) => this.#focusLine(line),
      href: (line) => options.lineHref(line),
      label: (line) => this.#words.say("log.line", { number: String(line) }),
      more: () => this.#words.say("log.more"),
    });
    host.classList.add("log-view");
    const { signal } = this.#listening;
    host.addEventListener("keydown", (event) => this.#key(event), { signal });
    host.addEventListener("fullscreenchange", () => this.#draw(), { signal });
    this.#draw();
  }

  /** The language of what is around the lines. */
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

  /**
   * Show what changed since the last time; nothing is done while it cannot be seen.
   *
   * @param log - another one than before: that of a new launch
   */
  render(log: LogBuffer): void {
    if (log !== this.#log) this.#search.restart();
    this.#log = log;
    if (!this.#host.checkVisibility()) return;
    this.#update(log);
    if (this.#search.isBehind(log)) this.#schedule();
  }

  /**
   * Show a line, mark it and give it the focus; it does not follow the end any more. A line that has
   * not come yet is shown when it comes.
   *
   * @param line - counted from 1
   */
  goTo(line: number): void {
    this.#goal = { line: line - 1, focused: document.activeElement };
    this.#schedule();
  }

  /** Take everything back. */
  dispose(): void {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#saying);
    this.#log = undefined;
    this.#listening.abort();
    this.#rows.dispose();
    render(nothing, this.#host);
    this.#host.classList.remove("log-view");
    const others = this.#shadow.adoptedStyleSheets.filter((sheet) => sheet !== this.#sheet);
    this.#shadow.adoptedStyleSheets = others;
  }

  /** Draw at the next frame, though nobody may call {@link render} by then. */
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

  #update(log: LogBuffer): void {
    const goal = this.#goal && this.#goal.line < log.end ? this.#goal : undefined;
    if (goal) this.#reach(goal.line, log);
    this.#rows.render(log, this.#search);
    if (goal?.focused === document.activeElement) this.#rows.focus(goal?.line ?? -1, { reveal: true });
    this.#draw();
  }

  #reach(line: number, log: LogBuffer): void {
    this.#goal = undefined;
    if (line < log.start) {
      this.#say(this.#words.say("log.gone", { number: String(line + 1) }));
      return;
    }
    this.#rows.marked = line;
    this.#rows.show(line);
  }

  /** What is around the lines, if it is not as it was. */
  #draw(): void {
    const { count, position, active } = this.#search;
    const { text } = this.#options.source();
    const number = (value: number) => this.#words.number(value);
    const behind = this.#log && this.#search.isBehind(this.#log) ? "…" : "";
    const shown = {
      follows: this.#rows.follows,
      cut: (this.#log?.start ?? 0) > 0,
      full: this.#canFill ? this.#isFull : undefined,
      file: text,
      fileName: this.#options.name(),
      searches: active,
      match: active ? `${position ? number(position) : "–"} / ${number(count)}${behind}` : "",
      said: this.#said,
      seen: this.#seen,
    };
    const drawn = JSON.stringify(shown);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.#rows.box.setAttribute("aria-label", this.#words.say("log"));
    render(logTemplate(shown, this.#words, this.#actions, this.#rows.box), this.#host);
  }

  /** @param seen - whether it is only for those who do not see the page */
  #say(text: string, seen = false): void {
    this.#said = text;
    this.#seen = seen;
    clearTimeout(this.#saying);
    this.#saying = setTimeout(() => {
      this.#said = "";
      this.#draw();
    }, SAID_FOR);
    this.#draw();
  }

  #follow(follows: boolean): void {
    this.#rows.follows = follows;
    this.#goal = undefined;
    this.#schedule();
    this.#draw();
  }

  #find(text: string): void {
    const from = this.#search.current?.line ?? this.#seeking ?? this.#rows.first;
    this.#search.begin(text);
    this.#seeking = text ? from : undefined;
    this.#schedule();
  }

  /** After a text was typed: the first match that there is. */
  #seek(log: LogBuffer): void {
    if (this.#seeking === undefined) return;
    if (this.#search.seek(this.#seeking, log)) this.#atMatch(log);
    else if (this.#search.isBehind(log)) return;
    else this.#say(this.#words.say("log.search.none"), true);
    this.#seeking = undefined;
  }

  #move(step: 1 | -1): void {
    const log = this.#log;
    if (!log || !this.#search.move(step, this.#rows.first)) return;
    this.#seeking = undefined;
    this.#atMatch(log);
  }

  #atMatch(log: LogBuffer): void {
    const { current, position, count } = this.#search;
    if (!current) return;
    this.#rows.show(current.line);
    this.#update(log);
    this.#rows.showMatch();
    const values = { position: this.#words.number(position), count: this.#words.number(count) };
    this.#say(this.#words.say("log.search.at", values), true);
  }

  #searchKey(event: KeyboardEvent): void {
    // Enter chooses a word where one is typed by its sound.
    if (event.isComposing) return;
    if (event.key === "Enter") {
      event.preventDefault();
      this.#move(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape") {
      const field = event.target as HTMLInputElement;
      // An empty one has nothing to clear: the key is for whoever is around, as full screen.
      if (field.value) event.preventDefault();
      field.value = "";
      this.#find("");
      this.#rows.box.focus();
    }
  }

  #key(event: KeyboardEvent): void {
    const field = this.#host.querySelector<HTMLInputElement>(".log-field")!;
    // There already: the second time it is the browser's own search.
    if (event.target === field) return;
    const { altKey, ctrlKey, key, metaKey, target } = event;
    // Lines may come while the browser scrolls: its end would not be the log's any more.
    if (key === "End" && target === this.#rows.box && !altKey && !metaKey) this.#follow(true);
    const find = (ctrlKey || metaKey) && !altKey && key.toLowerCase() === "f";
    const slash = key === "/" && target === this.#rows.box;
    if (!find && !slash) return;
    event.preventDefault();
    field.focus();
    field.select();
  }

  #clicked(line: number, event: MouseEvent): void {
    if (event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const { href } = event.target as HTMLAnchorElement;
    this.#rows.marked = line;
    this.#rows.follows = false;
    this.#schedule();
    // It is in view: the page must not be moved to it, and going back must not go through lines.
    if (href.split("#")[0] !== location.href.split("#")[0]) return;
    event.preventDefault();
    history.replaceState(history.state, "", href);
  }

  #focusLine(line: number): void {
    if (!this.#log) return;
    this.#rows.show(line);
    this.#update(this.#log);
    this.#rows.focus(line);
  }

  async #copy(): Promise<void> {
    if (!this.#log) return;
    const copied = await copyText(plainLog(this.#log), this.#host);
    this.#say(this.#words.say(copied ? "log.copied" : "log.copy.failed"));
  }

  async #download(): Promise<void> {
    if (this.#log) save(await plainLog(this.#log), this.#options.name());
  }

  /** Not on telephones of Apple, nor in frames that were not allowed to. */
  get #canFill(): boolean {
    return document.fullscreenEnabled;
  }

  get #isFull(): boolean {
    return this.#shadow.fullscreenElement === this.#host;
  }

  async #toggleFull(): Promise<void> {
    await (this.#isFull ? document.exitFullscreen() : this.#host.requestFullscreen());
  }
}
