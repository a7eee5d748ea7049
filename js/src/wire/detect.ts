/**
 * Detects what kind of server runs at an address. No DOM.
 */
import { readJson } from "./client";

/**
 * Ask a server whether it is a BinderHub without binderprogress.
 *
 * @param server - its absolute address, with a trailing slash
 * @throws ApiError if it responds with an error; SyntaxError if it is neither a BinderHub nor
 *   binderprogress; the error of `fetch` if it does not respond or does not allow pages of this origin
 */
export async function isPlainBinderHub(server: string): Promise<boolean> {
  const response = await fetch(`${server}versions`);
  const versions = await readJson<Record<string, unknown> | null>(response);
  // In a BinderHub, the versions are BinderHub's own.
  if (response.headers.has("binderprogress") || versions?.binderprogress) return false;
  if (versions?.binderhub) return true;
  throw new SyntaxError(server);
}
