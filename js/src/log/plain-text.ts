/**
 * Removes terminal control sequences from text. No DOM; loaded with the log.
 */

/** How much of a line is shown and searched, in characters. */
export const MAX_SHOWN = 10_000;

/** How much of a line is read for that: lines may consist of escape sequences. */
export const MAX_READ = 4 * MAX_SHOWN;

/** Control characters, and characters that break a line or change its direction. */
const UNUSUAL = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;

/**
 * ECMA-48 controls, as on the server: control sequences, control strings (OSC, DCS, …), other escapes,
 * control characters. An incomplete one ends with its line.
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

/** Colour sequences, and what else begins with an escape. */
const COLOURS = /\u001b\[[\d;:]*m/g;
const OTHER_ESCAPES = /\u001b(?!\[[\d;:]*m)/;

/** Return text without colours and control characters. Tabs are kept. */
export function plainText(line: string): string {
  if (!UNUSUAL.test(line)) return line;
  // Most lines have nothing but colours. Removing only those takes a third of the time.
  const text = line.replace(COLOURS, "");
  if (!UNUSUAL.test(text) && !OTHER_ESCAPES.test(line)) return text;
  return replaceControls(line, () => "");
}

/** Return the visible part of a line, as plain text. */
export function shownText(line: string): string {
  return plainText(line.slice(0, MAX_READ)).slice(0, MAX_SHOWN);
}

/** Whether a line is longer than {@link shownText}. */
export function isCut(line: string): boolean {
  return line.length > MAX_READ || (line.length > MAX_SHOWN && plainText(line).length > MAX_SHOWN);
}

/** Whether a line may take more columns than it has characters. */
export function isWide(line: string): boolean {
  return /[\t\u1100-\uffff]/.test(line);
}

/** Estimate how many columns a text takes. Browsers have no exact widths before it is drawn. */
export function columnsOf(text: string): number {
  if (!/[^ -~]/.test(text)) return text.length;
  let columns = 0;
  for (const character of text) {
    if (character === "\t") columns += 8 - (columns % 8);
    // From Hangul on, most scripts with wide characters, and emoji.
    else columns += character >= "\u1100" ? 2 : 1;
  }
  return columns;
}

/** Return the visible part of a line with colour sequences, in a uniform form, but no other controls. */
export function colouredText(line: string): string {
  return replaceControls(line.slice(0, MAX_READ), (colours) => `\u001b[${colours}m`);
}

function replaceControls(line: string, colour: (parameters: string) => string): string {
  if (!UNUSUAL.test(line)) return line;
  return line.replace(CONTROLS, (control: string, parameters?: string) => {
    if (parameters !== undefined) return colour(parameters);
    // Attack: text that reads differently after a change of direction. Show the character's name.
    return control >= "\u2028" ? `<U+${control.charCodeAt(0).toString(16).toUpperCase()}>` : "";
  });
}
