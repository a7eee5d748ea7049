/**
 * Keeps the keyboard's focus where it helps while an element changes what it shows.
 */
import type { ReactiveController, ReactiveControllerHost } from "lit";

/** Where the focus goes: the ids of what may take it. */
export interface FocusTargets {
  /** Something new that one waited for; empty: nothing. */
  wanted: string;
  /** What takes it from something that vanished. */
  fallback: string;
}

/** Moves the focus when what is shown changes, and only then. */
export class FocusKeeper implements ReactiveController {
  readonly #host: ReactiveControllerHost & HTMLElement;
  readonly #targets: () => FocusTargets;
  #had: Element | null = null;
  #lost = false;
  #wanted = "";

  constructor(host: ReactiveControllerHost & HTMLElement, targets: () => FocusTargets) {
    this.#host = host;
    this.#targets = targets;
    host.addController(this);
  }

  hostUpdate(): void {
    this.#had = this.#host.shadowRoot?.activeElement ?? null;
  }

  hostUpdated(): void {
    const { wanted, fallback } = this.#targets();
    const had = this.#had;
    if (wanted !== this.#wanted) {
      this.#wanted = wanted;
      if (wanted && this.#isFree(had)) {
        this.#find(wanted)?.focus();
        return;
      }
    }
    // A button that vanishes must not take the focus with it.
    this.#lost ||= had instanceof HTMLElement && (had.hidden !== false || !had.isConnected);
    if (!this.#lost) return;
    // What takes it may still be on its way.
    const target = this.#find(fallback);
    this.#lost = !target;
    target?.focus({ preventScroll: true });
  }

  /** Whether the focus may be taken: not from someone who reads the log, or is elsewhere. */
  #isFree(had: Element | null): boolean {
    if (had) return !this.#find("log")?.contains(had);
    return this.#host.hasAttribute("autostart") && document.activeElement === document.body;
  }

  #find(id: string): HTMLElement | null | undefined {
    return this.#host.shadowRoot?.querySelector<HTMLElement>(`#${id}`);
  }
}
