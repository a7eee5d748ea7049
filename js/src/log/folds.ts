/**
 * Which sections of a log are folded. No DOM.
 */

/** What the log displays of a section: the lines of a step. */
export interface LogSection {
  /** The first line, counted from 0. It stays visible. */
  start: number;
  /** The line after the last one. */
  end: number;
  /** What the step is. */
  label: string;
  /** How long it took, in words; empty while it runs. */
  took: string;
  /** How it ended and how long it took, in words; empty while it runs. */
  result: string;
  state: string;
}

/** The sections of a log, and which of them are folded. */
export class Folds {
  #sections: readonly LogSection[] = [];
  /** The first lines of folded sections. */
  readonly #folded = new Set<number>();

  /** Whether a section is folded. */
  get some(): boolean {
    return this.#folded.size > 0;
  }

  /**
   * Have other sections. Those that begin at the same lines stay folded.
   *
   * @returns the first line whose section changed; infinite if none did
   */
  update(sections: readonly LogSection[]): number {
    const before = this.#sections;
    this.#sections = sections;
    let same = 0;
    while (same < sections.length && isSame(before[same], sections[same]!)) same += 1;
    if (same === sections.length && same === before.length) return Number.POSITIVE_INFINITY;
    return Math.min(before[same]?.start ?? Infinity, sections[same]?.start ?? Infinity);
  }

  /** Forget all of them, for another log. */
  clear(): void {
    this.#sections = [];
    this.#folded.clear();
  }

  /** The section that begins at a line. */
  startingAt(line: number): LogSection | undefined {
    const section = this.#at(line);
    return section?.start === line ? section : undefined;
  }

  isFolded(section: LogSection): boolean {
    return this.#folded.has(section.start);
  }

  /** Whether a line is in a folded section, and not its first. */
  hides(line: number): boolean {
    if (!this.#folded.size) return false;
    const section = this.#at(line);
    return section !== undefined && section.start < line && this.isFolded(section);
  }

  /** Whether all lines of a range are hidden, or none; undefined if that has to be looked up. */
  hidesAll(from: number, to: number): boolean | undefined {
    if (!this.#folded.size) return false;
    const section = this.#at(from);
    if (!section) return from >= (this.#sections.at(-1)?.end ?? 0) ? false : undefined;
    return to <= section.end && from > section.start ? this.isFolded(section) : undefined;
  }

  /** Fold or unfold a section. */
  toggle(section: LogSection): void {
    if (!this.#folded.delete(section.start)) this.#folded.add(section.start);
  }

  /** Fold all sections with more than one line, or unfold all. */
  all(folded: boolean): void {
    this.#folded.clear();
    if (!folded) return;
    for (const { start, end } of this.#sections) if (end - start > 1) this.#folded.add(start);
  }

  /** Unfold the section with a line. */
  reveal(line: number): void {
    const section = this.#at(line);
    if (section) this.#folded.delete(section.start);
  }

  #at(line: number): LogSection | undefined {
    let [low, high] = [0, this.#sections.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#sections[middle]!.start <= line) low = middle + 1;
      else high = middle;
    }
    const section = this.#sections[low - 1];
    return section && line < section.end ? section : undefined;
  }
}

function isSame(before: LogSection | undefined, now: LogSection): boolean {
  return before?.start === now.start && before.end === now.end && before.result === now.result &&
    before.label === now.label;
}
