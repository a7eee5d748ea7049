/**
 * The address that opens the Jupyter server. It consists of parts from the server and from a link,
 * and is validated. Loaded when a launch starts.
 */
import type { LaunchEvent } from "../wire/event";
import { InvalidValueError } from "../wire/server-url";

/**
 * Join the address of a Jupyter server with the path to open, and add the token.
 *
 * @param event - the `ready` event, or its `url` and `token`
 * @param urlpath - a path below the server, optionally with query and fragment, such as
 *   `lab/tree/index.ipynb?x=1`
 * @throws InvalidValueError if the address is not http or https, or the path leaves the server
 */
export function jupyterServerUrl(event: Pick<LaunchEvent, "url" | "token">, urlpath = ""): string {
  const server = httpUrl(event.url ?? "");
  const target = split(urlpath);
  checkBelow(target.path, urlpath);

  const url = new URL(server);
  // As in BinderHub's links, a leading slash means the server's root.
  url.pathname = server.pathname.replace(/\/?$/, "/") + target.path.replace(/^\//, "");
  url.hash = target.hash;
  url.search = [server.search.slice(1), target.query].filter(Boolean).join("&");
  if (event.token) {
    // The link must not choose the token.
    if (url.searchParams.has("token")) url.searchParams.delete("token");
    // Not with `searchParams.set`, which would rewrite the rest of the query.
    url.search += `${url.search ? "&" : "?"}token=${encodeURIComponent(event.token)}`;
  }
  return url.href;
}

function httpUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    throw new InvalidValueError(
      "unusable.url",
      "The server's address must start with http:// or https://.",
    );
  }
  // A link must not show a password.
  url.username = url.password = "";
  return url;
}

function split(urlpath: string): { path: string; query: string; hash: string } {
  const [, path = "", query = "", hash = ""] = /^([^?#]*)\??([^#]*)(#.*)?$/s.exec(urlpath) ?? [];
  return { path, query, hash };
}

/** Refuse a path that a browser, a proxy or the server could resolve to a place above the server. */
function checkBelow(path: string, urlpath: string): void {
  const plain = path
    .replace(/%2e/gi, ".")
    .replace(/%2f/gi, "/")
    .replace(/%5c/gi, "\\");
  const leaves =
    /^[a-z][a-z0-9+.-]*:/i.test(plain) || // another scheme
    plain.startsWith("//") || // another host
    plain.split("/").includes("..") ||
    urlpath.includes("\\") || // browsers treat it as a slash
    plain.includes("\\") ||
    /[\u0000-\u001f\u007f]/.test(urlpath); // browsers drop tabs: `.\t.` is `..`
  if (leaves) {
    throw new InvalidValueError("unusable.urlpath", "The path to open must be below the server's address.");
  }
}
