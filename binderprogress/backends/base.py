"""The interface of backends, which is all that `binderprogress.launches` knows about them.

A build or a launch is an asynchronous generator of records. Its last item is the result. If it
fails for a known reason, it raises `LaunchFailedError`. To stop it, cancel the task that iterates
over it, or call ``aclose()``. Both return only after everything that was started has ended.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextvars import ContextVar
from typing import Any, Generic, Protocol, TypeVar
from urllib.parse import quote

import msgspec

from ..core.log.reader import Record
from ..core.log.steps import Step
from ..core.specs import Spec
from ..core.traceparent import TraceParent
from .abilities import (
    BuildCanceller,
    Cleaner,
    Environment,
    Finder,
    KeyMaker,
    RefFinder,
    Remover,
    Resumable,
    Sizer,
)
from .codec import Codec
from .plans import Prepared, Preparer, ServerPlan
from .profile import BackendProfile

__all__ = [
    "PLAIN_CODEC",
    "PREFERRED_HOST",
    "TRACE",
    "AnyBackend",
    "Attempt",
    "Backend",
    "BackendProfile",
    "BuildCanceller",
    "BuildItems",
    "BuildResult",
    "Builder",
    "Cleaner",
    "Environment",
    "Finder",
    "KeyMaker",
    "LaunchItems",
    "LaunchRequest",
    "Launcher",
    "PairedBackend",
    "Prepared",
    "Preparer",
    "Record",
    "RefFinder",
    "Remover",
    "ResolvedSpec",
    "Resumable",
    "RunningServer",
    "ServerPlan",
    "Sizer",
    "WaitForTurn",
    "trace_headers",
]

TRACE: ContextVar[TraceParent | None] = ContextVar("TRACE", default=None)
"""The current span. A build has the span of the launch that began it."""

PREFERRED_HOST: ContextVar[str] = ContextVar("PREFERRED_HOST", default="")
"""The host to try first, if the backend has several; empty: any. A build has that of the launch
that began it. It is lost if this server is stopped."""


def trace_headers() -> dict[str, str]:
    """Return the headers that link a request to the current trace."""
    span = TRACE.get()
    return {} if span is None else {"traceparent": str(span)}


class ResolvedSpec(msgspec.Struct, frozen=True):
    """A repository at one commit, from which a build makes an environment.

    Attributes
    ----------
    spec : Spec
        The spec that was requested.
    commit : str
        The commit of the ref: 40 or 64 hexadecimal digits. For a record, its version, which is
        also valid as the tag of an image. Empty if only another server knows it.
    notice : str
        A message for the user, such as that the link is out of date.
    build_only : bool
        Whether only the environment is requested, and no server.
    source : str
        For a record, the address from which its version is fetched. Empty: the spec's repository.
    version : Spec or None
        For a record, the spec of its version, if the archive has one.
    """

    spec: Spec
    commit: str
    notice: str = ""
    build_only: bool = False
    source: str = ""
    version: Spec | None = None

    @property
    def key(self) -> str:
        """Identifies the environment: it is the same for all specs of the same commit."""
        return f"{self.address}@{self.commit}"

    @property
    def address(self) -> str:
        """The address from which it is fetched."""
        return self.source or self.spec.clone_url

    @property
    def title(self) -> str:
        """A short name for people, which is the same for the same key."""
        return (self.version or self.spec).title

    def at(self, commit: str) -> ResolvedSpec | None:
        """Return another commit of the repository, to find its environment. Its host is not asked.

        None for a record, and if only another server knows the commits.
        """
        if self.spec.is_record or not self.commit:
            return None
        return ResolvedSpec(self.spec.at(commit), commit)

    def binder_fields(self, *, launch_host: str, client_ip: str) -> dict[str, str]:
        """Return the fields that BinderHub passes to its spawner and sends with `ready`.

        Parameters
        ----------
        launch_host : str
            Address of this server as the client sees it, with a trailing slash.
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
    """The result of a successful build.

    Attributes
    ----------
    image : str
        What the spawner starts: the name of an image, or the folder of an environment.
    found : bool
        Whether it existed before, and nothing was built.
    host : str
        The host that built it, if the backend has several; else empty.
    """

    image: str
    found: bool = False
    host: str = ""

    def abandon(self) -> None:
        """Release resources that were kept for a launch. No launch of this build will start."""


