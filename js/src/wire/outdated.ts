/**
 * Pages that are older than the server: parts that they have not loaded yet do not exist any more. No DOM.
 */

/**
 * Whether the server no longer has this script, because it was upgraded since the page was loaded. If it
 * does not answer, the page may only be offline.
 */
export async function isOutdated(): Promise<boolean> {
  try {
    const { status } = await fetch(import.meta.url, { method: "HEAD", cache: "no-store" });
    return status === 404 || status === 410;
  } catch (error) {
    console.warn(error);
    return false;
  }
}
