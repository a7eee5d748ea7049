/**
 * Text without what is meant for a terminal. No DOM; loaded with the log.
 */

/** How much of a line is shown and searched, in characters. */
export const SHOWN = 10_000;

/** How much of a line is read for that: a line may be nothing but escape sequences. */
const READ = 4 * SHOWN;

/**
 * What an ordinary line has none of: control characters, those that break a line or turn its
 * direction around.
 */
const UNUSUAL = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;

/**
 * ECMA-48's, as the server reads them, too: control sequences, control strings (OSC, DCS, …), other
 * escapes, controls. What is not finished ends with its line.
 */
const CONTROLS = new RegExp(
  [
    "(?:\\u001b\\[|\\u009b)(?:([\\d;:]*)m|[0-?]*[ -/]*[@-~]?)",
    "(?:\\u001b[\\]PX^_]|[\\u0090\\u0098\\u009d-\\u009f])[^\\u0007\\u001b\\u009c\\n]*(?:\\u0007|\\u001b\\\\|\\u009c)?",
    "\\u001b[ -/]*[0-~]?",
    UNUSUAL.source,
  ].join("|"),
  "g",
);

/** Text without colours and other control characters; tabs stay. */
export function plainText(line: string): string {
  return replaceControls(line, () => "");
}

/** As much of a line as is shown, as plain text. */
export function shownText(line: string): string {
  return plainText(line.slice(0, READ)).slice(0, SHOWN);
}

/** Whether a line is so long that there is more of it than {@link shownText}. */
export function isCut(line: string): boolean {
  return line.length > READ || (line.length > SHOWN && plainText(line).length > SHOWN);
}

/** As much of a line as is shown, of whose control characters colours are left, all written alike. */
export function colouredText(line: string): string {
  return replaceControls(line.slice(0, READ), (colours) => `\u001b[${colours}m`);
}

function replaceControls(line: string, colour: (parameters: string) => string): string {
  if (!UNUSUAL.test(line)) return line;
  return line.replace(CONTROLS, (found: string, parameters?: string) => {
    if (parameters !== undefined) return colour(parameters);
    // Those that turn a line around would make it read as another one: they are named instead.
    return found >= "\u2028" ? `<U+${found.charCodeAt(0).toString(16).toUpperCase()}>` : "";
  });
}