class Attempt(msgspec.Struct, frozen=True):
    """The beginning of another attempt to build or to launch.

    Attributes
    ----------
    number : int
        Number of the attempt, from 2 on.
    message : str
        Why the previous attempt failed, in one sentence.
    step : Step
        The step that begins.
    """

    number: int
    message: str
    step: Step = Step("retrying", "Retrying after a failure")


class WaitForTurn(msgspec.Struct, frozen=True):
    """There is nothing to reuse, and a build is about to begin. Too many others may be running.

    The builder goes on when it is the turn of this build; see `LaunchManager.max_builds`. Until
    then, it should hold nothing that others need.
    """


R = TypeVar("R", bound=ResolvedSpec)
B = TypeVar("B", bound=BuildResult)


class LaunchRequest(msgspec.Struct, Generic[R, B], frozen=True, kw_only=True):
    """A request to start a Jupyter server.

    Attributes
    ----------
    name : str
        A short name for people, which becomes part of the user's or server's name.
    key : str
        Makes that name unique.
    token : str
        The token of the server.
    attempt : int
        The number of the first attempt: more than 1 if earlier ones were made before a restart.
    resumed : bool
        Whether it was requested before a restart. The server may be starting or running then.
    resolved : ResolvedSpec
        What was built.
    result : BuildResult
        The result of the build.
    repo_url : str
        Address of the repository.
    options : dict
        More ``user_options`` for the spawner: BinderHub's ``binder_*``.
    user : str
        The JupyterHub user who launches; empty if there are no users.
    """

    name: str
    key: str
    resolved: R
    result: B
    repo_url: str
    options: dict[str, str]
    user: str = ""
    token: str
    attempt: int = 1
    resumed: bool = False

    @property
    def image(self) -> str:
        """The name of an image, or the folder of an environment."""
        return self.result.image


class RunningServer(msgspec.Struct, frozen=True):
    """A Jupyter server that is ready.

    Attributes
    ----------
    url : str
        Address of the server.
    token : str
        Token of the server.
    fields : dict
        Fields of the `ready` event that replace those of the launch.
    host : str
        The host that started it, if the backend has several; else empty.
    """

    url: str
    token: str
    fields: dict[str, str] = {}
    host: str = ""


BuildItems = AsyncGenerator[Record | Attempt | WaitForTurn | BuildResult, None]
"""The items of a build. The last one is the result."""

LaunchItems = AsyncGenerator[Record | Attempt | RunningServer, None]
"""The items of a launch. The last one is the running server."""


S = TypeVar("S", bound=Spec, contravariant=True)
B_co = TypeVar("B_co", bound=BuildResult, covariant=True)


class Builder(Protocol[S, R, B_co]):
    """The part of a backend that resolves specs and makes environments."""

    @property
    def profile(self) -> BackendProfile:
        """The properties of the backend."""
        ...

    async def resolve(self, spec: S) -> R:
        """Look up the commit of a ref.

        Raises
        ------
        LaunchFailedError
            If the ref or the repository does not exist, or its host does not respond.
        RefusedError
            If this repository is not allowed here.
        """
        ...

    def build(self, resolved: R) -> AsyncGenerator[Record | Attempt | WaitForTurn | B_co, None]:
        """Build the environment, or find an existing one. The last item is the result."""
        ...


PLAIN_CODEC: Codec[Any, Any, Any] = Codec(Spec, ResolvedSpec, BuildResult)
"""For builders whose specs and results have the fields of these classes, and no more."""


