/**
 * Text without what is meant for a terminal. Loaded with the log.
 */
import stripAnsi from "strip-ansi";

/** Text without colours and other control characters; tabs stay. */
export function plainText(line: string): string {
  return stripAnsi(line).replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "");
}
