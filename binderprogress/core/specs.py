"""Specs, which name a repository and a ref.

As in BinderHub, a spec has the form ``<provider>/<...>/<ref>``. Records of archives have no ref:

========================================  ==============================================
``gh/<user>/<repository>/<ref>``           GitHub
``gl/<quoted namespace>/<ref>``            GitLab
``gist/<user>/<id>/<ref>``                 a gist
``git/<quoted address>/<ref>``             any git repository, a local one by ``file://``
``zenodo/<DOI>``                           a record of Zenodo
``figshare/<DOI>``                         an article of Figshare
``dataverse/<DOI>``                        a dataset of a Dataverse
``hydroshare/<id>``                        a resource of HydroShare
``ckan/<quoted address>``                  a dataset of a CKAN
========================================  ==============================================
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

import msgspec

from ..errors import BadRequestError, SpecError
from .archive_pages import looks_like_record, read_record
from .archive_specs import DOI, RECORDS, page_of, without_page
from .hosting_pages import candidate_refs
from .hosting_sites import KNOWN_HOSTS, host_of, read_page, refuse_other_pages
from .redact import redact, redact_address, without_credentials
from .swhids import looks_like_swhid, read_origin
from .urlpaths import check_urlpath, file_urlpath, requested_urlpath

__all__ = [
    "PROVIDERS",
    "RECORDS",
    "Spec",
    "Target",
    "from_address",
    "has_host",
    "is_address",
    "looks_like_address",
    "looks_like_spec",
    "parse",
    "read_address",
]

PROVIDERS = {"gh": "GitHub", "gl": "GitLab", "gist": "Gist", "git": "Git", **RECORDS}
"""All providers, and their names for people."""

_SCHEMES = {"https", "http", "git", "ssh", "file"}
# ssh and git would take a user or a path with a leading dash as an option.
_SCP_LIKE = re.compile(r"\w[\w.-]*@\w[\w.-]*:[^/:-].*")
# One component of a path on a hosting site, except "." and "..".
_NAME = re.compile(r"(?!\.\.?$)[\w.][\w.-]*", re.ASCII)
_REF = re.compile(r"[^\s~^:?*\[\\]+")
_LONGEST = 2048
# <user>/<repository>, as GitHub allows them.
_IN_GITHUB = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[\w.-]+", re.ASCII)
# Without a scheme, only typical hosts of repositories are recognized.
_GIT_HOST = re.compile(r"(?:www|git[\w-]*|forgejo|code)\.[\w.-]+\w", re.ASCII)
_BINDERHUB = re.compile(
    rf"[\w.-]+(?::\d+)?/(?:[^?#]+/)?v2/((?:{'|'.join(PROVIDERS)})/[^?#]+)", re.ASCII
)
_SCHEME = re.compile(r"(?:https?|git|ssh|file|doi|swh):", re.IGNORECASE)
_HAS_CREDENTIALS = (
    "The address contains a password or token, which would appear in links and logs. Use the "
    "address without it."
)


class Spec(msgspec.Struct, frozen=True):
    """A repository and a ref that is not resolved yet.

    Attributes
    ----------
    provider : str
        A key of `PROVIDERS`.
    repo_url : str
        The address that git clones, or the address of a record's page.
    ref : str
        A branch, tag or commit. ``HEAD`` is the default branch. Empty for a record.
    """

    provider: str
    repo_url: str
    ref: str

    def __str__(self) -> str:
        if self.is_record:
            return f"{self.provider}/{without_page(self.provider, self.repo_url)}"
        path = urlsplit(self.repo_url).path.strip("/")
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
        scheme, _, path = self.repo_url.rpartition("://")
        if not scheme:
            path = path.partition(":")[2]  # of user@host:path
        if self.is_record:
            path = path.partition("?")[0]
        path = unquote(path).rstrip("/").removesuffix(".git")
        parts = [part for part in path.split("/") if part]
        title = "/".join(parts[-1:] if self.is_local else parts[-2:])
        # An unquoted path may contain any character.
        return "".join(filter(str.isprintable, title)) or self.repo_url

    @property
    def clone_url(self) -> str:
        """The address that git clones. GitLab redirects git from the address of the page."""
        return f"{_without_git(self.repo_url)}.git" if self.provider == "gl" else self.repo_url

    @property
    def is_record(self) -> bool:
        """Whether this is a record of an archive, and not a git repository."""
        return self.provider in RECORDS

    @property
    def is_local(self) -> bool:
        """Whether the repository is a folder on the server."""
        return self.repo_url.startswith("file:")

    @property
    def is_ssh(self) -> bool:
        """Whether git would use ssh: ``ssh://host/path`` or ``user@host:path``."""
        return self.repo_url.startswith("ssh:") or "://" not in self.repo_url

    def at(self, ref: str) -> Spec:
        """Return the same repository at another ref.

        Raises
        ------
        SpecError
            If the ref is not valid, or a record is given a ref.
        """
        if self.is_record:
            if ref:
                raise SpecError(
                    f"A {RECORDS[self.provider]} record has no branches, tags or commits. "
                    "Leave out the ref."
                )
            return self
        return msgspec.structs.replace(self, ref=_check_ref(ref))


