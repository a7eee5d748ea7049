/**
 * Addresses that a BinderHub sends, made safe to link to. No DOM; loaded on demand.
 */

/** Schemes that run or contain what they name. Repositories may have addresses of git and ssh. */
const ACTIVE = /^(?:javascript|vbscript|data|blob|filesystem|view-source):$/;

/** Query parameters that hold a secret, as `private_token`. */
const SECRET = /token|secret|passw|passphrase|signature|credential|(?:api|access|private)[_-]?key/i;

/**
 * Return the address of a Jupyter server without user and password; nothing if it is not http or
 * https.
 */
export function jupyterServerAddress(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  return url?.protocol === "http:" || url?.protocol === "https:" ? withoutUser(text, url) : undefined;
}

/**
 * Return an address without user, password and secret query parameters; nothing if a page must not
 * link to it, as `javascript:…`.
 */
export function linkAddress(text: string): string | undefined {
  // `git@host:path` is not a URL. A page would resolve it like this.
  if (!URL.canParse(text)) return URL.canParse(text, "https://x.invalid") ? text : undefined;
  const url = new URL(text);
  if (ACTIVE.test(url.protocol)) return undefined;
  const secrets = [...url.searchParams.keys()].filter((name) => SECRET.test(name));
  if (!secrets.length) return withoutUser(text, url);
  for (const name of secrets) url.searchParams.delete(name);
  return withoutUser(url.href, url);
}

/** Return an address unchanged, or without user and password. Over ssh, a user alone is no secret. */
function withoutUser(text: string, url: URL): string {
  if (!url.username && !url.password) return text;
  if (url.protocol === "ssh:" && !url.password) return text;
  url.username = url.password = "";
  return url.href;
}
