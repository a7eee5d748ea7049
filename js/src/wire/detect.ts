/**
 * Detects what kind of server runs at an address. No DOM.
 */
import { readJson } from "./client";

/**
 * Ask a server for its kind.
 *
 * @param server - its absolute address, with a trailing slash
 * @throws ApiError if it responds with an error; SyntaxError if it is neither kind; the error of
 *   `fetch` if it does not respond or does not allow pages of this origin
 */
export async function serverKind(server: string): Promise<"binderprogress" | "binderhub"> {
  const versions = Object(await readJson(await fetch(`${server}versions`))) as object;
  if ("binderprogress" in versions) return "binderprogress";
  if ("binderhub" in versions) return "binderhub";
  throw new SyntaxError("This is neither a binderprogress server nor a BinderHub.");
}
