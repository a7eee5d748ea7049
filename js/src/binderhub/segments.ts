/**
 * The steps of a log, and which of them failed; as `core/log/segments.py` does it, by its tables.
 * No DOM.
 */
import tables from "./tables.json";

/** A line of the log. */
export interface Line {
  text: string;
  /** Whether the program that the step runs has printed it, and not the builder. */
  printed: boolean;
}

/** The lines of one step. */
export interface Segment {
  /** Empty: it is not known. */
  kind: string;
  /** The instruction or the command. */
  title: string;
  lines: Line[];
  failed: boolean;
}

/** A log that was read. */
export interface Log {
  /** The step that failed. */
  segment: Segment;
  /** The command that failed and its exit code, where a builder says so. */
  command: string;
  code: string;
  /** What repo2docker says of the failure in its own words. */
  said: string;
  /** Whether the repository has its own Dockerfile. */
  dockerfile: boolean;
  /** The line of the Dockerfile that failed, from 1; 0: not known. */
  dockerfileLine: number;
}

const { commands, files, patterns, starts } = tables.segments;
const AT_START = Object.fromEntries(
  Object.entries(patterns).map(([name, text]) => [name, new RegExp(`^(?:${text})`)]),
) as Record<keyof typeof patterns, RegExp>;
const KINDS = commands.map(([kind, text]) => ({ kind: kind!, pattern: new RegExp(text!) }));
const FILES = files.map((text) => new RegExp(text));
const FETCHING = ["", "fetch", "submodule"];
const FAILED_TO = ["ERROR: failed to solve: ", "ERROR: failed to build: "];
const VERDICTS = ["command_classic", "command_buildkit", "command_podman", "command_local"] as const;

/** Split a log, a line at a time, and find the step that failed. */
export function readLog(lines: readonly string[], kind: string): Log {
  const reader = new Reader(kind);
  for (const line of lines) reader.read(line);
  return reader.log();
}

