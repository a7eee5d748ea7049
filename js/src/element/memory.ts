/**
 * Remembers which launch an element has, in the browser's tab, so that a reload resumes it.
 *
 * Session storage belongs to one tab and one site. A duplicated tab gets a copy, and shows the same
 * launch until one of the two starts another.
 */
import { serverUrl } from "../wire/server-url";

/** What is remembered of a launch. */
export interface Remembered {
  id: string;
  /** What to open in the Jupyter server. An address of a repository may say that only when it is launched. */
  urlpath: string;
  /** Whether the Jupyter server was opened without a click, which must not be repeated. */
  opened?: boolean;
}

/** The keys of the elements in this page: several may launch the same. */
const taken = new Set<string>();

/** The memory of one element. */
export class Memory {
  #key = "";

  /** Choose the place for a server and a spec: the first one that no other element has. */
  choose(server: string, spec: string): void {
    taken.delete(this.#key);
    const place = `binderprogress ${serverUrl(server)} ${spec} `;
    let number = 0;
    while (taken.has(place + number)) number += 1;
    this.#key = place + number;
    taken.add(this.#key);
  }

  /** Give the place to another element of this page. What is remembered stays. */
  release(): void {
    taken.delete(this.#key);
    this.#key = "";
  }

  /** What is remembered; nothing if there is no place, or the browser allows no storage. */
  get value(): Remembered | undefined {
    try {
      const value = JSON.parse(sessionStorage.getItem(this.#key)!) as Remembered | null;
      return value?.id ? value : undefined;
    } catch (error) {
      // As in a sandboxed frame. A reload then forgets launches.
      console.warn(error);
      return undefined;
    }
  }

  set value(launch: Remembered | undefined) {
    if (!this.#key) return;
    try {
      if (launch) sessionStorage.setItem(this.#key, JSON.stringify(launch));
      else sessionStorage.removeItem(this.#key);
    } catch (error) {
      console.warn(error);
    }
  }
}
