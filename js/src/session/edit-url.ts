/**
 * Where a repository is, and where its files can be edited, for hosts whose pages are known. No DOM.
 */

const COMMIT = /^[0-9a-f]{40}$/;

/**
 * @param spec - what was launched, such as `gh/kim/demo/main`
 * @param file - a file of the repository
 * @param line - the line in it, from 1; 0: not known
 * @returns an address on GitHub or GitLab; empty for other hosts
 */
export function editUrl(spec: string, file: string, line = 0): string {
  const [provider, ...rest] = spec.split("/");
  let project: string;
  let ref: string;
  if (provider === "gh") {
    project = `https://github.com/${rest.slice(0, 2).join("/")}`;
    ref = rest.slice(2).join("/");
  } else if (provider === "gl") {
    project = `https://gitlab.com/${decoded(rest[0] ?? "")}/-`;
    ref = rest.slice(1).join("/");
  } else return "";
  ref = decoded(ref) || "HEAD";
  // Only a branch can be edited. A commit or the default branch can be looked at, with a button.
  const view = ref === "HEAD" || COMMIT.test(ref) ? "blob" : "edit";
  const path = [...ref.split("/"), ...file.split("/")].map(encodeURIComponent).join("/");
  const url = `${project}/${view}/${path}${line ? `#L${line}` : ""}`;
  // Attack: a log names a file outside the repository, or a spec another host.
  if (file.split("/").includes("..") || !URL.canParse(url)) return "";
  const { hostname } = new URL(url);
  return hostname === "github.com" || hostname === "gitlab.com" ? url : "";
}

/**
 * @param spec - what was launched
 * @returns the address of the repository's own page; empty if that is not known
 */
export function repositoryUrl(spec: string): string {
  const [provider, first = "", second = "", ...rest] = spec.split("/");
  const record = [first, second, ...rest].join("/");
  const url =
    provider === "gh" && second
      ? `https://github.com/${first}/${second}`
      : provider === "gl"
        ? `https://gitlab.com/${decoded(first)}`
        : provider === "gist" && second
          ? `https://gist.github.com/${first}/${second}`
          : provider === "git"
            ? decoded(first)
            : record.startsWith("10.")
              ? `https://doi.org/${record}`
              : "";
  // Attack: a spec with the address of a script.
  return /^https?:\/\//.test(url) && URL.canParse(url) ? url : "";
}

/** The branch, tag or commit of a spec; empty if it is the default branch, or a record. */
export function refOf(spec: string): string {
  const [provider = "", ...rest] = spec.split("/");
  const components = { gh: 2, gl: 1, gist: 2, git: 1 }[provider];
  const ref = components ? decoded(rest.slice(components).join("/")) : "";
  return ref === "HEAD" ? "" : ref;
}

/** Text without percent-encoding, as it is if that is not valid. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
