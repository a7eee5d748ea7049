/**
 * A notification of the system when a server gets ready in a tab that nobody looks at. Loaded when
 * a person asks for it.
 */

/** Say it, if nobody looks; a click on it leads back here. */
export function notify(title: string, body: string, tag: string): void {
  if (!document.hidden) return;
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
