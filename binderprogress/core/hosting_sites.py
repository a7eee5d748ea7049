"""Reads the addresses of pages of git hosting sites, as people copy them from a browser.

GitHub, GitLab, Bitbucket and Codeberg are recognized by their hosts. Other sites that run GitLab,
Gitea, Forgejo, Bitbucket Server or GitHub Enterprise are recognized by the paths of their pages.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import SplitResult, parse_qs, parse_qsl, unquote

from ..errors import SpecError
from .hosting_pages import (
    COMMIT,
    Fields,
    Page,
    Query,
    Segments,
    Site,
    archive_ref,
    divide,
    divide_either,
    joined_ref,
)

__all__ = ["KNOWN_HOSTS", "host_of", "read_page", "refuse_other_pages"]

_Reader = Callable[[Site, Segments, Query], Page]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_GIST_ID = re.compile(r"[0-9a-f]{7,}|\d+", re.ASCII)
_NUMBER = re.compile(r"\d+", re.ASCII)
_DOCUMENTS = (
    *(".pdf", ".ipynb", ".html", ".htm", ".md", ".doc", ".docx", ".ppt", ".pptx", ".xls", ".xlsx"),
    *(".csv", ".json", ".png", ".jpg", ".jpeg", ".svg", ".zip", ".tgz", ".tar.gz"),
)
_NO_REPOSITORIES = _words(
    "arxiv.org google.com scholar.google.com pypi.org anaconda.org wikipedia.org "
    "en.wikipedia.org stackoverflow.com youtube.com"
)

_GITHUB_RESERVED = _words(
    "about apps codespaces collections contact customer-stories dashboard enterprise explore "
    "features issues join login marketplace new notifications orgs organizations pricing pulls "
    "readme search security settings signup site sponsors stars team topics trending users"
)
_GITLAB_RESERVED = _words(
    "- admin api dashboard explore groups help import jwt profile projects public s search "
    "snippets unsubscribes uploads users v2"
)
_OTHER_RESERVED = _words("account dashboard explore issues pulls user users workspace")
_GITEA_REFS = (["branch"], ["tag"], ["commit"])
_GITHUB_KINDS = frozenset({"tree", "blob", "raw", "commit", "pull"})
# GitLab allows no projects with these names, so old addresses without /-/ are unambiguous.
_GITLAB_OLD_KINDS = frozenset({"blob", "tree", "raw", "blame", "edit", "commits", "wikis"})


def host_of(parts: SplitResult) -> str:
    """Return the host of an address, in lower case and without ``www.``."""
    return (parts.hostname or "").removeprefix("www.")


def read_page(parts: SplitResult) -> Page | None:
    """Read the address of a page.

    Returns
    -------
    Page or None
        None if it is not a known page. git may be able to clone the address.

    Raises
    ------
    SpecError
        If the page shows no files of a repository. The message suggests another address.
    """
    segments = [segment for segment in parts.path.split("/") if segment]
    query = dict(parse_qsl(parts.query, errors="replace"))
    host = host_of(parts)
    if host in _SITES:
        site, read = _SITES[host]
        # With ssh, keys may give access to private repositories. Keep the address.
        if parts.scheme in {"http", "https"} or site.provider != "git":
            return read(site, segments, query)
    if parts.scheme not in {"http", "https"}:
        return None
    return _by_path(f"{parts.scheme}://{parts.netloc}/", segments, query)


def refuse_other_pages(parts: SplitResult) -> None:
    """Reject an address that is known not to be a repository.

    Raises
    ------
    SpecError
        The message suggests another address.
    """
    host, path = host_of(parts), parts.path.strip("/ ")
    user, _, domain = host.partition(".")
    if domain in {"github.io", "gitlab.io"}:
        site = domain.replace(".io", ".com")
        name = path.partition("/")[0][:100] or host
        raise SpecError(
            f"This is a page that a repository publishes. Use the address of the repository, "
            f"probably https://{site}/{user}/{name}."
        )
    if host == "mybinder.org" or domain == "mybinder.org":
        raise SpecError(
            "This is not a launch link of a BinderHub. A launch link has the form "
            "https://mybinder.org/v2/gh/<user>/<repository>/<ref>."
        )
    query = parse_qs(parts.query, errors="replace")
    if path.endswith("git-pull") and "repo" in query:
        raise SpecError(
            "This is a link for nbgitpuller. Use the address of the repository that it pulls: "
            f"{query['repo'][0][:200]}."
        )
    if path.lower().endswith(_DOCUMENTS):
        raise SpecError(
            "This is the address of a single file. Use the address of the repository, or the DOI "
            "of the record, that the file is in."
        )
    if not path or host in _NO_REPOSITORIES or query.keys() & {"q", "query"}:
        raise SpecError(
            "This is not the address of a repository. Use an address such as "
            "https://github.com/<user>/<repository>."
        )


def _github(site: Site, segments: Segments, _: Query) -> Page:
    site.check_repository(segments, _GITHUB_RESERVED)
    repository, kind, rest = segments[:2], "".join(segments[2:3]), segments[3:]
    fields = _github_fields(kind, rest)
    if fields is None:
        site.refuse(kind, repository)
    return site.page(repository, **fields)


def _github_fields(kind: str, rest: Segments) -> Fields | None:
    """Return the ref and path that a page of GitHub shows. None if it shows no files."""
    match kind, *rest:
        case ["" | "tree" | "blob"]:
            return {}
        case ["tree" | "commits", *_]:
            return divide(rest)
        case ["blob" | "raw" | "blame" | "edit", _, *_]:
            return divide(rest, is_file=True)
        case ["commit", commit, *_]:
            return joined_ref([commit])
        case ["pull", _, "commits" | "changes", commit, *_] if COMMIT.fullmatch(commit):
            return joined_ref([commit])
        case ["pull", number, *_] if _NUMBER.fullmatch(number):
            return {"ref": f"refs/pull/{number}/head"}
        case ["releases", "tag", _, *_]:
            return joined_ref(rest[1:])
        case ["archive" | "zipball" | "tarball", _, *_]:
            return archive_ref(rest)
    return None


def _github_raw(site: Site, segments: Segments, _: Query) -> Page:
    """Read owner/name/ref/path."""
    site.check_repository(segments, _GITHUB_RESERVED)
    return site.page(segments[:2], **divide(segments[2:], is_file=True))


def _github_archive(site: Site, segments: Segments, _: Query) -> Page:
    """Read owner/name/zip/ref."""
    site.check_repository(segments, _GITHUB_RESERVED)
    return site.page(segments[:2], **archive_ref(segments[3:]))


def _gist(site: Site, segments: Segments, _: Query) -> Page:
    match segments:
        case [gist] if _GIST_ID.fullmatch(gist.removesuffix(".git")):
            # The owner is missing, but git can clone it.
            return Site("git", site.root).page(segments)
        case [_, _]:
            return site.page(segments)
        case [user, gist, "archive", commit]:
            return site.page([user, gist], **archive_ref([commit]))
        case [user, gist, "raw", commit, *path] if COMMIT.fullmatch(commit):
            return site.page([user, gist], ref=commit, path=unquote("/".join(path)))
        case [user, gist, "raw", *path]:
            return site.page([user, gist], path=unquote("/".join(path)))
        case [user, gist, ("revisions" | "stargazers" | "forks")]:
            return site.page([user, gist])
        case [user, gist, ref]:
            return site.page([user, gist], **joined_ref([ref]))
    raise SpecError("This is not the address of a gist. Use https://gist.github.com/<user>/<id>.")


def _gitlab(site: Site, segments: Segments, _: Query) -> Page:
    site.check_repository(segments, _GITLAB_RESERVED)
    if "-" in segments:
        cut = segments.index("-")
        kind, rest = "".join(segments[cut + 1 : cut + 2]), segments[cut + 2 :]
    else:
        indexes = (n for n, name in enumerate(segments) if n > 1 and name in _GITLAB_OLD_KINDS)
        cut = next(indexes, len(segments))
        kind, rest = "".join(segments[cut : cut + 1]), segments[cut + 1 :]
    fields = _gitlab_fields(kind, rest)
    if fields is None:
        site.refuse(kind, segments[:cut])
    return site.page(segments[:cut], **fields)


def _gitlab_fields(kind: str, rest: Segments) -> Fields | None:
    match kind, *rest:
        case ["" | "tree" | "blob"]:
            return {}
        case ["tree" | "commits", *_]:
            return divide(rest)
        case ["blob" | "raw" | "blame" | "edit", _, *_]:
            return divide(rest, is_file=True)
        case ["commit", commit, *_]:
            return joined_ref([commit])
        case ["merge_requests", number, *_] if _NUMBER.fullmatch(number):
            return {"ref": f"refs/merge-requests/{number}/head"}
        case ["tags" | "releases", _, *_]:
            return joined_ref(rest)
        case ["archive", _, _, *_]:
            # The last segment is the name of the file.
            return joined_ref(rest[:-1])
    return None


def _bitbucket(site: Site, segments: Segments, query: Query) -> Page:
    site.check_repository(segments, _OTHER_RESERVED)
    repository, kind, rest = segments[:2], "".join(segments[2:3]), segments[3:]
    match kind, *rest:
        case ["" | "src"]:
            fields: Fields = {}
        case ["src" | "raw" | "annotate", _, *path] if query.get("at"):
            fields = {"ref": query["at"].removeprefix("refs/heads/")}
            fields["path"] = unquote("/".join(path))
        case ["src", *_]:
            fields = divide_either(rest)
        case ["raw" | "annotate", _, *_]:
            fields = divide(rest, is_file=True)
        case ["branch", _, *_]:
            fields = joined_ref(rest)
        case ["commits", "branch" | "tag", _, *_]:
            fields = joined_ref(rest[1:])
        case ["commits", commit, *_]:
            fields = joined_ref([commit])
        case ["get", _, *_]:
            fields = archive_ref(rest)
        case ["pull-requests", *_]:
            raise SpecError(
                "git cannot fetch pull requests of Bitbucket. Use the address of the branch: "
                f"{site.root}{'/'.join(repository)}/branch/<branch>."[:400]
            )
        case _:
            site.refuse(kind, repository)
    return site.page(repository, **fields)


def _gitea(site: Site, segments: Segments, _: Query) -> Page:
    site.check_repository(segments, _OTHER_RESERVED)
    repository, kind, rest = segments[:2], "".join(segments[2:3]), segments[3:]
    fields = _gitea_fields(kind, rest)
    if fields is None:
        site.refuse(kind, repository)
    return site.page(repository, **fields)


def _gitea_fields(kind: str, rest: Segments) -> Fields | None:
    match kind, *rest:
        case ["" | "src"]:
            return {}
        case ["src" | "raw" | "media" | "blame" | "commits", "commit", commit, *path]:
            return {"ref": unquote(commit), "path": unquote("/".join(path))}
        case ["raw" | "media" | "blame", "branch" | "tag", _, *_]:
            return divide(rest[1:], is_file=True)
        case ["src" | "commits", "branch" | "tag", _, *_]:
            return divide_either(rest[1:])
        case ["commit", commit, *_]:
            return joined_ref([commit])
        case ["pulls", number, "commits", commit, *_] if _NUMBER.fullmatch(number):
            return joined_ref([commit])
        case ["pulls", number, *_] if _NUMBER.fullmatch(number):
            return {"ref": f"refs/pull/{number}/head"}
        case ["releases", "tag", _, *_]:
            return joined_ref(rest[1:])
        case ["archive", _, *_]:
            return archive_ref(rest)
    return None


def _notebook_viewer(site: Site, segments: Segments, query: Query) -> Page:
    """Read addresses of nbviewer and Colab, which contain those of GitHub."""
    match segments:
        case ["github", *rest] if len(rest) >= 2:
            return _github(_GITHUB, rest, query)
        case ["gist", user, gist, *_]:
            return _GIST.page([user, gist])
    raise SpecError(
        f"{site.root} shows notebooks of other sites. Use the address of the notebook's "
        "repository, such as https://github.com/<user>/<repository>."
    )


def _by_path(root: str, segments: Segments, query: Query) -> Page | None:
    """Read a page of an unknown site, by its path."""
    if "-" in segments[2:]:
        cut = segments.index("-", 2)
        fields = _gitlab_fields("".join(segments[cut + 1 : cut + 2]), segments[cut + 2 :])
        # Without the suffix, GitLab redirects. git does not always follow redirects.
        return Site("git", root, ".git").page(segments[:cut], **fields) if fields else None
    if segments[2:3] in (["src"], ["raw"], ["media"]) and segments[3:4] in _GITEA_REFS:
        return _gitea(Site("git", root), segments, query)
    if segments[-1:] == ["browse"] or "browse" in segments[4:]:
        return _bitbucket_server(root, segments, query)
    indexes = (n for n, name in enumerate(segments) if n > 1 and name in _GITHUB_KINDS)
    cut = next(indexes, 0)
    fields = _github_fields(segments[cut], segments[cut + 1 :]) if cut else None
    return Site("git", root).page(segments[:cut], **fields) if fields else None


def _bitbucket_server(root: str, segments: Segments, query: Query) -> Page | None:
    """Read projects/key/repos/name/browse/path, perhaps below a prefix."""
    cut = segments.index("browse")
    if segments[cut - 4 : cut - 3] != ["projects"] or segments[cut - 2 : cut - 1] != ["repos"]:
        return None
    project, name = segments[cut - 3], segments[cut - 1]
    at = query.get("at", "").removeprefix("refs/heads/").removeprefix("refs/tags/")
    repository = [*segments[: cut - 4], "scm", project, f"{name}.git"]
    return Site("git", root).page(repository, ref=at, path=unquote("/".join(segments[cut + 1 :])))


_GITHUB = Site("gh", "https://github.com/")
_GIST = Site("gist", "https://gist.github.com/")
_SITES: dict[str, tuple[Site, _Reader]] = {
    "github.com": (_GITHUB, _github),
    "raw.githubusercontent.com": (_GITHUB, _github_raw),
    "codeload.github.com": (_GITHUB, _github_archive),
    "gist.github.com": (_GIST, _gist),
    "gist.githubusercontent.com": (_GIST, _gist),
    "gitlab.com": (Site("gl", "https://gitlab.com/"), _gitlab),
    "bitbucket.org": (Site("git", "https://bitbucket.org/"), _bitbucket),
    "codeberg.org": (Site("git", "https://codeberg.org/"), _gitea),
    "gitea.com": (Site("git", "https://gitea.com/"), _gitea),
    "nbviewer.org": (Site("gh", "https://nbviewer.org/"), _notebook_viewer),
    "nbviewer.jupyter.org": (Site("gh", "https://nbviewer.org/"), _notebook_viewer),
    "colab.research.google.com": (
        Site("gh", "https://colab.research.google.com/"),
        _notebook_viewer,
    ),
}

KNOWN_HOSTS = frozenset(_SITES)
"""Hosts whose addresses are recognized without ``https://``."""