class Target(msgspec.Struct, frozen=True):
    """A repository at a ref, and what to open in its server, as named by an address.

    Attributes
    ----------
    spec : Spec
        The repository. If it is not clear where the ref ends, it has the most likely ref.
    path : str
        A file or folder of the repository. Empty if the address names none.
    requested : str
        The path in the server, from a BinderHub link.
    undivided : str
        Ref and path together, if the address does not say where the ref ends. Otherwise empty.
    is_file : bool
        Whether `undivided` ends with a file.
    """

    spec: Spec
    path: str = ""
    requested: str = ""
    undivided: str = ""
    is_file: bool = False

    @property
    def urlpath(self) -> str:
        """The path to open in the server. Empty if the address names none."""
        path = self.path.strip().strip("/")
        return self.requested or (file_urlpath(path) if path else "")

    @property
    def refs(self) -> list[str]:
        """The possible refs, the longest first. Empty if the address is unambiguous."""
        if not self.undivided:
            return []
        refs = candidate_refs(self.undivided, is_file=self.is_file)
        return [ref for ref in refs if _REF.fullmatch(ref)]

    def at(self, ref: str) -> Target:
        """Return the target at another ref. If it is one of `refs`, the path is what follows it."""
        path = self.path
        if self.undivided.startswith(f"{ref}/"):
            path = self.undivided.removeprefix(f"{ref}/")
        elif self.undivided == ref:
            path = ""
        return Target(self.spec.at(ref), path, self.requested)


def looks_like_spec(text: str) -> bool:
    """Whether `text` begins like a spec."""
    provider, _, rest = text.partition("/")
    if provider in RECORDS:
        return bool(rest)
    # The ref may be missing, and a quoted address contains slashes.
    return provider in PROVIDERS and ("/" in rest or "%2F" in rest.upper())


def looks_like_address(text: str) -> bool:
    """Whether `text` may be an address, a DOI, or ``<user>/<repository>`` of GitHub."""
    text = _tidy(text)
    return ":" in text or looks_like_record(text)


def is_address(text: str) -> bool:
    """Whether `text` has the scheme of an address, and so cannot be a spec."""
    return _SCHEME.match(text.lstrip(" <")) is not None


def has_host(text: str) -> bool:
    """Whether `text` is an address with a host, with or without a scheme."""
    text = text.strip()
    return "://" in _tidy(text) and not _IN_GITHUB.fullmatch(text)


