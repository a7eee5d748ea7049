/**
 * Layers of an image that is pulled or pushed: how many there are, and how many are done. As the
 * server counts them, by its own table. No DOM; loaded when wanted.
 */
import tables from "./tables.json";

/** How far a pull or a push is. */
export interface Layers {
  /** The step that they are layers of. */
  key: string;
  /** Layers that were named so far. */
  total: number;
  done: number;
  /** How many of those that are done were there already, and took no time. */
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

/** Counts layers line by line; a number never goes back. */
export class LayerReader {
  #counts = new Map([PULLING, PUSHING].map((key) => [key, new Count(key)]));

  /** A line such as `4f50a35f1c79: Pull complete`. */
  docker(line: string): Layers | undefined {
    const [whole, name = ""] = DOCKER.exec(line) ?? [];
    if (!whole) return undefined;
    const found = LINES.find(([beginning]) => line.startsWith(beginning, whole.length));
    return found && this.#counts.get(found[1])?.take(name, found[2]);
  }

  /** A line of BuildKit's about a blob, a layer that it extracts, or one it pushes. */
  buildx(line: string): Layers | undefined {
    const [whole, doing, name = "", size, time, done] = BUILDX.exec(line) ?? [];
    if (!whole) return undefined;
    // A download; it is done when it is extracted.
    if (!doing) return size && time ? this.#counts.get(PULLING)?.take(name, "begun") : undefined;
    const key = doing.startsWith("extracting") ? PULLING : PUSHING;
    return this.#counts.get(key)?.take(name, done ? "done" : "begun");
  }

  /** A line such as `Copying blob sha256:…`, which does not say which way: `key` does. */
  podman(line: string, key: string): Layers | undefined {
    const count = this.#counts.get(key);
    if (line.startsWith("Copying config ")) return count?.finish();
    const [whole, name = "", end = ""] = PODMAN.exec(line) ?? [];
    return whole ? count?.take(name, PODMANS[end] ?? "begun") : undefined;
  }
}

class Count {
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

  /** All that have begun are done. */
  finish(): Layers | undefined {
    if (!this.#isDone.size) return undefined;
    for (const name of this.#isDone.keys()) this.#isDone.set(name, true);
    this.#done = this.#isDone.size;
    return { key: this.#key, total: this.#done, done: this.#done, there: this.#there };
  }
}

/** What a record of repo2docker's says of the layers of a push; anything else says nothing. */
export function inRecord(layers: unknown): Layers | undefined {
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
