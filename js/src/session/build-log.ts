/**
 * The permanent address of a build's log. No DOM.
 */
import { getJson } from "../wire/client";
import { serverUrl } from "../wire/server-url";
import type { LaunchSession } from "./session";

/** Return the address; nothing if the log is not kept, or if there is no build yet. */
export function buildLogUrl({ id, server, transcript }: LaunchSession): string | undefined {
  const { buildId } = transcript ?? {};
  return id && buildId ? `${serverUrl(server)}builds/${encodeURIComponent(buildId)}/log` : undefined;
}

/** The log of the build that made the environment of a launch which built nothing itself. */
export interface EarlierLog {
  url: string;
  /** When that build ended, in seconds since 1970. */
  ended: number;
}

/** Ask the server for the log of an earlier build; nothing if the launch has built, or it is not kept. */
export async function earlierLog(launchUrl: string): Promise<EarlierLog | undefined> {
  const state = await getJson<{ earlier_build_log_url?: string; earlier_build_ended?: number }>(launchUrl);
  const { earlier_build_log_url: url = "", earlier_build_ended: ended = 0 } = state;
  return /^https?:/.test(url) ? { url, ended } : undefined;
}
