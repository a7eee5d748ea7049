/**
 * What a terminal shows of a line in which the cursor moves, as under a spinner. No DOM.
 */

/** Longer lines stay as they are. Attack: each character takes a cell. */
const MAX_LENGTH = 40_000;

/** The length of the colour sequences that apply to a cell, in characters. */
const MAX_STYLE = 200;

/** Backspace, and sequences that move the cursor within its line or erase a part of it. */
const MOVES = /\u0008|(?:\u001b\[|\u009b)\d*[CDGK]/;

/** A move with its count, a colour sequence, another control, or a character. */
const TOKENS =
  /\u0008|(?:\u001b\[|\u009b)(?:(\d*)([CDGK])|([\d;:]*)m|[0-?]*[ -/]*[@-~]?)|\u001b\][^\u0007\u001b\u009c\n]*(?:\u0007|\u001b\\|\u009c)?|[^]/gu;

interface Cell {
  text: string;
  style: string;
}

/** Return a line in its final state, with colour sequences. */
export function finalState(line: string): string {
  if (line.length > MAX_LENGTH || !MOVES.test(line)) return line;
  const cells: Cell[] = [];
  let column = 0;
  let style = "";
  for (const [token, count = "", move, colours] of line.matchAll(TOKENS)) {
    if (token === "\b") column = Math.max(column - 1, 0);
    else if (move) column = moved(move, count, column, cells);
    else if (colours !== undefined) style = styled(style, colours);
    else if (isControl(token)) continue;
    else if (token === "\t" && column < cells.length) {
      // A tab moves the cursor, and keeps what is there.
      column = cells.push({ text: token, style });
    } else {
      cells[column] = { text: token, style };
      column += 1;
    }
  }
  return joined(cells);
}

function moved(move: string, count: string, column: number, cells: Cell[]): number {
  const by = Math.max(Number(count), 1);
  // Not beyond the end: a large count would make a long line.
  if (move === "C") return Math.min(column + by, cells.length);
  if (move === "D") return Math.max(column - by, 0);
  if (move === "G") return Math.min(by - 1, cells.length);
  if (count === "2") cells.length = 0;
  else if (count === "1") cells.splice(0, column);
  else cells.length = column;
  return count === "1" || count === "2" ? 0 : column;
}

function styled(style: string, colours: string): string {
  const isReset = /^0*$/.test(colours);
  if (isReset) return "";
  const all = `${style}\u001b[${colours}m`;
  return all.length > MAX_STYLE ? style : all;
}

function isControl(token: string): boolean {
  return token.length > 1 ? token.startsWith("\u001b") || token.startsWith("\u009b") : token < "\t";
}

function joined(cells: Cell[]): string {
  let text = "";
  let style = "";
  for (const cell of cells) {
    if (cell.style !== style) text += `${style && "\u001b[0m"}${cell.style}`;
    style = cell.style;
    text += cell.text;
  }
  return style ? `${text}\u001b[0m` : text;
}
