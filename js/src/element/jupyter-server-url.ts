/**
 * The address that opens the launched server, checked: it is made of what the server says and what
 * a link asks for. Loaded once a launch is under way.
 */
import type { LaunchEvent } from "../wire/event";
import { UnusableError } from "../wire/server-url";

/**
 * Join the address of a ready server with the path to open in it, and add its token.
 *
 * @param event - the `ready` event, or its `url` and `token`
 * @param urlpath - below the server, with a query and a fragment of its own if need be, such as
 *   `lab/tree/index.ipynb?x=1`
 * @throws UnusableError if the server's address is not http or https, or the path would leave the server
 */
export function serverUrl(event: Pick<LaunchEvent, "url" | "token">, urlpath = ""): string {
  const server = httpUrl(event.url ?? "");
  const asked = split(urlpath);
  checkBelow(asked.path, urlpath);

  const url = new URL(server);
  // One leading slash means the server's root, as in BinderHub's links.
  url.pathname = server.pathname.replace(/\/?$/, "/") + asked.path.replace(/^\//, "");
  url.hash = asked.hash;
  url.search = [server.search.slice(1), asked.query].filter(Boolean).join("&");
  if (event.token) {
    // The link must not choose the token.
    if (url.searchParams.has("token")) url.searchParams.delete("token");
    // By hand: `searchParams.set` would rewrite the rest of the query.
    url.search += `${url.search ? "&" : "?"}token=${encodeURIComponent(event.token)}`;
  }
  return url.href;
}

function httpUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    throw new UnusableError(
      "unusable.url",
      "The server's address does not begin with http:// or https://.",
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

/** Refuse a path that a browser, a proxy or the server could take for something not below it. */
function checkBelow(path: string, urlpath: string): void {
  const plain = path
    .replace(/%2e/gi, ".")
    .replace(/%2f/gi, "/")
    .replace(/%5c/gi, "\\");
  const leaves =
    /^[a-z][a-z0-9+.-]*:/i.test(plain) || // another scheme
    plain.startsWith("//") || // another host
    plain.split("/").includes("..") ||
    urlpath.includes("\\") || // browsers take it for a slash
    plain.includes("\\") ||
    /[\u0000-\u001f\u007f]/.test(urlpath); // browsers drop tabs: `.\t.` is `..`
  if (leaves) {
    throw new UnusableError("unusable.urlpath", "The path to open must lie below the server.");
  }
}
