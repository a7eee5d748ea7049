/**
 * Catalogs whose texts have the order of the English ones, as the classic script has them (see `vite.config.ts`).
 */
import core from "./catalogs/en.json";
import more from "./catalogs/more/en.json";
import type { Catalog } from "./words";

/** Return a catalog. An empty text is missing; `others` has those that English lacks. */
export function named(texts: readonly string[], others: Catalog): Catalog {
  const pairs = Object.keys({ ...core, ...more }).map((key, index) => [key, texts[index]!] as const);
  return { ...Object.fromEntries(pairs.filter(([, text]) => text)), ...others };
}
