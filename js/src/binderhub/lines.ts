/**
 * Shortens lines that are too long to be shown, as on our server. No DOM.
 */

/** The characters that are kept of a line. */
const MAX_LENGTH = 4096;
/** A record may be as long as this many of the longest lines. */
const MAX_LINES = 16;

/**
 * Return a message as lines that end, the last one in a carriage return if it will be overwritten. What is
 * too long is replaced by a note.
 */
export function asLines(text: string): string {
  if (text === "") return "";
  const end = text.endsWith("\r") ? "\r" : "\n";
  const lines = text.replace(/\r?\n?$/, "");
  if (lines.length <= MAX_LENGTH) return lines + end;
  let size = Math.min(lines.length, MAX_LINES * MAX_LENGTH);
  while ("\r\n".includes(lines.charAt(size - 1))) size -= 1;
  const cut = (line: string, start: number) => {
    const omitted = start + line.length === size ? lines.length - size : 0;
    const more = Math.max(line.length - MAX_LENGTH, 0) + omitted;
    return more > 0 ? `${line.slice(0, MAX_LENGTH)}… [${more} more characters]` : line;
  };
  return lines.slice(0, size).replace(/[^\r\n]+/g, cut) + end;
}