/** The file of the repository that a step installs from; empty: not known. */
export function fileOf({ title }: Segment): string {
  for (const pattern of FILES) {
    const match = pattern.exec(title);
    if (match) return match[1]!.replace(/^\.\//, "");
  }
  return "";
}

/** An event of Kubernetes without its time; other lines as they are. */
export function withoutStamp(text: string): string {
  return text.replace(AT_START.event, "");
}

/** Whether a line says nothing to people. */
export function isNoise(text: string): boolean {
  const shown = text.slice(lengthOf(text, " \t"));
  return !shown || AT_START.noise.test(shown);
}

function kindOf(instruction: string): string {
  const word = instruction.split(" ", 1)[0]!.toUpperCase();
  if (word === "FROM" || instruction.includes("load metadata for")) return "from";
  if (word === "COPY" || word === "ADD") return "copy";
  if (/^(?:exporting to|pushing) /.test(instruction)) return "push";
  return KINDS.find(({ pattern }) => pattern.test(instruction))?.kind ?? "run";
}

class Reader {
  #segment: Segment;
  readonly #segments: Segment[];
  readonly #vertices = new Map<string, Segment>();
  readonly #verdicts: Line[] = [];
  #inRecap = false;
  readonly #log: Log;

  constructor(kind: string) {
    this.#segment = { kind, title: "", lines: [], failed: false };
    this.#segments = [this.#segment];
    this.#log = {
      segment: this.#segment,
      command: "",
      code: "",
      said: "",
      dockerfile: false,
      dockerfileLine: 0,
    };
  }

  read(line: string): void {
    const text = AT_START.stamp.exec(line)?.[1] ?? line;
    const vertex = text.startsWith("#") ? AT_START.vertex.exec(text) : null;
    if (vertex) this.#vertex(vertex[1]!, vertex[3]!, Boolean(vertex[2]));
    else if (!this.#isRepeated(text)) this.#plain(text);
  }

  log(): Log {
    const failed = this.#segments.filter((segment) => segment.failed);
    const withLines = this.#segments.filter(({ lines, title }) => lines.length || title);
    const segment = (failed.length ? failed : withLines.length ? withLines : this.#segments).at(-1)!;
    segment.lines = [...segment.lines, ...this.#verdicts];
    return { ...this.#log, segment };
  }

  #vertex(name: string, text: string, printed: boolean): void {
    let segment = this.#vertices.get(name);
    if (!segment) {
      segment = { kind: "run", title: "", lines: [], failed: false };
      this.#vertices.set(name, segment);
      this.#segments.push(segment);
    }
    this.#segment = segment;
    const title = titleOf(text);
    if (printed) segment.lines.push({ text, printed: true });
    else if (text.startsWith("ERROR: ")) {
      segment.failed = true;
      if (!this.#conclude(text, segment)) segment.lines.push({ text: text.slice(7), printed: true });
    } else if (title && !segment.title) {
      segment.title = title;
      segment.kind = kindOf(title);
    } else if (text.startsWith("pushing ")) segment.kind = "push";
  }

  #isRepeated(text: string): boolean {
    const known = this.#vertices.size > 0;
    if (text === "------") {
      this.#inRecap = !this.#inRecap && known;
      return known;
    }
    if (this.#inRecap) return true;
    if (!known) return false;
    if (AT_START.context.test(text)) return true;
    const match = AT_START.dockerfile.exec(text);
    if (match) {
      this.#log.dockerfileLine = Number(match[1]);
      return true;
    }
    return /^-+$/.test(text);
  }

  #plain(text: string): void {
    const instruction = AT_START.instruction.exec(text)?.[1];
    const builder = AT_START.builder.exec(text)?.[1];
    if (instruction !== undefined) this.#begin(kindOf(instruction), instruction);
    else if (builder !== undefined) {
      this.#log.dockerfile = builder.includes("Docker");
      this.#begin("detect", text);
    } else {
      const kind = this.#started(text);
      if (kind !== undefined) {
        if (kind !== this.#segment.kind) this.#begin(kind, text);
        this.#segment.lines.push({ text, printed: false });
      } else if (!this.#conclude(text, this.#segment)) {
        this.#segment.lines.push({ text, printed: true });
      }
    }
  }

  #begin(kind: string, title: string): void {
    this.#segment = { kind, title, lines: [], failed: false };
    this.#segments.push(this.#segment);
  }

  #started(text: string): string | undefined {
    const kind = starts.find(([beginning]) => text.startsWith(beginning!))?.[1];
    // What a postBuild clones is not the repository.
    const inner = FETCHING.includes(kind ?? "") && !FETCHING.includes(this.#segment.kind);
    return inner ? undefined : kind;
  }

  #conclude(text: string, segment: Segment): boolean {
    for (const name of VERDICTS) {
      const match = AT_START[name].exec(text);
      if (!match) continue;
      this.#log.command = short(match[1]!);
      this.#log.code = match[2]!;
      if (!segment.title && name !== "command_local") {
        segment.title = match[1]!;
        segment.kind ||= kindOf(match[1]!);
      }
      return this.#addVerdict(text);
    }
    const said = AT_START.repo2docker.exec(text)?.[1];
    if (said !== undefined) {
      if (!AT_START.repo2docker_command.test(said)) {
        this.#log.said = stripped(said, " \t");
      }
      return this.#addVerdict(text);
    }
    return FAILED_TO.some((beginning) => text.startsWith(beginning)) && this.#addVerdict(text);
  }

  #addVerdict(text: string): true {
    this.#verdicts.push({ text, printed: false });
    return true;
  }
}

function titleOf(text: string): string {
  const title = AT_START.vertex_title.exec(text)?.[1];
  if (title !== undefined) return title;
  return text.startsWith("exporting to ") ? text : "";
}

function short(command: string): string {
  const inner = command
    .replace(/^\/bin\/sh -c /, "")
    .replace(/^TIMEFORMAT='time: %3R' bash -c 'time /, "");
  return stripped(inner, " '");
}

/** How many characters at the beginning of a text are some of these. */
export function lengthOf(text: string, characters: string): number {
  let length = 0;
  while (length < text.length && characters.includes(text[length]!)) length += 1;
  return length;
}

/** Where the text ends without some of these at its end. Not by a pattern: that takes quadratic time. */
export function endOf(text: string, characters: string): number {
  let end = text.length;
  while (end && characters.includes(text[end - 1]!)) end -= 1;
  return end;
}

/** A text without some characters at its beginning and its end. */
export function stripped(text: string, characters: string): string {
  const rest = text.slice(lengthOf(text, characters));
  return rest.slice(0, endOf(rest, characters));
}
