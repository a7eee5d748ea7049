/**
 * Addresses in lines of a log. No DOM.
 */

/** The maximum number of links of a line. Attack: each one is an element that the Tab key reaches. */
const MAX_LINKS = 50;

const ADDRESS = /\bhttps?:\/\/[^\s"'<>`|\\^{}\u0000-\u001f]+/gi;

/** A terminal's link (OSC 8): the text after it belongs to its address, until the next one. */
const OSC_8 =
  /(?:\u001b\]|\u009d)8;[^;\u0007\u001b\u009c\n]*;([^\u0007\u001b\u009c\n]*)(?:\u0007|\u001b\\|\u009c)/g;

/** A link in the visible text of a line; its end is exclusive. */
export interface Link {
  start: number;
  end: number;
  href: string;
  /** The host, if the text does not say where the link leads. */
  host: string;
}

/** Split a line at its terminal links. Each part has the address that it leads to, or none. */
export function linkedParts(line: string): { text: string; href: string }[] {
  const parts: { text: string; href: string }[] = [];
  let from = 0;
  let href = "";
  for (const match of line.matchAll(OSC_8)) {
    parts.push({ text: line.slice(from, match.index), href });
    from = match.index + match[0].length;
    href = safeAddress(match[1] ?? "");
  }
  return [...parts, { text: line.slice(from), href }];
}

/** Return the links of a line, in order. Terminal links come first; addresses in the text fill the rest. */
export function linksOf(runs: readonly { text: string; href?: string }[]): Link[] {
  const links: Link[] = [];
  let at = 0;
  let text = "";
  for (const { text: part, href } of runs) {
    const last = links.at(-1);
    if (href && last?.href === href && last.end === at) last.end += part.length;
    else if (href && links.length < MAX_LINKS) {
      links.push({ start: at, end: at + part.length, href, host: "" });
    }
    at += part.length;
    text += part;
  }
  for (const link of links) {
    const shown = text.slice(link.start, link.end);
    const { host } = new URL(link.href);
    // Attack: a text that names another address than the one that opens.
    if (safeAddress(shown.trim()) !== link.href) link.host = host;
  }
  const own = addresses(text).filter(({ start, end }) =>
    links.every((link) => end <= link.start || start >= link.end),
  );
  return [...links, ...own].sort((a, b) => a.start - b.start).slice(0, MAX_LINKS);
}

/** Return the normalized address if a page may link to it; empty if not. */
export function safeAddress(text: string): string {
  if (!URL.canParse(text)) return "";
  const { href, protocol, username, password } = new URL(text);
  // Attack: a trusted host's name before the @ of another one.
  if (username || password) return "";
  return protocol === "https:" || protocol === "http:" ? href : "";
}

function addresses(text: string): Link[] {
  const links: Link[] = [];
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const shown = withoutEnd(found);
    const href = safeAddress(shown);
    if (href) links.push({ start: index, end: index + shown.length, href, host: "" });
    if (links.length === MAX_LINKS) break;
  }
  return links;
}

/** Remove what ends the sentence around an address. */
function withoutEnd(address: string): string {
  let end = address.length;
  // A closing bracket belongs to the address if it was opened there, as on Wikipedia.
  const excess = { ")": count(address, ")") - count(address, "("), "]": count(address, "]") - count(address, "[") };
  for (; end > 0; end -= 1) {
    const last = address[end - 1]!;
    if (last === ")" || last === "]") {
      if (excess[last] <= 0) break;
      excess[last] -= 1;
    } else if (!".,;:!?*_".includes(last)) break;
  }
  return address.slice(0, end);
}

function count(text: string, character: string): number {
  return text.split(character).length - 1;
}
