/**
 * Counts the layers of an image that is pulled or pushed, with the server's own table. No DOM; loaded on
 * demand.
 */
import tables from "./tables.json";

/** The progress of a pull or push. */
export interface Layers {
  /** The key of the step. */
  key: string;
  /** The number of layers named so far. */
  total: number;
  done: number;
  /** The number of finished layers that existed before, and took no time. */
  there: number;
}

type State = "begun" | "done" | "there";

/** The steps that have layers. */
export const PULLING = "pulling-base";
export const PUSHING = "pushing";

const { most: MOST, patterns } = tables.layers;
const LINES = tables.layers.lines as [beginning: string, key: string, state: State][];
const [DOCKER, PODMAN, BUILDX] = [patterns.docker, patterns.podman, patterns.buildx].map(
  (pattern) => new RegExp(`^(?:${pattern})`),
) as [RegExp, RegExp, RegExp];
const PODMANS: Record<string, State> = { " done": "done", " skipped": "there" };

/** Counts layers line by line. Numbers never decrease. */
export class LayerReader {
  #counts = new Map([PULLING, PUSHING].map((key) => [key, new LayerCount(key)]));

  /** Read a line such as `4f50a35f1c79: Pull complete`. */
  docker(line: string): Layers | undefined {
    const [prefix, name = ""] = DOCKER.exec(line) ?? [];
    if (!prefix) return undefined;
    const entry = LINES.find(([beginning]) => line.startsWith(beginning, prefix.length));
    return entry && this.#counts.get(entry[1])?.take(name, entry[2]);
  }

  /** Read a line of BuildKit about a blob, or a layer that it extracts or pushes. */
  buildx(line: string): Layers | undefined {
    const [prefix, doing, name = "", size, time, done] = BUILDX.exec(line) ?? [];
    if (!prefix) return undefined;
    // A download: the layer is done when it is extracted.
    if (!doing) return size && time ? this.#counts.get(PULLING)?.take(name, "begun") : undefined;
    const key = doing.startsWith("extracting") ? PULLING : PUSHING;
    return this.#counts.get(key)?.take(name, done ? "done" : "begun");
  }

  /** Read a line such as `Copying blob sha256:…`. `key` says whether it is a pull or a push. */
  podman(line: string, key: string): Layers | undefined {
    const count = this.#counts.get(key);
    if (line.startsWith("Copying config ")) return count?.finish();
    const [prefix, name = "", end = ""] = PODMAN.exec(line) ?? [];
    return prefix ? count?.take(name, PODMANS[end] ?? "begun") : undefined;
  }
}

class LayerCount {
  readonly #key: string;
  #isDone = new Map<string, boolean>();
  #done = 0;
  #there = 0;

  constructor(key: string) {
    this.#key = key;
  }

  take(name: string, state: State): Layers | undefined {
    if (!this.#isDone.has(name)) {
      if (this.#isDone.size >= MOST) return undefined;
      this.#isDone.set(name, false);
    }
    if (state !== "begun" && !this.#isDone.get(name)) {
      this.#isDone.set(name, true);
      this.#done += 1;
      if (state === "there") this.#there += 1;
    }
    return { key: this.#key, total: this.#isDone.size, done: this.#done, there: this.#there };
  }

  /** Mark all layers as done. */
  finish(): Layers | undefined {
    if (!this.#isDone.size) return undefined;
    for (const name of this.#isDone.keys()) this.#isDone.set(name, true);
    this.#done = this.#isDone.size;
    return { key: this.#key, total: this.#done, done: this.#done, there: this.#there };
  }
}

/** Count the layers in a record of repo2docker about a push; nothing if they have another form. */
export function layersOf(layers: unknown): Layers | undefined {
  if (typeof layers !== "object" || layers === null || Array.isArray(layers)) return undefined;
  const states = Object.values(layers).slice(0, MOST).map(stateOf);
  if (!states.length) return undefined;
  const there = states.filter((state) => state === "there").length;
  const done = there + states.filter((state) => state === "done").length;
  return { key: PUSHING, total: states.length, done, there };
}

function stateOf(layer: unknown): State {
  const status = (layer as { status?: unknown } | null)?.status;
  if (typeof status !== "string") return "begun";
  return LINES.find(([beginning]) => status.startsWith(beginning))?.[2] ?? "begun";
}
