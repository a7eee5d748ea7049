"""What a backend is. `binderprogress.launches` knows nothing else of backends.

A build or a launch is an asynchronous generator of records. Its last item is the result. It raises
`LaunchFailedError` if it knows why it failed. To stop it, cancel the task that iterates or call
``aclose()``: it ends what it started before that returns.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable
from urllib.parse import quote

import msgspec

from ..core.log.reader import Record
from ..core.log.steps import Step
from ..core.phases import Phase
from ..core.specs import Spec
from ..core.traceparent import TraceParent

__all__ = [
    "TRACE",
    "AnyBackend",
    "Attempt",
    "Backend",
    "BackendProfile",
    "BuildItems",
    "BuildResult",
    "Builder",
    "LaunchItems",
    "LaunchRequest",
    "Launcher",
    "PairedBackend",
    "Record",
    "RefFinder",
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
    step: Step = Step("retrying", "Retrying after a failure")


R = TypeVar("R", bound=ResolvedSpec)
B = TypeVar("B", bound=BuildResult)


class LaunchRequest(msgspec.Struct, Generic[R, B], frozen=True, kw_only=True):
    """What to start, and for whom.

    Attributes
    ----------
    name : str
        A short name for people; part of the user's name.
    key : str
        Makes that name unique.
    resolved : ResolvedSpec
        What was built.
    result : BuildResult
        What is started.
    repo_url : str
    options : dict
        More for the spawner's ``user_options``: BinderHub's ``binder_*``.
    user : str
        Who launches, as JupyterHub calls them; empty where there are no users.
    """

    name: str
    key: str
    resolved: R
    result: B
    repo_url: str
    options: dict[str, str]
    user: str = ""

    @property
    def image(self) -> str:
        """The name of an image, or the folder of an environment."""
        return self.result.image


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


BuildItems = AsyncGenerator[Record | Attempt | BuildResult, None]
"""What a build yields; its last item is the result."""

LaunchItems = AsyncGenerator[Record | Attempt | RunningServer, None]
"""What a launch yields; its last item is the running server."""


class BackendProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What the rest of the server has to know of a backend.

    Attributes
    ----------
    typical : mapping
        Seconds that each phase takes where nothing better is known. Others are not expected.
    first_start : float
        How many times longer the first start in a new environment takes.
    runs_on_host : bool
        Whether a repository's code runs as the server's user, without isolation.
    reads_private : bool
        Whether private repositories can be launched.
    """

    typical: Mapping[Phase, float]
    first_start: float = 1.0
    runs_on_host: bool = False
    reads_private: bool = False


S = TypeVar("S", bound=Spec, contravariant=True)
B_co = TypeVar("B_co", bound=BuildResult, covariant=True)


class Builder(Protocol[S, R, B_co]):
    """The part of a backend that resolves specs and makes environments."""

    @property
    def profile(self) -> BackendProfile:
        """What the rest of the server has to know."""
        ...

    async def resolve(self, spec: S) -> R:
        """Look up what commit a ref is.

        Raises
        ------
        LaunchFailedError
            If there is no such ref or repository, or its host does not answer.
        RefusedError
            If this repository is not allowed here.
        """
        ...

    def build(self, resolved: R) -> AsyncGenerator[Record | Attempt | B_co, None]:
        """Make the environment, or find it. The last item is the result."""
        ...


@runtime_checkable
class RefFinder(Protocol):
    """What a builder may be besides: able to say which refs a repository has."""

    async def find_ref(self, spec: Spec, refs: Sequence[str]) -> str:
        """Return the first of several refs that a repository has; empty if it has none of them.

        Also empty if the repository cannot be reached, or is not allowed here: resolving it says
        why.
        """
        ...


class Launcher(Protocol[R, B]):
    """The part of a backend that turns the result of a build into a running server."""

    def launch(self, request: LaunchRequest[R, B]) -> LaunchItems:
        """Start a Jupyter server. The last item is a `RunningServer`."""
        ...

    async def stop(self, request: LaunchRequest[R, B]) -> None:
        """Stop the Jupyter server of a request, and remove what belongs to it."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


class Backend(Builder[S, R, B], Launcher[R, B], Protocol[S, R, B]):
    """What resolves, builds, launches and stops."""


AnyBackend = Backend[Any, Any, Any]


class PairedBackend(Generic[S, R, B]):
    """A backend made of a builder and a launcher.

    The types say whether they fit: the launcher has to take what the builder makes.

    Parameters
    ----------
    builder : Builder
    launcher : Launcher
    """

    def __init__(self, builder: Builder[S, R, B], launcher: Launcher[R, B]) -> None:
        self.builder = builder
        self.launcher = launcher

    @property
    def profile(self) -> BackendProfile:
        """Those of the builder."""
        return self.builder.profile

    async def resolve(self, spec: S) -> R:
        """Look up what commit a ref is; see `Builder.resolve`."""
        return await self.builder.resolve(spec)

    async def find_ref(self, spec: Spec, refs: Sequence[str]) -> str:
        """Return the first of several refs that a repository has; see `RefFinder`."""
        builder = self.builder
        return await builder.find_ref(spec, refs) if isinstance(builder, RefFinder) else ""

    def build(self, resolved: R) -> AsyncGenerator[Record | Attempt | B, None]:
        """Make the environment, or find it; see `Builder.build`."""
        return self.builder.build(resolved)

    def launch(self, request: LaunchRequest[R, B]) -> LaunchItems:
        """Start a Jupyter server; see `Launcher.launch`."""
        return self.launcher.launch(request)

    async def stop(self, request: LaunchRequest[R, B]) -> None:
        """Stop the Jupyter server of a request; see `Launcher.stop`."""
        await self.launcher.stop(request)

    async def close(self) -> None:
        """Close connections."""
        await self.launcher.close()
