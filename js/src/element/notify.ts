/**
 * System notifications for a server that becomes ready while its tab is hidden.
 */
import type { LocalizedText } from "../i18n/words";

/** Notifies users who want to be notified. */
export class Notifier {
  /** Whether the user wants to be notified; undefined if notifications are not available. */
  wanted: boolean | undefined;

  readonly #changed: (notice?: LocalizedText) => void;

  /** @param changed - called when `wanted` changes, with a notice if the user or browser refused */
  constructor(changed: (notice?: LocalizedText) => void) {
    this.#changed = changed;
    const isAvailable = window.isSecureContext && "Notification" in window;
    this.wanted = isAvailable && Notification.permission !== "denied" ? false : undefined;
  }

  /** Turn notifications on or off. Call it only in a click, or the browser will not ask the user. */
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

  /** Notify the user, if wanted and the page is hidden. A click on the notification shows the page. */
  notify(title: string, body: string, tag: string): void {
    if (!this.wanted || !document.hidden) return;
    let notification: Notification;
    try {
      notification = new Notification(title, { body, tag });
    } catch (error) {
      // Browsers on Android need a service worker for it, and report that only here.
      console.warn(error);
      return;
    }
    notification.onclick = () => {
      window.focus();
      notification.close();
    };
  }
}
