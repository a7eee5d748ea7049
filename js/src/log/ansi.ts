/**
 * The colours of a line of a log. No DOM.
 *
 * Each line begins without any: lines are dropped, overwritten, and shown in any order, and what
 * builds write ends its colours with its line. Whatever a program chose, it can be read: nothing is
 * hidden, and colours have the contrast that WCAG's AA wants.
 */
import {
  type Color,
  type ColorName,
  createAnsiSequenceParser,
  createColorPalette,
  namedColors,
  type ParseToken,
} from "ansi-sequence-parser";
import { colouredText, SHOWN } from "./plain-text";

/** How many runs a line has: one of nothing but colours must not fill the page with elements. */
const RUNS = 400;

/** The log's ground, `--well`, in light and in dark: colours that are not ours are fitted to it. */
const GROUNDS = ["#f0f2ee", "#111817"] as const;

/** What AA wants of text. */
const CONTRAST = 4.5;

/** A piece of a line that looks the same. */
export interface Run {
  text: string;
  /** Names in log-view.css. */
  classes: string[];
  /** What no class has: property and value. */
  style: [property: string, value: string][];
}

const palette = createColorPalette();

/** The shown part of a line in pieces; together their texts are `shownText`. */
export function runs(line: string): Run[] {
  const found: Run[] = [];
  let room = SHOWN;
  for (const token of createAnsiSequenceParser().parse(spelled(colouredText(line)))) {
    const text = token.value.slice(0, room);
    room -= text.length;
    if (found.length < RUNS) found.push({ text, ...look(token) });
    else found[RUNS - 1] = plain(found[RUNS - 1]!.text + text);
    if (room === 0) break;
  }
  return found;
}

function plain(text: string): Run {
  return { text, classes: [], style: [] };
}

/**
 * As the parser knows them: with semicolons between (ISO 8613-6 has colons, and a colour space), with
 * the 0 that may be left out, and without the colours of underlines.
 */
function spelled(text: string): string {
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

function look({ foreground, background, decorations }: ParseToken): Omit<Run, "text"> {
  const classes: string[] = ["bold", "dim", "italic"].filter((name) => decorations.has(name as "bold"));
  const style: Run["style"] = [];
  const reverse = decorations.has("reverse");
  const ground = reverse ? foreground : background;
  const ink = reverse ? background : foreground;
  if (ground) onGround(ground, ink, classes, style);
  else if (reverse) classes.push("reverse");
  else if (ink) inked(ink, classes, style);
  const lines = [
    decorations.has("underline") ? "underline" : "",
    decorations.has("strikethrough") ? "line-through" : "",
    decorations.has("overline") ? "overline" : "",
  ].filter(Boolean);
  if (lines.length) style.push(["text-decoration-line", lines.join(" ")]);
  return { classes, style };
}

function inked(ink: Color, classes: string[], style: Run["style"]): void {
  const name = nameOf(ink);
  const hex = name ? undefined : palette.value(ink);
  if (name) classes.push(`ink-${name}`);
  if (!hex) return;
  const [light, dark] = GROUNDS.map((ground) => fitted(hex, ground));
  style.push(["color", `light-dark(${light}, ${dark})`]);
}

/** On a ground of its own, text has the program's colour only where it can be read. */
function onGround(ground: Color, ink: Color | null, classes: string[], style: Run["style"]): void {
  const name = nameOf(ground);
  // Text on it has the colour of the log's ground: what reads there as ink is read here as ground.
  if (name) classes.push(`ground-${name}`);
  const hex = name ? undefined : palette.value(ground);
  if (!hex) return;
  const wanted = ink && palette.value(ink);
  const readable = wanted && contrast(wanted, hex) >= CONTRAST;
  const black = contrast("#000000", hex) >= CONTRAST ? "#000000" : "#ffffff";
  style.push(["background-color", hex], ["color", readable ? wanted : black]);
}

/** The first sixteen have names, under which the page may choose them; `bright-red`, …. */
function nameOf(color: Color): string | undefined {
  const name: ColorName | undefined =
    color.type === "named" ? color.name : color.type === "table" ? namedColors[color.index] : undefined;
  return name?.replace(/[A-Z]/, (letter) => `-${letter.toLowerCase()}`);
}

/** The colour, or as much nearer to black or white as it needs to be read on a ground. */
function fitted(color: string, ground: string): string {
  const end = luminance(ground) > 0.18 ? 0 : 255;
  for (let share = 0; share < 1; share += 0.1) {
    const mixed = channels(color).map((value) => Math.round(value + (end - value) * share));
    const hex = `#${mixed.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
    if (contrast(hex, ground) >= CONTRAST) return hex;
  }
  return end ? "#ffffff" : "#000000";
}

/** WCAG's contrast of two colours, from 1 to 21. */
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
