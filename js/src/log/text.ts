/**
 * The log as plain text, for files and the clipboard.
 */
import type { LogSource } from "./lines";
import { plainText } from "./plain-text";

/** How long lines are converted without a break, in milliseconds. */
const SLICE = 8;

/** Return the lines from `start` to before `end`, without escape sequences. */
export async function plainLog(log: LogSource, start: number, end: number): Promise<Blob> {
  const parts: string[] = [];
  let number = Math.max(start, log.start);
  while (number < end) {
    const until = performance.now() + SLICE;
    let part = "";
    if (log.read && log.has?.(number) === false) {
      const lines = await log.read(number, end);
      part = lines.map((line) => `${plainText(line)}\n`).join("");
      number += lines.length;
    }
    while (number < end && performance.now() < until && log.has?.(number) !== false) {
      part += `${plainText(log.line(number))}\n`;
      number += 1;
    }
    parts.push(part);
    await new Promise((resolve) => setTimeout(resolve));
    // The oldest lines may have been dropped meanwhile.
    number = Math.max(number, log.start);
  }
  return new Blob(parts, { type: "text/plain;charset=utf-8" });
}

/** Save a text as a file. */
export function save(text: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(text);
  link.download = name;
  link.click();
  // Later: Safari has not started to read it yet.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/**
 * Copy a text.
 *
 * @param text - a promise, because the clipboard must be accessed within the click
 * @param place - an element where text can be selected
 * @returns whether the text was copied
 */
export async function copyText(text: Promise<Blob>, place: HTMLElement): Promise<boolean> {
  try {
    // Pages loaded over http from another machine have no clipboard.
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": text })]);
    return true;
  } catch {
    return copyByCommand(await (await text).text(), place);
  }
}

/** Copy with the old command: it needs a selection, and the `copy` event sets the actual text. */
function copyByCommand(text: string, place: HTMLElement): boolean {
  const focused = (place.getRootNode() as ShadowRoot).activeElement;
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
  if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
  return done && copied;
}
