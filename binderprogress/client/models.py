"""Launches, their states, and the Jupyter servers that they end in."""

from __future__ import annotations

from bisect import bisect_right
from urllib.parse import urlencode

import msgspec

from ..core import specs
from ..core.events import Event
from ..core.log.reasons import REASONS, failure
from ..core.phases import Phase
from ..core.printable import plain
from ..errors import LaunchFailedError, SpecError

__all__ = [
    "ImageStatus",
    "JupyterServer",
    "LaunchHandle",
    "LaunchSnapshot",
    "image_from",
    "read_target",
    "server_from",
]


class LaunchHandle(msgspec.Struct, frozen=True):
    """A launch that was started.

    Attributes
    ----------
    id : str
        Id of the launch. Whoever has it may watch and cancel the launch.
    spec : str
        The spec that is launched.
    page_url : str
        URL of the page that shows the launch; empty for a plain BinderHub.
    urlpath : str
        Path to open in the Jupyter server, if the launched URL names one.
    """

    id: str
    spec: str = ""
    page_url: str = ""
    urlpath: str = ""

    def __repr__(self) -> str:
        # Without the full id, which gives access to the launch.
        return f"<Launch {self.id[:6]}… {self.spec}>"


class LaunchSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a launch at one moment.

    Attributes
    ----------
    id, spec : str
    phase : Phase
    progress : float
        Progress in percent.
    step, message : str
        The current step, and the message of the newest event.
    repo_url, ref, commit : str
        The repository. The commit is empty until the ref is resolved.
    attempt : int
        Number of the attempt to start the server, from 1.
    created, now : float
        Start of the launch and time of this state, in seconds since 1970 (UTC).
    last : int
        Number of the newest event.
    viewers : int
        Number of connections that watch the launch.
    waiting_for_storage : bool
        Whether what happens is not shown yet, because the server's database is away.
    build_log_url : str
        Where the log of its build can be read, also when the launch is forgotten. Empty if it is
        not kept, or before there is a build.
    """

    id: str
    phase: Phase
    progress: float
    spec: str = ""
    step: str = ""
    message: str = ""
    repo_url: str = ""
    ref: str = ""
    commit: str = ""
    attempt: int = 1
    created: float = 0.0
    now: float = 0.0
    last: int = 0
    viewers: int = 0
    waiting_for_storage: bool = False
    build_log_url: str = ""


class LogLines(msgspec.Struct, frozen=True):
    """Some lines of a log.

    Attributes
    ----------
    first : int
        The number of the first of them, counted from 1.
    lines : list of str
        With the escape sequences of colours, and without what a terminal overwrites. Lines of more
        than 40,000 characters are cut.
    total : int
        How many lines the log has so far.
    settled : int
        How many of them cannot change any more: programs overwrite the last lines.
    """

    first: int
    lines: list[str]
    total: int
    settled: int


class LogMatches(msgspec.Struct, frozen=True):
    """Lines of a log that have a text.

    Attributes
    ----------
    hits : list of (int, int)
        The numbers of lines, counted from 1, and how many matches each has.
    next : int
        The line from which to search on. Beyond `total` if all was searched.
    total : int
        How many lines the log has so far.
    """

    hits: list[tuple[int, int]]
    next: int
    total: int


class LogTimes(msgspec.Struct, frozen=True):
    """When lines of a log were written: about one of them in a second.

    Attributes
    ----------
    lines : list of int
        The numbers of lines, counted from 1, in ascending order. Empty if the server has no times
        of this log.
    times : list of float
        When each of them was written, in seconds since 1970.
    total : int
        How many lines the log has so far.
    """

    lines: list[int]
    times: list[float]
    total: int

    def at(self, line: int) -> float | None:
        """Return when a line of the build was written, at most a second too early.

        Lines after those of the build are the launch's own: their events have their times.

        Parameters
        ----------
        line : int
            Its number, counted from 1.

        Returns
        -------
        float or None
            In seconds since 1970. None before the build, and beyond the end.
        """
        index = bisect_right(self.lines, line) - 1
        return self.times[index] if index >= 0 and line <= self.total else None


class JupyterServer(msgspec.Struct, frozen=True):
    """A running Jupyter server.

    Attributes
    ----------
    url : str
        URL of the server, with a trailing slash.
    token : str
        Its token; empty if it needs none.
    ready : Event
        The last event of the launch, which also has the image, repository and ref.
    """

    url: str
    token: str
    ready: Event

    def address(self, urlpath: str = "") -> str:
        """Return a URL with the token that opens the server in a browser.

        Parameters
        ----------
        urlpath : str
            Path to open in the server, such as ``lab/tree/index.ipynb``. It may have a query.
        """
        path, _, query = urlpath.lstrip("/").partition("?")
        token = urlencode({"token": self.token}) if self.token else ""
        full = "&".join(part for part in (query, token) if part)
        return f"{self.url}{path}" + (f"?{full}" if full else "")

    def __repr__(self) -> str:
        # Without the token.
        return f"<JupyterServer {self.url}>"


class ImageStatus(msgspec.Struct, frozen=True):
    """Whether the environment of a commit is built.

    Attributes
    ----------
    spec : str
        As it was asked for.
    commit : str
        The commit of its ref, if the server knows it.
    exists : bool or None
        Whether a launch would build nothing. None: the server does not know.
    building : bool
        Whether the server is building it.
    image : str
        The name of the image. Empty if there is none.
    where : str
        Where it is: a registry, a container engine, or `local`. Empty if it does not exist.
    built : float or None
        When it was built, in seconds since 1970, if that is known.
    """

    spec: str
    commit: str
    exists: bool | None
    building: bool
    image: str = ""
    where: str = ""
    built: float | None = None


def server_from(last: Event) -> JupyterServer:
    """Return the server of the last event of a launch.

    Raises
    ------
    LaunchFailedError
        If the launch failed or was cancelled.
    """
    if last.phase is not Phase.READY:
        raise _failure(last)
    url = last.url if last.url.endswith("/") or "?" in last.url else f"{last.url}/"
    return JupyterServer(url, last.token, last)


def image_from(last: Event) -> str:
    """Return the name of the image in the last event of a launch that only builds.

    Raises
    ------
    LaunchFailedError
        If it failed or was cancelled.
    """
    if last.phase is not Phase.READY:
        raise _failure(last)
    return plain(last.imageName)


def _failure(last: Event) -> LaunchFailedError:
    known = failure(last.reason if last.reason in REASONS else "unknown")
    return LaunchFailedError(
        plain(last.message).strip() or str(known),
        reason=last.reason or known.reason,
        subject=plain(last.subject),
        advice=plain(last.advice) or known.advice,
        evidence=[plain(line) for line in last.evidence],
        fault=last.fault,
        retry=last.retry,
        file=plain(last.file),
        line=last.line,
    )


def read_target(repository: str, ref: str = "") -> specs.Target:
    """Parse a spec or the URL of a repository.

    Parameters
    ----------
    repository : str
        A spec, or a URL.
    ref : str
        Branch, tag or commit; by default that of the spec, or the default branch.

    Raises
    ------
    SpecError
        If `repository` is neither, or invalid.
    """
    if not (specs.looks_like_spec(repository) or specs.looks_like_address(repository)):
        raise SpecError(
            f"{repository!r} is not a URL or a spec. URLs start with https://, and specs look like "
            "gh/<user>/<repository>/<ref>."
        )
    return specs.read_address(repository, ref)
