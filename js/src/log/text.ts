/**
 * The log as one plain text, for files and the clipboard.
 */
import type { LogBuffer } from "./lines";
import { plainText } from "./plain-text";

/** How long it works before the page may do something else, in milliseconds. */
const SLICE = 8;

/** All lines that are kept, as they are now, without escape sequences. */
export async function plainLog(log: LogBuffer): Promise<Blob> {
  const parts: string[] = [];
  const { end } = log;
  let number = log.start;
  while (number < end) {
    const until = performance.now() + SLICE;
    let part = "";
    while (number < end && performance.now() < until) {
      part += `${plainText(log.line(number))}\n`;
      number += 1;
    }
    parts.push(part);
    await new Promise((resolve) => setTimeout(resolve));
    // Meanwhile the oldest may have been dropped.
    number = Math.max(number, log.start);
  }
  return new Blob(parts, { type: "text/plain;charset=utf-8" });
}

/** Let the browser save a text under a name. */
export function save(text: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(text);
  link.download = name;
  link.click();
  // Not at once: Safari has not begun to read it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/**
 * Copy a text.
 *
 * @param text - a promise: the browser must be asked within the click
 * @param place - an element in which something can be selected
 * @returns whether it was copied
 */
export async function copyText(text: Promise<Blob>, place: HTMLElement): Promise<boolean> {
  try {
    // There is no clipboard in a page that came over http from another machine.
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": text })]);
    return true;
  } catch {
    return copyByCommand(await (await text).text(), place);
  }
}

/** The old way. It copies what is selected: something short; what is copied is said meanwhile. */
function copyByCommand(text: string, place: HTMLElement): boolean {
  const before = (place.getRootNode() as ShadowRoot).activeElement;
  const field = document.createElement("textarea");
  field.className = "sr-only";
  field.value = " ";
  place.append(field);
  field.select();
  let copied = false;
  const fill = (event: ClipboardEvent) => {
    event.clipboardData?.setData("text/plain", text);
    event.preventDefault();
    event.stopImmediatePropagation();
    copied = true;
  };
  document.addEventListener("copy", fill, { capture: true });
  const done = document.execCommand("copy");
  document.removeEventListener("copy", fill, { capture: true });
  field.remove();
  if (before instanceof HTMLElement) before.focus({ preventScroll: true });
  return done && copied;
}
