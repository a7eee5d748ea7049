/**
 * The permanent address of a build's log. No DOM.
 */
import { serverUrl } from "../wire/server-url";
import type { LaunchSession } from "./session";

/** Return the address; nothing if the log is not kept, or if there is no build yet. */
export function buildLogUrl({ id, server, transcript }: LaunchSession): string | undefined {
  const { buildId } = transcript ?? {};
  return id && buildId ? `${serverUrl(server)}builds/${encodeURIComponent(buildId)}/log` : undefined;
}
