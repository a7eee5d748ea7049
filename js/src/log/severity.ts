/**
 * Which lines of a log report an error or a warning. No DOM.
 */

/** The characters of a line that are read. */
const MAX_READ = 400;

const ERROR = new RegExp(
  [
    "^(?:e: |npm err!|traceback \\(most recent call last\\)|killed$)",
    "^[^\\w]{0,8}(?:error|fatal|critical)\\b",
    "(?:^|[\\s[(])(?:error|fatal|critical|\\w{0,60}(?:error|exception))[\\])]?:",
    "[\\s[](?:error|fatal|critical)\\]",
  ].join("|"),
  "i",
);

const WARNING = new RegExp(
  [
    "^(?:w: |npm warn)",
    "^[^\\w]{0,8}(?:warn|warning|deprecation)\\b",
    "(?:^|[\\s[(])(?:warn|\\w{0,60}warning)[\\])]?:",
    "[\\s[](?:warn|warning)\\]",
  ].join("|"),
  "i",
);

/** What a line reports. */
export type Severity = "error" | "warning" | undefined;

/** Return what a line reports, by its plain text. */
export function severityOf(text: string): Severity {
  const read = text.slice(0, MAX_READ);
  if (ERROR.test(read)) return "error";
  return WARNING.test(read) ? "warning" : undefined;
}
