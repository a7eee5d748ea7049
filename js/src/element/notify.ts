/**
 * A notification of the system when a server gets ready in a tab that nobody looks at.
 */
import type { Said } from "../i18n/words";

/** Knows whether a person wants it, and says it. */
export class Notifier {
  /** Nothing where it cannot be had: then it is not offered. */
  wanted: boolean | undefined;

  readonly #changed: (notice?: Said) => void;

  /** @param changed - called with what to say if it cannot be had after all */
  constructor(changed: (notice?: Said) => void) {
    this.#changed = changed;
    const can = window.isSecureContext && "Notification" in window;
    this.wanted = can && Notification.permission !== "denied" ? false : undefined;
  }

  /** Want it, or not any more. Only ever called from a click: then the browser may ask. */
  async toggle(): Promise<void> {
    if (this.wanted) {
      this.wanted = false;
      this.#changed();
      return;
    }
    const granted = (await Notification.requestPermission()) === "granted";
    this.wanted = granted || undefined;
    this.#changed(granted ? undefined : { key: "notify.denied" });
  }

  /** Say it, if it is wanted and nobody looks; a click on it leads back here. */
  tell(title: string, body: string, tag: string): void {
    if (!this.wanted || !document.hidden) return;
    let notification: Notification;
    try {
      notification = new Notification(title, { body, tag });
    } catch (error) {
      // Android's browsers want a service worker for it, and say so only now.
      console.warn(error);
      return;
    }
    notification.onclick = () => {
      window.focus();
      notification.close();
    };
  }
}
