"""What a server answers, and what a launch ends in."""

from __future__ import annotations

from urllib.parse import urlencode

import msgspec

from ..core import specs
from ..core.events import Event
from ..core.log.reasons import REASONS
from ..core.phases import Phase
from ..core.printable import plain
from ..errors import LaunchFailedError, SpecError

__all__ = ["Launch", "LaunchState", "Server", "read_target", "served"]


class Launch(msgspec.Struct, frozen=True):
    """A launch that was started.

    Attributes
    ----------
    id : str
        The key to it: whoever has it may watch and cancel it.
    spec : str
        What is launched.
    page_url : str
        The page that shows it, for people.
    urlpath : str
        What the address that was launched says to open in the server; empty if it does not.
    """

    id: str
    spec: str = ""
    page_url: str = ""
    urlpath: str = ""

    def __repr__(self) -> str:
        # The id is a key; a program's output is read by more people than may open the launch.
        return f"<Launch {self.id[:6]}… {self.spec}>"


class LaunchState(msgspec.Struct, frozen=True, kw_only=True):
    """How a launch stands.

    Attributes
    ----------
    id, spec : str
    phase : Phase
    progress : float
        Percent.
    step, message : str
        What goes on, and the last line of the log.
    repo_url, ref, commit : str
        What is launched; the commit is empty until it is looked up.
    attempt : int
        Which try at starting the server.
    created, now : float
        Seconds since 1970, by the server's clock.
    last : int
        The number of the newest event.
    viewers : int
        How many connections watch it.
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


class Server(msgspec.Struct, frozen=True):
    """A Jupyter server that answers.

    Attributes
    ----------
    url : str
        Its address, http or https, with a slash at its end.
    token : str
        What opens it; empty if it needs none.
    ready : Event
        The event that said so, with everything else that is known: image, repository, ref.
    """

    url: str
    token: str
    ready: Event

    def address(self, urlpath: str = "") -> str:
        """Return what a browser opens: the server, or `urlpath` in it, with the token.

        Parameters
        ----------
        urlpath : str
            As ``lab/tree/index.ipynb``; it may have a query of its own.
        """
        path, _, query = urlpath.lstrip("/").partition("?")
        token = urlencode({"token": self.token}) if self.token else ""
        full = "&".join(part for part in (query, token) if part)
        return f"{self.url}{path}" + (f"?{full}" if full else "")

    def __repr__(self) -> str:
        # Without the token.
        return f"<Server {self.url}>"


def served(last: Event) -> Server:
    """Make of a launch's last event the server, or the error that says why there is none.

    Raises
    ------
    LaunchFailedError
        If the launch failed or was cancelled.
    """
    if last.phase is Phase.READY:
        url = last.url if last.url.endswith("/") or "?" in last.url else f"{last.url}/"
        return Server(url, last.token, last)
    reason = REASONS.get(last.reason, REASONS["unknown"])
    raise LaunchFailedError(
        plain(last.message).strip() or reason.sentence,
        reason=last.reason or reason.key,
        subject=plain(last.subject),
        advice=plain(last.advice) or reason.advice,
        evidence=[plain(line) for line in last.evidence],
    )


def read_target(repository: str, ref: str = "") -> specs.Target:
    """Read what a person calls a repository: a spec, or any address of it.

    Raises
    ------
    SpecError
        If it is neither.
    """
    if not (specs.looks_like_spec(repository) or specs.looks_like_address(repository)):
        raise SpecError(
            f"{repository!r} is neither a spec nor an address. An address begins with https://, a "
            "spec reads gh/<user>/<repository>/<ref>."
        )
    return specs.read_address(repository, ref)
