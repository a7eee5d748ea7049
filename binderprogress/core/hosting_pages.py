"""Parts of the addresses of pages that show git repositories: repository, ref and path."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn
from urllib.parse import quote, unquote

import msgspec

from ..errors import SpecError

__all__ = [
    "COMMIT",
    "Fields",
    "Page",
    "Query",
    "Segments",
    "Site",
    "archive_ref",
    "candidate_refs",
    "divide",
    "divide_either",
    "joined_ref",
]

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.ASCII)
_ARCHIVE_SUFFIX = re.compile(r"\.(?:zip|tar|tar\.gz|tar\.bz2|tgz|bundle)$")

# If one of these is a branch or a tag, git allows no other ref that continues it with a slash.
_CERTAIN_REF = re.compile(r"HEAD|main|master|trunk|gh-pages|v?\d+\.\d[\w.+-]*", re.ASCII)
# Usually a branch, but dev/x may be one, too.
_LIKELY_REF = re.compile(r"dev|devel|develop|development|staging|production", re.ASCII)

Query = Mapping[str, str]
Segments = Sequence[str]
Fields = dict[str, Any]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """The repository, ref and path that a page shows.

    Attributes
    ----------
    provider : str
        ``gh``, ``gl``, ``gist`` or ``git``.
    repository : str
        What follows the provider in a spec, quoted.
    ref : str
        Branch, tag or commit; empty for the default branch.
    path : str
        A file or folder of the repository. Empty for the repository itself.
    undivided : str
        Ref and path together, if the address does not say where the ref ends. Otherwise empty.
    is_file : bool
        Whether `undivided` ends with a file, so that the ref is not all of it.
    """

    provider: str
    repository: str
    ref: str = ""
    path: str = ""
    undivided: str = ""
    is_file: bool = False


_PAGES = {
    "issues": "an issue",
    "wiki": "a wiki",
    "wikis": "a wiki",
    "discussions": "a discussion",
    "compare": "a comparison",
    "releases": "a list of releases",
    "tags": "a list of tags",
    "branches": "a list of branches",
    "pulls": "a list of pull requests",
    "merge_requests": "a list of merge requests",
    "actions": "a workflow",
    "pipelines": "a pipeline",
    "jobs": "a job",
    "snippets": "a snippet",
    "downloads": "a download",
    "packages": "a package",
    "projects": "a project board",
    "settings": "a settings page",
    "search": "a search",
}


class Site(msgspec.Struct, frozen=True):
    """A site that hosts repositories.

    Attributes
    ----------
    provider : str
        The provider of its specs.
    root : str
        Its address, with a trailing slash.
    suffix : str
        Appended to the path of a repository to clone it.
    """

    provider: str
    root: str
    suffix: str = ""

    def page(self, repository: Segments, **fields: Any) -> Page:
        """Return a page of a repository. The segments of its path are percent-encoded."""
        path = "/".join(repository)
        if self.provider in {"gh", "gist"}:
            name = path
        elif self.provider == "gl":
            name = quote(unquote(path), safe="")
        else:
            suffix = "" if path.endswith(".git") else self.suffix
            name = quote(f"{self.root}{path}{suffix}", safe="")
        return Page(provider=self.provider, repository=name, **fields)

    def refuse(self, kind: str, repository: Segments) -> NoReturn:
        """Reject a page of a repository that shows no files."""
        what = _PAGES.get(kind, f"a page about {unquote(kind)[:40]!r}")
        raise SpecError(
            f"This is the address of {what}, not of files that can be launched. Use the address of "
            f"the repository: {self.root}{'/'.join(repository)}"[:400]
            + "."
        )

    def check_repository(self, segments: Segments, reserved: frozenset[str]) -> None:
        """Reject pages that are not of a repository, such as profiles and searches."""
        if segments and (segments[0] in reserved or segments[0] == "-"):
            raise SpecError(
                f"{self.root}{segments[0][:40]} is not the address of a repository. "
                f"Use {self.root}<user>/<repository>."
            )
        if len(segments) < 2:
            owner = segments[0][:100] if segments else "<user>"
            raise SpecError(
                f"This is the page of a user or an organization, not of a repository. "
                f"Use the address of one of its repositories: {self.root}{owner}/<repository>."
            )


def candidate_refs(undivided: str, *, is_file: bool) -> list[str]:
    """Return all refs that an undivided ref and path may start with, the longest first."""
    parts = undivided.split("/")
    longest = len(parts) - 1 if is_file else len(parts)
    return ["/".join(parts[:count]) for count in range(longest, 0, -1)]


def divide(segments: Segments, *, is_file: bool = False) -> Fields:
    """Divide what follows ``tree/`` or ``blob/`` into ref and path.

    The ref of a file is assumed to have no slash. For a folder, everything is assumed to be the
    ref, unless it starts with a typical name of a branch or tag. If this may be wrong, the result
    also has the undivided text.
    """
    parts = [unquote(segment) for segment in segments]
    if parts[:2] in (["refs", "heads"], ["refs", "tags"]):
        parts = parts[2:]
    if not parts:
        return {}
    is_certain = _CERTAIN_REF.fullmatch(parts[0]) or COMMIT.fullmatch(parts[0])
    count = 1 if is_file or is_certain or _LIKELY_REF.fullmatch(parts[0]) else len(parts)
    fields: Fields = {"ref": "/".join(parts[:count]), "path": "/".join(parts[count:])}
    longest = len(parts) - 1 if is_file else len(parts)
    if longest > 1 and not is_certain:
        fields |= {"undivided": "/".join(parts), "is_file": is_file}
    return fields


def divide_either(segments: Segments) -> Fields:
    """Divide what follows ``src/``. It is a file if its name has a suffix."""
    fields = divide(segments)
    is_file = len(segments) > 1 and re.search(r"\.\w+$", segments[-1])
    return divide(segments, is_file=True) if is_file and not fields["path"] else fields


def joined_ref(segments: Segments) -> Fields:
    """Read a ref that consists of all segments."""
    return {"ref": unquote("/".join(segments))}


def archive_ref(segments: Segments) -> Fields:
    """Read the ref of ``archive/<ref>.zip``."""
    ref = "/".join(segments)
    ref = ref.removeprefix("refs/heads/").removeprefix("refs/tags/")
    return {"ref": unquote(_ARCHIVE_SUFFIX.sub("", ref))}