def parse(text: str) -> Spec:
    """Parse a spec, percent-encoded as in the path of a URL.

    Raises
    ------
    SpecError
        If it is not valid. The message says what is expected.
    """
    if len(text) > _LONGEST:
        raise SpecError(f"This spec is longer than {_LONGEST} characters.")
    provider, _, rest = text.strip("/").partition("/")
    if provider not in PROVIDERS:
        shown = redact_address(provider)[:40]
        raise SpecError(f"Unknown provider {shown!r}. The providers are {', '.join(PROVIDERS)}.")
    if provider in RECORDS:
        rest = unquote(rest).strip("/")
        if provider == "ckan":
            # The result must be the same when it is parsed again.
            rest = rest.partition("#")[0]
            while rest[-1:] == "/" or rest[-1:].isspace():
                rest = rest[:-1]
            rest = _check_address(rest)
        return _bounded(Spec(provider, page_of(provider, rest), ""))
    if provider in {"gh", "gist"}:
        owner, _, rest = rest.partition("/")
        name, _, ref = rest.partition("/")
        name = _without_git(name)
        if not (_NAME.fullmatch(owner) and _NAME.fullmatch(name)):
            what = "gh/<user>/<repository>/<ref>" if provider == "gh" else "gist/<user>/<id>/<ref>"
            raise SpecError(f"A {PROVIDERS[provider]} spec has the form {what}.")
        host = "github.com" if provider == "gh" else "gist.github.com"
        return _bounded(Spec(provider, f"https://{host}/{owner}/{name}", _check_ref(unquote(ref))))
    quoted, _, ref = rest.partition("/")
    address = unquote(quoted)
    if provider == "git" and _SCHEME.fullmatch(address):
        raise SpecError(
            "In a git spec, the address is percent-encoded: "
            "git/https%3A%2F%2Fgit.example.org%2F<repository>/<ref>."
        )
    if provider == "gl":
        path = _without_git(address)
        if path.count("/") < 1 or not all(_NAME.fullmatch(part) for part in path.split("/")):
            raise SpecError("A GitLab spec has the form gl/<group>%2F<project>/<ref>.")
        return _bounded(Spec("gl", f"https://gitlab.com/{path}", _check_ref(unquote(ref))))
    return _bounded(Spec("git", _check_address(address), _check_ref(unquote(ref))))


def from_address(address: str, ref: str = "") -> Spec:
    """Return the spec of an address; see `read_address`."""
    return read_address(address, ref).spec


def read_address(address: str, ref: str = "") -> Target:
    """Read the address of a repository or a record, as people copy it.

    Parameters
    ----------
    address : str
        What git clones, the address of a page of a site that hosts repositories, a link to a
        BinderHub, a DOI, the page of an archive, or ``<user>/<repository>`` of GitHub.
    ref : str
        Branch, tag or commit. The default is the ref in the address, or the default branch.

    Raises
    ------
    SpecError
        If it is none of these, contains a password or token, or shows nothing that can be launched.
    """
    if len(address) + len(ref) > _LONGEST:
        raise SpecError(f"This address is longer than {_LONGEST} characters.")
    address, ref = _tidy(address), ref.strip()
    try:
        target = Target(parse(address)) if looks_like_spec(address) else _read(address)
        for path in (target.urlpath, file_urlpath(target.undivided)):
            check_urlpath(path)
    except SpecError:
        raise
    except BadRequestError as error:
        raise SpecError(str(error)) from error
    return target.at(ref) if ref else target


def _tidy(text: str) -> str:
    """Return an address with a scheme, and without text that people copy along with it."""
    text = text.strip()
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1].strip()
    text = text.removeprefix("git clone ").strip()
    if DOI.fullmatch(text):
        return text
    host = text.partition("/")[0].lower()
    is_bare = host.removeprefix("www.") in KNOWN_HOSTS or _GIT_HOST.fullmatch(host)
    if is_bare or _BINDERHUB.match(text) or looks_like_record(text):
        return f"https://{text}"
    if _IN_GITHUB.fullmatch(text) and host not in PROVIDERS:
        return f"https://github.com/{text}"
    return text


def _read(address: str) -> Target:
    """Read the result of `_tidy`."""
    is_id = DOI.fullmatch(address) or looks_like_swhid(address)
    if is_id and redact(address) != address:
        raise SpecError(_HAS_CREDENTIALS)
    # Check before parts of the address are ignored: they may contain a token, too.
    address = address if is_id else _check_address(address)
    record = read_record(address)
    if record is not None:
        return Target(parse(record.spec), record.path)
    origin = read_origin(address)
    if origin is not None:
        target = _read(_tidy(origin.address))
        return Target(target.spec.at(origin.ref), origin.path)
    return _read_page(address)


