/**
 * Keeps the keyboard focus in a useful place while the element's content changes.
 */
import type { ReactiveController, ReactiveControllerHost } from "lit";

/** The ids of elements that may get the focus. */
export interface FocusTargets {
  /** A new element that the user has been waiting for; may be empty. */
  awaited: string;
  /** The replacement for a focused element that disappears. */
  fallback: string;
}

/** Moves the focus when the content changes, and only then. */
export class FocusKeeper implements ReactiveController {
  readonly #host: ReactiveControllerHost & HTMLElement;
  readonly #targets: () => FocusTargets;
  #focused: Element | null = null;
  #isLost = false;
  #awaited = "";

  constructor(host: ReactiveControllerHost & HTMLElement, targets: () => FocusTargets) {
    this.#host = host;
    this.#targets = targets;
    host.addController(this);
  }

  hostUpdate(): void {
    this.#focused = this.#host.shadowRoot?.activeElement ?? null;
  }

  hostUpdated(): void {
    const { awaited, fallback } = this.#targets();
    const focused = this.#focused;
    if (awaited !== this.#awaited) {
      this.#awaited = awaited;
      if (awaited && this.#mayMoveFrom(focused)) {
        this.#find(awaited)?.focus();
        return;
      }
    }
    // A button that disappears must not take the focus with it.
    this.#isLost ||=
      focused instanceof HTMLElement && (focused.hidden !== false || !focused.isConnected);
    if (!this.#isLost) return;
    // The replacement may not have been loaded yet.
    const target = this.#find(fallback);
    this.#isLost = !target;
    target?.focus({ preventScroll: true });
  }

  /** Whether the focus may move: not while the user reads the log, or is elsewhere in the page. */
  #mayMoveFrom(focused: Element | null): boolean {
    if (focused) return !this.#find("log")?.contains(focused);
    return this.#host.hasAttribute("autostart") && document.activeElement === document.body;
  }

  #find(id: string): HTMLElement | null | undefined {
    return this.#host.shadowRoot?.querySelector<HTMLElement>(`#${id}`);
  }
}
