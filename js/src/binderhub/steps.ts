/**
 * Steps: what goes on within a phase, recognised in the lines that builders and Hubs print, as the
 * server does it and by its own table: for plain BinderHubs. No DOM; loaded when wanted.
 */
import more from "../i18n/catalogs/more/en.json";
import type { Phase } from "../wire/event";
import { inRecord, LayerReader, type Layers, PULLING, PUSHING } from "./layers";
import tables from "./tables.json";
import type { Catalog } from "../i18n/words";

/** The finer label within a phase. */
export interface BuildStep {
  /** For programs and translations. */
  key: string;
  /** For people, in English. */
  label: string;
  /** Of numbered steps, and of the layers of a pull or push, which; else 0. */
  index: number;
  /** … of how many; else 0. */
  total: number;
  /** Of layers, how many of those before it were there already, and took no time. */
  there?: number;
  /** Whether its result was there already. */
  cached: boolean;
  /** The phase that the line gives away, where it does. */
  phase?: Phase;
}

const texts: Catalog = more;
const { patterns } = tables.steps;
const CLASSIC = start(patterns.classic);
const PODMAN = start(patterns.podman);
const BUILDX_STEP = start(patterns["buildx-step"]);
const BUILDX_CACHED = start(patterns["buildx-cached"]);
const BUILDX_END = start(patterns["buildx-end"]);
const BUILDPACK = start(patterns.buildpack);
const STAMP = start(tables.launch.stamp);
const BUILDPACKS = new Map(Object.entries(tables.steps.buildpacks));
const HUB = new Map(Object.entries(tables.launch.messages));

/** The beginning of a line and what it says, by the line's first word. */
const BY_FIRST_WORD = new Map<string, [prefix: string, step: BuildStep][]>();
for (const [prefix, key, phase] of tables.steps.prefixes as [string, string, Phase | ""][]) {
  const word = firstWord(prefix);
  const known = BY_FIRST_WORD.get(word) ?? [];
  BY_FIRST_WORD.set(word, [...known, [prefix, named(key, phase || undefined)]]);
}

/** Recognises steps line by line; it remembers layers, and which buildx vertex is which step. */
export class StepReader {
  #vertices = new Map<string, [index: number, total: number]>();
  #layers = new LayerReader();
  #last: BuildStep | undefined;

  /** The step that a line begins or finishes, if it does either; `layers` is its record's. */
  read(line: string, layers?: unknown): BuildStep | undefined {
    let step = this.#recognise(line);
    if (!step) return undefined;
    const found = step.key === PUSHING && !step.total ? inRecord(layers) : undefined;
    if (found) step = ofLayers(found);
    return (this.#last = step);
  }

  #recognise(line: string): BuildStep | undefined {
    if (line.startsWith("#")) return this.#buildx(line);
    if (line.startsWith("STEP ") || line.startsWith("[")) return valid(PODMAN.exec(line));
    if (line.startsWith("Step ")) return valid(CLASSIC.exec(line));
    const layers = line.startsWith(": ", 12) ? this.#layers.docker(line) : undefined;
    if (layers) return ofLayers(layers);
    if (line.startsWith("--> Using cache") || line.startsWith(" ---> Using cache")) {
      return this.#last?.total ? { ...this.#last, cached: true } : undefined;
    }
    const word = firstWord(line);
    for (const [prefix, step] of BY_FIRST_WORD.get(word) ?? []) {
      if (line.startsWith(prefix)) return step;
    }
    if (word === "Copying") return this.#copying(line);
    const name = word === "Using" ? BUILDPACK.exec(line)?.[1] : undefined;
    return name ? named("detected", "building", BUILDPACKS.get(name) ?? name) : undefined;
  }

  #buildx(line: string): BuildStep | undefined {
    // Most lines are the output of a command, behind the seconds that it has run.
    const said = line.slice(line.indexOf(" ") + 1);
    if (said.startsWith("[")) {
      const [, vertex = "", index, total] = BUILDX_STEP.exec(line) ?? [];
      const step = valid([line, index, total]);
      if (step) this.#vertices.set(vertex, [step.index, step.total]);
      return step;
    }
    if (said.startsWith("CACHED")) {
      const cached = this.#vertices.get(BUILDX_CACHED.exec(line)?.[1] ?? "");
      return cached && numbered(...cached, true);
    }
    if (/^(sha256:|extracting |pushing layer )/.test(said)) {
      const found = this.#layers.buildx(line);
      return found && ofLayers(found);
    }
    const end = BUILDX_END.exec(line)?.[1];
    if (!end) return undefined;
    return end === PUSHING ? named(PUSHING, "pushing") : named("saving");
  }

  /** What podman says of a pull and of a push alike: after a build, it is a push. */
  #copying(line: string): BuildStep | undefined {
    const pushes = ["saving", PUSHING].includes(this.#last?.key ?? "");
    const found = this.#layers.podman(line, pushes ? PUSHING : PULLING);
    if (!found) return undefined;
    // Without a terminal it tells of no end: then nobody knows which layer it is at.
    if (found.done) return ofLayers(found);
    return pushes ? named(PUSHING, "pushing") : named(PULLING);
  }
}

/** The step that a message of a Hub begins, as a BinderHub hands it on. */
export function launchStep(message: string): BuildStep | undefined {
  let text = message.trim();
  const known = HUB.get(text);
  if (known) return named(known);
  text = text.replace(STAMP, "");
  const found = tables.launch.prefixes.find(([prefix]) => text.startsWith(prefix!));
  return found ? named(found[1]!) : undefined;
}

/** The step "Step `index` of `total`". */
export function numbered(index: number, total: number, cached = false): BuildStep {
  return { key: "step", label: countedLabel("step", index, total), index, total, cached };
}

function ofLayers({ key, total, done, there }: Layers): BuildStep {
  const index = Math.min(done + 1, total);
  const label = countedLabel(key, index, total);
  const step = { key, label, index, total, cached: false, there };
  return key === PUSHING ? { ...step, phase: "pushing" } : step;
}

function countedLabel(key: string, index: number, total: number): string {
  return labelOf(`${key}.numbered`)
    .replace("{index}", String(index))
    .replace("{total}", String(total));
}

function named(key: string, phase?: Phase, name = ""): BuildStep {
  const label = labelOf(key).replace("{name}", name);
  return { key, label, index: 0, total: 0, cached: false, ...(phase && { phase }) };
}

function labelOf(key: string): string {
  return texts[`step.${key}`] ?? key;
}

/** A repository may print what it likes: "Step 9/3" is not a step. */
function valid(match: ArrayLike<string | undefined> | null): BuildStep | undefined {
  const [index, total] = [Number(match?.[1]), Number(match?.[2])];
  return index >= 1 && index <= total ? numbered(index, total) : undefined;
}

function firstWord(line: string): string {
  const end = line.indexOf(" ");
  return end < 0 ? line : line.slice(0, end);
}

/** A pattern that is looked for at the beginning only. */
function start(pattern: string): RegExp {
  return new RegExp(`^(?:${pattern})`);
}