def _read_page(address: str) -> Target:
    """Read the address of a web page, or one that git clones."""
    parts = urlsplit(address)
    host = host_of(parts)
    is_web = parts.scheme in {"http", "https"}
    link = _BINDERHUB.match(f"{parts.netloc}{parts.path}")
    if is_web and link and host not in KNOWN_HOSTS:
        query = dict(parse_qsl(parts.query, errors="replace"))
        return Target(parse(link[1]), requested=requested_urlpath(query))
    page = read_page(parts)
    if page is None:
        if is_web:
            refuse_other_pages(parts)
        return Target(_bounded(Spec("git", address, "HEAD")))
    ref, path, undivided = page.ref, page.path, page.undivided
    if undivided:
        # The name of a folder may contain characters that are not allowed in a ref.
        refs = candidate_refs(undivided, is_file=page.is_file)
        ref = ref if _REF.fullmatch(ref) else next(filter(_REF.fullmatch, refs), ref)
        path = undivided.removeprefix(ref).removeprefix("/")
    spec = parse(f"{page.provider}/{page.repository}/{quote(ref, safe='/')}")
    return Target(spec, path, "", undivided, page.is_file)


def _bounded(spec: Spec) -> Spec:
    """Reject a spec that would be too long to be parsed again."""
    if len(str(spec)) > _LONGEST:
        raise SpecError(f"This spec is longer than {_LONGEST} characters.")
    return spec


def _without_git(name: str) -> str:
    # All of them: the result must be the same when it is parsed again.
    while name.endswith(".git"):
        name = name.removesuffix(".git")
    return name


def _shown(address: str) -> str:
    return repr(redact_address(address)[:100])


def _check_address(address: str) -> str:
    address = address.strip()
    if not address.isprintable():
        # This includes lone surrogates and directional overrides.
        raise SpecError("A repository's address must not contain control characters.")
    if _SCP_LIKE.fullmatch(address):
        return address
    try:
        parts = urlsplit(address)
        # Attack: the password in "https://user:pass/word@host" is parsed as a port.
        parts.port  # noqa: B018 - raises if it is not a number
    except ValueError as error:
        # Without the message of the error, which contains the password.
        raise SpecError(f"{_shown(address)} has a malformed host or port.") from error
    # git would take a leading dash as an option, and "ext::" as a command.
    if parts.scheme not in _SCHEMES:
        raise SpecError(
            f"{_shown(address)} is not the address of a repository, which begins with https:// "
            "(or http://, git://, ssh://, file://)."
        )
    # Attack: "…?private_token=…" is a secret, too.
    bare = without_credentials(address)
    has_token = parts.scheme != "file" and redact(bare) != bare
    if has_token or parts.password or (parts.username and parts.scheme in {"http", "https"}):
        # It would appear in logs, links and process lists.
        raise SpecError(_HAS_CREDENTIALS)
    if parts.scheme == "file":
        return _check_local(address, parts)
    # git unquotes the host before it hands it to ssh.
    if not parts.hostname or unquote(parts.netloc.rpartition("@")[2]).startswith("-"):
        raise SpecError(f"{_shown(address)} has no valid host.")
    if unquote(parts.netloc).startswith("-"):
        raise SpecError("The user name in an address must not begin with a dash.")
    # git accepts only lower-case schemes.
    return parts.scheme + address[len(parts.scheme) :]


def _check_local(address: str, parts: SplitResult) -> str:
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise SpecError(
            "The address of a local repository has the form file:///path/of/the/repository."
        )
    if "?" in address or "#" in address:
        # For git, they are part of the path. urlsplit cuts the path there.
        raise SpecError("In the path of a local repository, write %3F for ? and %23 for #.")
    # git would take "localhost" as a folder.
    return f"file://{parts.path}"


def _check_ref(ref: str) -> str:
    ref = ref.strip("/") or "HEAD"
    if (
        ref.startswith("-")
        or ".." in ref
        or "@{" in ref
        or not ref.isprintable()
        or not _REF.fullmatch(ref)
    ):
        raise SpecError(f"{redact(ref)[:100]!r} is not a valid branch, tag or commit.")
    return ref