class Launcher(Protocol[R, B]):
    """The part of a backend that turns the result of a build into a running server."""

    def launch(self, request: LaunchRequest[R, B]) -> LaunchItems:
        """Start a Jupyter server. The last item is a `RunningServer`."""
        ...

    async def stop(self, request: LaunchRequest[R, B]) -> None:
        """Stop the Jupyter server of a request, and remove everything that was created for it."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


class Backend(Builder[S, R, B], Launcher[R, B], Protocol[S, R, B]):
    """Resolves specs, builds environments, and launches and stops Jupyter servers."""


AnyBackend = Backend[Any, Any, Any]


class PairedBackend(Generic[S, R, B]):
    """A backend that consists of a builder and a launcher.

    The type variables ensure that the launcher accepts the results of the builder.

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
        """The properties of the builder."""
        return self.builder.profile

    @property
    def codec(self) -> Codec[Any, Any, Any] | None:
        """The codec of the builder; see `Resumable`."""
        return self.builder.codec if isinstance(self.builder, Resumable) else None

    async def resolve(self, spec: S) -> R:
        """Look up the commit of a ref; see `Builder.resolve`."""
        return await self.builder.resolve(spec)

    async def find_ref(self, spec: Spec, refs: Sequence[str]) -> str:
        """Return the first of several refs that a repository has; see `RefFinder`."""
        builder = self.builder
        return await builder.find_ref(spec, refs) if isinstance(builder, RefFinder) else ""

    def build(self, resolved: R) -> AsyncGenerator[Record | Attempt | WaitForTurn | B, None]:
        """Build the environment, or find an existing one; see `Builder.build`."""
        return self.builder.build(resolved)

    async def find(self, resolved: R) -> Environment | None:
        """Return the environment of a commit, if the builder knows it; see `Finder.find`."""
        return await self.builder.find(resolved) if isinstance(self.builder, Finder) else None

    async def image_size(self, image: str) -> int:
        """Return the bytes of an image, if the builder knows them; see `Sizer.image_size`."""
        return await self.builder.image_size(image) if isinstance(self.builder, Sizer) else 0

    def belong_to(self, installation: str) -> None:
        """Mark what is made from now on; see `Cleaner.belong_to`."""
        if isinstance(self.builder, Cleaner):
            self.builder.belong_to(installation)

    async def clean_up(self, wanted: Callable[[], Awaitable[Sequence[R] | None]]) -> None:
        """Remove what nobody needs any more; see `Cleaner.clean_up`."""
        if isinstance(self.builder, Cleaner):
            await self.builder.clean_up(wanted)

    async def cancel_build(self, resolved: R) -> None:
        """End a build that nobody waits for; see `BuildCanceller`."""
        if isinstance(self.builder, BuildCanceller):
            await self.builder.cancel_build(resolved)

    @property
    def prepares(self) -> bool:
        """Whether the builder or the launcher can prepare a server; see `Preparer`."""
        return any(each.prepares for each in self._preparers)

    async def prepare(
        self, plan: ServerPlan[R], *, building: asyncio.Event, done: Callable[[Prepared], None]
    ) -> None:
        """Prepare a server while its environment is built; see `Preparer.prepare`."""
        async with asyncio.TaskGroup() as group:
            for each in self._preparers:
                group.create_task(each.prepare(plan, building=building, done=done))

    async def discard(self, plan: ServerPlan[R]) -> None:
        """Remove what was prepared for a server; see `Preparer.discard`."""
        for each in self._preparers:
            await each.discard(plan)

    @property
    def _preparers(self) -> list[Preparer]:
        parts = (self.builder, self.launcher)
        return [each for each in parts if isinstance(each, Preparer) and each.prepares]

    def new_key(self, resolved: R) -> str:
        """Return a key for a request; see `KeyMaker`."""
        if isinstance(self.launcher, KeyMaker):
            return self.launcher.new_key(resolved)
        return secrets.token_hex(4)

    def launch(self, request: LaunchRequest[R, B]) -> LaunchItems:
        """Start a Jupyter server; see `Launcher.launch`."""
        return self.launcher.launch(request)

    async def stop(self, request: LaunchRequest[R, B]) -> None:
        """Stop the Jupyter server of a request; see `Launcher.stop`."""
        await self.launcher.stop(request)

    async def removed(self, request: LaunchRequest[R, B] | ServerPlan[R]) -> bool:
        """Wait for the removal of a server; see `Remover.removed`."""
        launcher = self.launcher
        return await launcher.removed(request) if isinstance(launcher, Remover) else False

    async def close(self) -> None:
        """Close connections."""
        await self.launcher.close()
