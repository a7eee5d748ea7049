/**
 * A client of the server's API, for pages, the element and Node.js. No DOM, only `fetch`.
 */
import type { Phase } from "./event";
import { pageOrigin } from "./server-url";

/** The addresses of a launch. */
export interface Links {
  events_url: string;
  socket_url: string;
  log_url: string;
  page_url: string;
  state_url: string;
}

/** The server's response when it has started a launch. */
export interface Started extends Links {
  /** A secret: anyone who has it can watch the launch, cancel it and open its Jupyter server. */
  id: string;
  spec: string;
  /** The path that the launched address opens in the Jupyter server. */
  urlpath: string;
}

/** The current state of a launch. */
export interface LaunchState {
  id: string;
  spec: string;
  phase: Phase;
  progress: number;
  repo_url: string;
  ref: string;
  /** The server's time, in seconds since 1970. */
  now: number;
  created: number;
  /** The number of its latest event. */
  last: number;
  viewers: number;
  /** Seconds without viewers after which a running launch is cancelled. */
  abandon_after: number;
  /** Whether what happens is not shown yet, because the server's database is away. */
  waiting_for_storage: boolean;
}

/** An error response of the server, with its own message. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    message: string,
    /** The HTTP status. */
    readonly status: number,
    /** The reason, for programs; empty if the server gave none. */
    readonly reason: string,
    /** Whether the server itself sent it, and not a proxy whose server is restarting. */
    readonly own = true,
    /** Seconds after which a retry may succeed; 0 if the server does not say. */
    readonly retryAfter = 0,
  ) {
    super(message);
  }

  /** Whether a retry would get the same response. */
  get final(): boolean {
    return this.status < 500 && this.status !== 429 && (this.own || this.status !== 404);
  }
}

/**
 * Start a launch.
 *
 * @param baseUrl - the server's address, with a trailing slash
 * @param request - what to launch: `spec` is `<provider>/<...>/<ref>`
 * @throws ApiError with the server's message if it refuses
 */
export async function startLaunch(baseUrl: string, request: { spec: string }): Promise<Started> {
  const response = await fetch(`${baseUrl}api/launches`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...proof(baseUrl) },
    body: JSON.stringify(request),
  });
  return readJson<Started>(response);
}

/**
 * Get the state of a launch.
 *
 * @throws ApiError of status 404 if the server does not know the launch, or no longer
 */
export const getState: (stateUrl: string) => Promise<LaunchState> = getJson;

/**
 * Get JSON from the server.
 *
 * @throws ApiError with the server's message if it refuses
 */
export async function getJson<T>(url: string, signal?: AbortSignal): Promise<T> {
  const options = { cache: "no-store", headers: proof(url), ...(signal && { signal }) } as const;
  return readJson<T>(await fetch(url, options));
}

/** Cancel a launch. Its stream then ends with a `cancelled` event. */
export async function cancel(stateUrl: string): Promise<void> {
  const response = await fetch(stateUrl, { method: "DELETE", headers: proof(stateUrl) });
  if (!response.ok) throw await refusal(response);
}

/**
 * Headers that prove that a request comes from the server's own page. A JupyterHub service and a
 * Jupyter server expect the value of their cookie, which pages at other paths of the site cannot
 * read.
 */
export function proof(url: string): Record<string, string> {
  // Node.js has no document. Other sites must not get the token. A sandboxed frame has no cookies.
  if (typeof document === "undefined") return {};
  if (new URL(url, location.href).origin !== pageOrigin()) return {};
  const token = /(?:^|; )_xsrf=([^;]*)/.exec(document.cookie)?.[1];
  return token ? { "X-XSRFToken": token } : {};
}

/**
 * Return the JSON of a response.
 *
 * @throws ApiError if it is an error
 */
export async function readJson<T>(response: Response): Promise<T> {
  if (!response.ok) throw await refusal(response);
  return (await response.json()) as T;
}

/** Read an error response. A proxy's is HTML, which says nothing. */
export async function refusal(response: Response): Promise<ApiError> {
  const { status } = response;
  type Refusal = { error?: { message?: string; reason?: string } } | null;
  const content = (await response.json().catch(() => null)) as Refusal;
  const { message, reason } = content?.error ?? {};
  const text = message ?? `The server answered with status ${status}.`;
  // Proxies may send a date in its place.
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  return new ApiError(text, status, reason ?? "", !!message, retryAfter);
}
