/**
 * The one action that can help after a failure: it depends on who can fix it. No DOM.
 */
import { ApiError } from "../wire/client";
import { isForeign, serverUrl } from "../wire/server-url";
import { editUrl, refOf, repositoryUrl } from "./edit-url";
import type { Outcome } from "./outcome";
import type { LaunchSession } from "./session";

/**
 * What can help: the page of another server, a change of a file in the repository, a look at the repository, another address, a
 * report to the administrator, or another attempt.
 */
export interface Remedy {
  kind: "elsewhere" | "edit" | "repository" | "address" | "report" | "again";
  /** Where that is; empty for `report` and `again`. */
  url: string;
}

const AGAIN: Remedy = { kind: "again", url: "" };

/** Return what can help after an outcome. */
export function remedyOf({ event, error, page }: Outcome, session: LaunchSession): Remedy {
  const { fault, file = "", line, retry, phase } = event ?? {};
  const { spec } = session;
  if (page) return { kind: "elsewhere", url: page };
  if (error instanceof ApiError && error.own) {
    if (error.status === 400 || error.status === 404) return addressOf(session);
    if (error.status === 403) return { kind: "report", url: "" };
  }
  if (phase !== "failed") return AGAIN;
  if (fault === "repository") {
    const edit = file && editUrl(spec, file, line);
    if (edit) return { kind: "edit", url: edit };
    const url = repositoryUrl(spec);
    return url ? { kind: "repository", url } : AGAIN;
  }
  if (retry !== false) return AGAIN;
  // A plain BinderHub, which gives no ids, has a form on its front page.
  if (fault === "request" && !session.id) return { kind: "address", url: serverUrl(session.server) };
  if (fault === "request") return addressOf(session);
  return fault === "server" ? { kind: "report", url: "" } : AGAIN;
}

/** The server's form, in which the address can be changed. */
function addressOf({ server, spec }: LaunchSession): Remedy {
  const repository = repositoryUrl(spec);
  const query = new URLSearchParams({ repo: repository || spec });
  const ref = repository && refOf(spec);
  if (ref) query.set("ref", ref);
  // The server's own page may be in a language that somebody has chosen.
  const lang = isForeign(server) ? "" : new URLSearchParams(globalThis.location?.search).get("lang");
  if (lang) query.set("lang", lang);
  return { kind: "address", url: `${serverUrl(server)}link?${query}` };
}
