/**
 * Detects what kind of server runs at an address. No DOM.
 */
import { ApiError } from "./client";

/**
 * Ask a server for its kind.
 *
 * @param server - its absolute address, with a trailing slash
 * @throws ApiError if it responds with an error; SyntaxError if it is neither kind; the error of
 *   `fetch` if it does not respond or does not allow pages of this origin
 */
export async function serverKind(server: string): Promise<"binderprogress" | "binderhub"> {
  const response = await fetch(`${server}versions`);
  const { status } = response;
  if (!response.ok) throw new ApiError(`The server answered with status ${status}.`, status, "");
  const versions = (await response.json()) as object | null;
  if (Object(versions) === versions && versions) {
    if ("binderprogress" in versions) return "binderprogress";
    if ("binderhub" in versions) return "binderhub";
  }
  throw new SyntaxError("This is neither a binderprogress server nor a BinderHub.");
}
