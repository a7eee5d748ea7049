"""Specs: how a repository and a ref are named.

A spec is what BinderHub calls it, ``<provider>/<...>/<ref>``:

========================================  ==============================================
``gh/<user>/<repository>/<ref>``           GitHub
``gl/<quoted namespace>/<ref>``            GitLab
``gist/<user>/<id>/<ref>``                 a gist
``git/<quoted address>/<ref>``             any git repository, a local one by ``file://``
========================================  ==============================================
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, urlsplit

import msgspec

from ..errors import SpecError

__all__ = ["PROVIDERS", "Spec", "from_address", "looks_like_spec", "parse"]

PROVIDERS = {"gh": "GitHub", "gl": "GitLab", "gist": "Gist", "git": "Git"}
"""The providers that are known, with their names for people."""

_SCHEMES = {"https", "http", "git", "ssh", "file"}
_SCP_LIKE = re.compile(r"[\w.-]+@[\w.-]+:[^/].*")
# One component of a path on a hosting site.
_NAME = re.compile(r"[\w.][\w.-]*")
_REF = re.compile(r"[^\s\x00-\x1f\x7f~^:?*\[\\]+")
_LONGEST = 2048


class Spec(msgspec.Struct, frozen=True):
    """A repository and a ref, not looked up yet.

    Attributes
    ----------
    provider : str
        A key of `PROVIDERS`.
    repo_url : str
        What git clones.
    ref : str
        Branch, tag or commit; ``HEAD`` is the default branch.
    """

    provider: str
    repo_url: str
    ref: str

    def __str__(self) -> str:
        path = urlsplit(self.repo_url).path.strip("/").removesuffix(".git")
        ref = quote(self.ref, safe="/")
        if self.provider == "gh":
            return f"gh/{path}/{ref}"
        if self.provider == "gist":
            return f"gist/{path}/{ref}"
        if self.provider == "gl":
            return f"gl/{quote(path, safe='')}/{ref}"
        return f"git/{quote(self.repo_url, safe='')}/{ref}"

    @property
    def title(self) -> str:
        """A short name for people."""
        path = self.repo_url.rsplit(":", 1)[-1].rstrip("/").removesuffix(".git")
        parts = [part for part in path.split("/") if part]
        return "/".join(parts[-1:] if self.is_local else parts[-2:]) or self.repo_url

    @property
    def is_local(self) -> bool:
        """Whether the repository is a folder of the server's own machine."""
        return self.repo_url.startswith("file:")

    def at(self, ref: str) -> Spec:
        """Return the same repository at another ref."""
        return msgspec.structs.replace(self, ref=_check_ref(ref))


def looks_like_spec(text: str) -> bool:
    """Whether `text` begins as a spec does."""
    return text.split("/", 1)[0] in PROVIDERS and text.count("/") >= 2


def parse(text: str) -> Spec:
    """Read a spec, quoted as it stands in a URL's path.

    Raises
    ------
    SpecError
        With a sentence that says what is wrong and what is right.
    """
    if len(text) > _LONGEST:
        raise SpecError(f"This spec is longer than {_LONGEST} characters.")
    provider, _, rest = text.strip("/").partition("/")
    if provider not in PROVIDERS:
        raise SpecError(
            f"The provider {provider[:40]!r} is not known here; known are {', '.join(PROVIDERS)}."
        )
    if provider in {"gh", "gist"}:
        owner, _, rest = rest.partition("/")
        name, _, ref = rest.partition("/")
        name = name.removesuffix(".git")
        if not (_NAME.fullmatch(owner) and _NAME.fullmatch(name)):
            what = "gh/<user>/<repository>/<ref>" if provider == "gh" else "gist/<user>/<id>/<ref>"
            raise SpecError(f"A {PROVIDERS[provider]} spec reads {what}.")
        host = "github.com" if provider == "gh" else "gist.github.com"
        return Spec(provider, f"https://{host}/{owner}/{name}", _check_ref(unquote(ref)))
    quoted, _, ref = rest.partition("/")
    address = unquote(quoted)
    if provider == "gl":
        path = address.removesuffix(".git")
        if path.count("/") < 1 or not all(_NAME.fullmatch(part) for part in path.split("/")):
            raise SpecError("A GitLab spec reads gl/<group>%2F<project>/<ref>.")
        return Spec("gl", f"https://gitlab.com/{path}", _check_ref(unquote(ref)))
    return Spec("git", _check_address(address), _check_ref(unquote(ref)))


def from_address(address: str, ref: str = "") -> Spec:
    """Make a spec of a repository's address, as one copies it from a browser or from git.

    Raises
    ------
    SpecError
        If it is no address that git could clone.
    """
    address = _check_address(address.strip())
    parts = urlsplit(address)
    segments = [segment for segment in parts.path.split("/") if segment]
    if parts.hostname == "github.com" and len(segments) >= 2:
        if not ref and len(segments) > 3 and segments[2] in {"tree", "commit"}:
            ref = "/".join(segments[3:])
        return parse(f"gh/{segments[0]}/{segments[1]}/{quote(ref, safe='/')}")
    if parts.hostname == "gist.github.com" and len(segments) == 2:
        return parse(f"gist/{segments[0]}/{segments[1]}/{quote(ref, safe='/')}")
    if parts.hostname == "gitlab.com" and len(segments) >= 2:
        if "-" in segments:
            cut = segments.index("-")
            if not ref and segments[cut + 1 : cut + 2] in (["tree"], ["commit"]):
                ref = "/".join(segments[cut + 2 :])
            segments = segments[:cut]
        namespace = "/".join(segments).removesuffix(".git")
        return parse(f"gl/{quote(namespace, safe='')}/{quote(ref, safe='/')}")
    return Spec("git", address, _check_ref(ref))


def _check_address(address: str) -> str:
    if any(ord(character) < 32 or ord(character) == 127 for character in address):
        raise SpecError("A repository's address has no control characters.")
    if _SCP_LIKE.fullmatch(address):
        return address
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise SpecError(f"{address[:100]!r} is not an address: {error}.") from error
    # A leading dash would be an option for git, and "ext::" a command.
    if parts.scheme not in _SCHEMES:
        raise SpecError(
            f"{address[:100]!r} is not the address of a repository: it begins with https:// "
            "(or http://, git://, ssh://, file://)."
        )
    if parts.password or (parts.username and parts.scheme in {"http", "https"}):
        # It would stand in logs, links and process lists.
        raise SpecError("An address with a password or token in it is not taken.")
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
            raise SpecError("A local repository reads file:///path/of/the/repository.")
    elif not parts.hostname or parts.hostname.startswith("-"):
        raise SpecError(f"{address[:100]!r} names no host.")
    return address


def _check_ref(ref: str) -> str:
    ref = ref.strip("/") or "HEAD"
    if ref.startswith("-") or ".." in ref or "@{" in ref or not _REF.fullmatch(ref):
        raise SpecError(f"{ref[:100]!r} is not the name of a branch, a tag or a commit.")
    return ref
