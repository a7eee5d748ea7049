"""What every source offers; `binderprogress.launches` knows nothing else of them.

A source is an async iterator of raw records, closed by what came of it. It raises
`LaunchFailedError` when it knows why it failed. To stop one, cancel the task that iterates or call
``aclose()``: it ends what it started before that returns.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextvars import ContextVar
from typing import Protocol
from urllib.parse import quote

import msgspec

from ..core.log.reader import Record
from ..core.log.steps import Step
from ..core.phases import Phase
from ..core.specs import Spec
from ..core.traceparent import TraceParent

__all__ = [
    "TRACE",
    "Attempt",
    "BuildResult",
    "Builder",
    "LaunchRequest",
    "Launcher",
    "Record",
    "ResolvedSpec",
    "RunningServer",
    "trace_headers",
]

TRACE: ContextVar[TraceParent | None] = ContextVar("TRACE", default=None)
"""The span that what is done here belongs to; that of a build is its first launch's."""


def trace_headers() -> dict[str, str]:
    """Return the headers that tell another server which trace a request belongs to."""
    span = TRACE.get()
    return {} if span is None else {"traceparent": str(span)}


class ResolvedSpec(msgspec.Struct, frozen=True):
    """A repository at one commit: what a build makes an environment of.

    Attributes
    ----------
    spec : Spec
        As it was asked for.
    commit : str
        What the ref was found to be: 40 or 64 hexadecimal digits; of a record, its version, which
        may be the tag of an image. Empty where only another server knows.
    notice : str
        What the one who launches should know, as that the link is out of date.
    build_only : bool
        Whether the environment is all that is wanted, and no server.
    source : str
        Of a record, where its version is fetched from. Else empty: from the spec's repository.
    version : Spec or None
        Of a record, what names its version, as far as its archive has a name for that.
    """

    spec: Spec
    commit: str
    notice: str = ""
    build_only: bool = False
    source: str = ""
    version: Spec | None = None

    @property
    def key(self) -> str:
        """The same for all specs that mean the same environment."""
        return f"{self.address}@{self.commit}"

    @property
    def address(self) -> str:
        """Where it is fetched from."""
        return self.source or self.spec.repo_url

    @property
    def title(self) -> str:
        """A short name for people, the same where the key is."""
        return (self.version or self.spec).title

    def binder_fields(self, *, launch_host: str, client_ip: str) -> dict[str, str]:
        """Return the fields that BinderHub passes to its spawner and sends with `ready`.

        Parameters
        ----------
        launch_host : str
            The server's address as the client sees it, with a slash at its end.
        client_ip : str
        """
        spec = self.spec
        commit = self.commit or spec.ref
        ref_url = spec.repo_url
        if self.version is not None:
            ref_url = self.version.repo_url
        elif spec.provider in {"gh", "gl"}:
            middle = "/-/tree/" if spec.provider == "gl" else "/tree/"
            ref_url += middle + quote(commit)
        return {
            "binder_ref_url": ref_url,
            "binder_launch_host": launch_host,
            "binder_request": f"v2/{spec}",
            "binder_persistent_request": f"v2/{self.version or spec.at(commit)}",
            "binder_client_ip": client_ip,
        }


class BuildResult(msgspec.Struct, frozen=True):
    """The end of a build that went well.

    Attributes
    ----------
    image : str
        What the spawner starts: the name of an image, or the folder of an environment.
    found : bool
        Whether it was there already.
    host : str
        Of several that could have built it, which did; else empty.
    """

    image: str
    found: bool = False
    host: str = ""

    def abandon(self) -> None:
        """No launch of this build is left that could start a server: let go of what is for it."""


class Attempt(msgspec.Struct, frozen=True):
    """The builder or the spawner tries again.

    Attributes
    ----------
    number : int
        Which attempt begins, from 2 on.
    message : str
        Why the one before failed, in one sentence.
    step : Step
        What is tried now.
    """

    number: int
    message: str
    step: Step = Step("retrying", "Trying again after a failure")


class LaunchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What to start, and for whom.

    Attributes
    ----------
    name : str
        A short name for people; part of the user's name.
    key : str
        Makes that name unique.
    image : str
    repo_url : str
    options : dict
        More for the spawner's ``user_options``: BinderHub's ``binder_*``.
    target : ResolvedSpec or None
        What was built, as its builder resolved it.
    built : BuildResult or None
        The result of the build, with what the builder leaves for a spawner that belongs to it.
    user : str
        Who launches, as the Hub calls them; empty where nobody has a name.
    """

    name: str
    key: str
    image: str
    repo_url: str
    options: dict[str, str]
    target: ResolvedSpec | None = None
    built: BuildResult | None = None
    user: str = ""


class RunningServer(msgspec.Struct, frozen=True):
    """The end of a spawn that went well.

    Attributes
    ----------
    url : str
        Of the running server.
    token : str
        Opens it.
    fields : dict
        Fields of the `ready` event that the spawner knows better.
    host : str
        Of several that could have started it, which did; else empty.
    """

    url: str
    token: str
    fields: dict[str, str] = {}
    host: str = ""


class Builder(Protocol):
    """Makes environments."""

    @property
    def typical(self) -> Mapping[Phase, float]:
        """Seconds that its phases take where nothing better is known; others are not expected."""
        ...

    async def resolve(self, spec: Spec) -> ResolvedSpec:
        """Look up what commit a ref is.

        Raises
        ------
        LaunchFailedError
            If there is no such ref or repository, or its host does not answer.
        RefusedError
            If this repository is not allowed here.
        """
        ...

    def build(self, target: ResolvedSpec) -> AsyncGenerator[Record | Attempt | BuildResult, None]:
        """Make the environment, or find it; the last item is a `BuildResult`."""
        ...


class Launcher(Protocol):
    """Starts servers."""

    def spawn(
        self, request: LaunchRequest
    ) -> AsyncGenerator[Record | Attempt | RunningServer, None]:
        """Start a server; the last item is a `RunningServer`."""
        ...

    async def stop(self, request: LaunchRequest) -> None:
        """Stop the server of a request, started or starting, and remove what belongs to it."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
