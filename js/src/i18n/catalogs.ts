/**
 * The catalogs of all languages except English. Each is loaded on demand.
 */
import type { Catalog } from "./words";

const CATALOGS = import.meta.glob<Catalog>(["./catalogs/*.json", "!./catalogs/en.json"], {
  import: "default",
});

/** Load the catalog of a language; nothing if there is none, and English is used. */
export async function loadCatalog(lang: string): Promise<Catalog | undefined> {
  const language = lang.split("-", 1)[0]!.toLowerCase();
  return CATALOGS[`./catalogs/${language}.json`]?.();
}
