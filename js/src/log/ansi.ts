/**
 * The colours and terminal links of a line of a log. No DOM.
 *
 * Each line starts without colours, because lines are dropped, overwritten and shown in any order.
 * Build tools reset their colours at the end of a line. Text is always readable: hidden text is
 * shown, and colours are changed to have the contrast that WCAG level AA requires.
 */
import {
  type Color,
  type ColorName,
  createAnsiSequenceParser,
  createColorPalette,
  namedColors,
  type ParseToken,
} from "ansi-sequence-parser";
import { linkedParts } from "./links";
import { colouredText, MAX_READ, MAX_SHOWN } from "./plain-text";

/** The maximum number of runs of a line. Attack: each escape sequence adds an element to the page. */
const MAX_RUNS = 400;

/** The log's background (`--well`) in light and dark mode. Other colours are adapted to it. */
const BACKGROUNDS = ["#f0f2ee", "#111817"] as const;

/** The contrast that WCAG level AA requires of text. */
const MIN_CONTRAST = 4.5;

/** A part of a line in one style. */
export interface Run {
  text: string;
  /** Class names of ansi.css. */
  classes: string[];
  /** Properties that no class has. */
  style: [property: string, value: string][];
  /** The address of a terminal link; empty for none. */
  href: string;
}

const palette = createColorPalette();

/** Split the visible part of a line into runs. Their texts add up to `shownText`. */
export function runs(line: string): Run[] {
  const runs: Run[] = [];
  let space = MAX_SHOWN;
  // It keeps the colours from one part to the next.
  const parser = createAnsiSequenceParser();
  for (const part of linkedParts(line.slice(0, MAX_READ))) {
    for (const token of parser.parse(normalized(colouredText(part.text)))) {
      if (space === 0) return runs;
      const text = token.value.slice(0, space);
      space -= text.length;
      if (runs.length < MAX_RUNS) runs.push({ text, ...styleOf(token), href: part.href });
      else runs[MAX_RUNS - 1] = plain(runs[MAX_RUNS - 1]!.text + text);
    }
  }
  return runs;
}

function plain(text: string): Run {
  return { text, classes: [], style: [], href: "" };
}

/**
 * Write colour sequences in the form that the parser knows: with semicolons (ISO 8613-6 has colons and
 * a colour space), with the optional 0, and without underline colours.
 */
function normalized(text: string): string {
  return text.replace(/\u001b\[([\d;:]*)m/g, (_, parameters: string) => {
    const parts = parameters.split(";").map((part) => {
      const [code = "", kind, ...rest] = part.split(":");
      if (code === "4" && kind !== undefined) return kind === "0" ? "24" : "4";
      return [code || "0", ...(kind ? [kind] : []), ...(kind === "2" ? rest.slice(-3) : rest)].join(";");
    });
    const known = parts.join(";").replace(/(^|;)58;(?:5;\d*|2;\d*;\d*;\d*)/g, "$1");
    return known && `\u001b[${known}m`;
  });
}

function styleOf({ foreground, background, decorations }: ParseToken): Pick<Run, "classes" | "style"> {
  const classes: string[] = ["bold", "dim", "italic"].filter((name) => decorations.has(name as "bold"));
  const style: Run["style"] = [];
  const reverse = decorations.has("reverse");
  const back = reverse ? foreground : background;
  const text = reverse ? background : foreground;
  if (back) addBackground(back, text, classes, style);
  else if (reverse) classes.push("reverse");
  else if (text) addColour(text, classes, style);
  const lines = [
    decorations.has("underline") ? "underline" : "",
    decorations.has("strikethrough") ? "line-through" : "",
    decorations.has("overline") ? "overline" : "",
  ].filter(Boolean);
  if (lines.length) style.push(["text-decoration-line", lines.join(" ")]);
  return { classes, style };
}

function addColour(colour: Color, classes: string[], style: Run["style"]): void {
  const name = nameOf(colour);
  const hex = name ? undefined : palette.value(colour);
  if (name) classes.push(`ink-${name}`);
  if (!hex) return;
  const [light, dark] = BACKGROUNDS.map((background) => adapted(hex, background));
  style.push(["color", `light-dark(${light}, ${dark})`]);
}

/** On a background colour, text keeps its own colour only if the contrast is sufficient. */
function addBackground(
  background: Color,
  text: Color | null,
  classes: string[],
  style: Run["style"],
): void {
  const name = nameOf(background);
  // Text on it has the log's background colour, which has the same contrast as the reverse.
  if (name) classes.push(`ground-${name}`);
  const hex = name ? undefined : palette.value(background);
  if (!hex) return;
  const own = text && palette.value(text);
  const isReadable = own && contrast(own, hex) >= MIN_CONTRAST;
  const other = contrast("#000000", hex) >= MIN_CONTRAST ? "#000000" : "#ffffff";
  style.push(["background-color", hex], ["color", isReadable ? own : other]);
}

/** The name of one of the first 16 colours, such as `bright-red`. Pages can set those. */
function nameOf(color: Color): string | undefined {
  const name: ColorName | undefined =
    color.type === "named" ? color.name : color.type === "table" ? namedColors[color.index] : undefined;
  return name?.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`);
}

/** Move a colour towards black or white until it is readable on a background. */
function adapted(color: string, background: string): string {
  const end = luminance(background) > 0.18 ? 0 : 255;
  for (let share = 0; share < 1; share += 0.1) {
    const mixed = channels(color).map((value) => Math.round(value + (end - value) * share));
    const hex = `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
    if (contrast(hex, background) >= MIN_CONTRAST) return hex;
  }
  return end ? "#ffffff" : "#000000";
}

/** The contrast ratio of two colours by WCAG, from 1 to 21. */
export function contrast(one: string, other: string): number {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light! + 0.05) / (dark! + 0.05);
}

function luminance(color: string): number {
  const [red, green, blue] = channels(color).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
}

function channels(color: string): number[] {
  return [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));
}
