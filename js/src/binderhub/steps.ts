/**
 * Recognises the steps of a phase in the output of builders and JupyterHub, with the server's own
 * table, for plain BinderHubs. No DOM; loaded on demand.
 */
import more from "../i18n/catalogs/more/en.json";
import type { Phase } from "../wire/event";
import { commandOf } from "./instructions";
import { layersOf, LayerReader, type Layers, PULLING, PUSHING } from "./layers";
import tables from "./tables.json";
import type { Catalog } from "../i18n/words";

/** A step within a phase. */
export interface BuildStep {
  /** For programs and translations. */
  key: string;
  /** The label, in English. */
  label: string;
  /** The number of a step, or of a layer of a pull or push, counted from 1; otherwise 0. */
  index: number;
  /** The total number of steps or layers; otherwise 0. */
  total: number;
  /** The number of earlier layers that existed before, and took no time. */
  there?: number;
  /** Of a numbered step: what its instruction does. */
  command?: string;
  /** Whether its result was cached. */
  cached: boolean;
  /** The phase that the line implies, if any. */
  phase?: Phase;
}

const texts: Catalog = more;
const { patterns } = tables.steps;
const CLASSIC = atStart(patterns.classic);
const PODMAN = atStart(patterns.podman);
const BUILDX_STEP = atStart(patterns["buildx-step"]);
const BUILDX_CACHED = atStart(patterns["buildx-cached"]);
const BUILDX_END = atStart(patterns["buildx-end"]);
const BUILDPACK = atStart(patterns.buildpack);
const STAMP = atStart(tables.launch.stamp);
const BUILDPACKS = new Map(Object.entries(tables.steps.buildpacks));
const JUPYTERHUB = new Map(Object.entries(tables.launch.messages));

/** The prefixes of lines and their steps, by the first word. */
const BY_FIRST_WORD = new Map<string, [prefix: string, step: BuildStep][]>();
for (const [prefix, key, phase] of tables.steps.prefixes as [string, string, Phase | ""][]) {
  const word = firstWord(prefix);
  const others = BY_FIRST_WORD.get(word) ?? [];
  BY_FIRST_WORD.set(word, [...others, [prefix, named(key, phase || undefined)]]);
}

/** Recognises steps line by line. It counts layers, and knows the step of each buildx vertex. */
export class StepReader {
  #vertices = new Map<string, BuildStep>();
  #layers = new LayerReader();
  #last: BuildStep | undefined;

  /** Return the step that a line begins or finishes, if any. `layers` is that field of its record. */
  read(line: string, layers?: unknown): BuildStep | undefined {
    let step = this.#recognise(line);
    if (!step) return undefined;
    const counted = step.key === PUSHING && !step.total ? layersOf(layers) : undefined;
    if (counted) step = layerStep(counted);
    return (this.#last = step);
  }

  #recognise(line: string): BuildStep | undefined {
    if (line.startsWith("#")) return this.#buildx(line);
    if (line.startsWith("STEP ") || line.startsWith("[")) return valid(PODMAN.exec(line), line);
    if (line.startsWith("Step ")) return valid(CLASSIC.exec(line), line);
    const layers = line.startsWith(": ", 12) ? this.#layers.docker(line) : undefined;
    if (layers) return layerStep(layers);
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
    // Most lines are output of a command, after the seconds that it has been running.
    const text = line.slice(line.indexOf(" ") + 1);
    if (text.startsWith("[")) {
      const match = BUILDX_STEP.exec(line);
      const step = match && valid([match[0], match[2], match[3]], line);
      if (step) this.#vertices.set(match[1] ?? "", step);
      return step || undefined;
    }
    if (text.startsWith("CACHED")) {
      const cached = this.#vertices.get(BUILDX_CACHED.exec(line)?.[1] ?? "");
      return cached && { ...cached, cached: true };
    }
    if (/^(sha256:|extracting |pushing layer )/.test(text)) {
      const layers = this.#layers.buildx(line);
      return layers && layerStep(layers);
    }
    const end = BUILDX_END.exec(line)?.[1];
    if (!end) return undefined;
    return end === PUSHING ? named(PUSHING, "pushing") : named("saving");
  }

  /** Read podman's message for both pulls and pushes. After a build, it is a push. */
  #copying(line: string): BuildStep | undefined {
    const pushes = ["saving", PUSHING].includes(this.#last?.key ?? "");
    const layers = this.#layers.podman(line, pushes ? PUSHING : PULLING);
    if (!layers) return undefined;
    // Without a terminal, podman does not report finished layers, so there is no current layer.
    if (layers.done) return layerStep(layers);
    return pushes ? named(PUSHING, "pushing") : named(PULLING);
  }
}

/** Return the step that a message of JupyterHub begins, as a BinderHub passes it on. */
export function launchStep(message: string): BuildStep | undefined {
  let text = message.trim();
  const key = JUPYTERHUB.get(text);
  if (key) return named(key);
  text = text.replace(STAMP, "");
  const entry = tables.launch.prefixes.find(([prefix]) => text.startsWith(prefix!));
  return entry ? named(entry[1]!) : undefined;
}

/** Return the step "Step `index` of `total`". */
function numbered(index: number, total: number, command: string): BuildStep {
  const label = countedLabel("step", index, total);
  return { key: "step", label, index, total, cached: false, ...(command && { command }) };
}

function layerStep({ key, total, done, there }: Layers): BuildStep {
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

/** Validate the numbers: a repository can print anything, and "Step 9/3" is not a step. */
function valid(match: ArrayLike<string | undefined> | null, line: string): BuildStep | undefined {
  const [index, total] = [Number(match?.[1]), Number(match?.[2])];
  if (!(index >= 1 && index <= total)) return undefined;
  return numbered(index, total, commandOf(line.slice(match?.[0]?.length)));
}

function firstWord(line: string): string {
  const end = line.indexOf(" ");
  return end < 0 ? line : line.slice(0, end);
}

/** Compile a pattern that matches only at the beginning. */
function atStart(pattern: string): RegExp {
  return new RegExp(`^(?:${pattern})`);
}
