/**
 * What runs at a hub's address. No DOM.
 */
import { ApiError } from "./client";

/**
 * Ask a hub what it speaks.
 *
 * @param hub - its address, whole and with a slash at the end
 * @throws ApiError if it answers with an error; SyntaxError if what answers is neither; whatever
 *   `fetch` throws if nothing answers, or pages of this origin are not allowed
 */
export async function speaks(hub: string): Promise<"binderprogress" | "binderhub"> {
  const response = await fetch(`${hub}versions`);
  const { status } = response;
  if (!response.ok) throw new ApiError(`The server answered with status ${status}.`, status, "");
  const versions = (await response.json()) as object | null;
  if (Object(versions) === versions && versions) {
    if ("binderprogress" in versions) return "binderprogress";
    if ("binderhub" in versions) return "binderhub";
  }
  throw new SyntaxError("What answers is neither a binderprogress server nor a BinderHub.");
}
