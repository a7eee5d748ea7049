"""The client, for programs with an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Literal

import msgspec

from ..core.events import Event
from ..core.redact import without_credentials
from ..errors import BinderProgressError
from .api import Api
from .binderhub import BinderHub
from .connection import Connection
from .models import Launch, LaunchState, Server, read_target, served

__all__ = ["PAUSES", "AsyncClient", "Kind"]

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds before each try to connect again; with the last one it is given up."""

Kind = Literal["binderprogress", "binderhub"]
"""What a server speaks."""

# A launch that nobody waits for is cancelled politely, but not at any price.
_CANCEL_TIMEOUT = 2.0


class AsyncClient:
    """One server: of binderprogress, or a plain BinderHub.

    Parameters
    ----------
    server : str
        Its address.
    token : str
        What it wants to see, if it stands behind a Hub's login; sent to it only.
    pauses : sequence of float
        Seconds before each try to connect again.
    timeout : float
        Seconds that an answer may take; a stream takes as long as its launch.
    kind : str, optional
        ``binderprogress`` or ``binderhub``; by default the server is asked, by its ``/versions``.

    Attributes
    ----------
    kind : str or None
        None until it is known.
    """

    def __init__(
        self,
        server: str,
        *,
        token: str = "",
        pauses: Sequence[float] = PAUSES,
        timeout: float = 30.0,
        kind: Kind | None = None,
    ) -> None:
        self.server = without_credentials(server).rstrip("/")
        self.kind = kind
        self._connection = Connection(server, token=token, timeout=timeout)
        self._api = Api(self._connection, pauses)
        self._binderhub = BinderHub(self._connection, pauses)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections. Launches go on as long as somebody watches them."""
        self._binderhub.close()
        await self._connection.close()

    async def find_out(self) -> Kind:
        """Find out what the server speaks, unless it is known.

        Raises
        ------
        ServerUnreachableError
            If it is neither.
        """
        if self.kind is None:
            text = await self._connection.request("GET", "versions")
            versions = self._connection.read(text, dict[str, Any])
            if "binderprogress" in versions:
                self.kind = "binderprogress"
            elif "binderhub" in versions:
                self.kind = "binderhub"
            else:
                raise self._connection.stranger(200)
        return self.kind

    # -- what it does

    async def start(self, repository: str, ref: str = "") -> Launch:
        """Start a launch.

        Parameters
        ----------
        repository : str
            A spec, as ``gh/binder-examples/requirements/HEAD``, or any address of a repository,
            as people copy it from a browser.
        ref : str
            Branch, tag or commit; by default the spec's, or the default branch.

        Raises
        ------
        SpecError
            If the repository is not understood.
        ServerUnreachableError
            If no server answers. It is not tried again: the launch may have begun.
        BinderProgressError
            If the server refuses, with its sentence.
        """
        target = read_target(repository, ref)
        if await self.find_out() == "binderhub":
            launch = await self._binderhub.start(target.spec)
        elif target.refs:
            # The address does not say where its ref ends: the server looks it up.
            return await self._api.start({"repo": repository})
        else:
            launch = await self._api.start({"spec": str(target.spec)})
        return msgspec.structs.replace(launch, urlpath=target.urlpath)

    def watch(self, launch: Launch | str, *, after: int = 0) -> AsyncGenerator[Event, None]:
        """Iterate over the events of a launch, to its end, over as many connections as it takes.

        Each event comes once, in order; the last one is `ready`, `failed` or `cancelled`.

        Parameters
        ----------
        launch : Launch or str
            What `start` returned, or its id. A BinderHub's is known to this client only.
        after : int
            The number of the last event that is had already.

        Raises
        ------
        NotFoundError
            If the server knows nothing of this launch, or has forgotten it.
        ServerUnreachableError
            If it cannot be reached again.
        """
        where, launch_id = self._where(launch)
        return where.watch(launch_id, after)

    async def state(self, launch: Launch | str) -> LaunchState:
        """Say how a launch stands."""
        where, launch_id = self._where(launch)
        return await where.state(launch_id)

    async def log(self, launch: Launch | str) -> str:
        """Return the whole log so far.

        It is what the build printed: do not write it to a terminal as it is.
        """
        where, launch_id = self._where(launch)
        return await where.log(launch_id)

    async def cancel(self, launch: Launch | str) -> None:
        """Cancel a launch. A server that is ready already goes on.

        A plain BinderHub cannot be told: its launch is only left. A build that is under way goes
        on; a server that was asked for may come up, and is stopped when it is idle long enough.
        """
        where, launch_id = self._where(launch)
        await where.cancel(launch_id)

    async def launch(
        self, repository: str, ref: str = "", *, on_event: Callable[[Event], None] | None = None
    ) -> Server:
        """Start a launch and wait for its server. If the waiting is cancelled, so is the launch.

        Parameters
        ----------
        repository, ref : str
            As for `start`.
        on_event : callable, optional
            Gets each event as it comes.

        Raises
        ------
        LaunchFailedError
            If there is no server at its end: with reason, advice and evidence.
        BinderProgressError
            As `start` and `watch` do.
        """
        launch = await self.start(repository, ref)
        last: Event | None = None
        try:
            async with aclosing(self.watch(launch)) as events:
                async for last in events:
                    if on_event is not None:
                        on_event(last)
        except BaseException:
            if last is None or not last.terminal:
                await self._leave(launch)
            raise
        assert last is not None  # noqa: S101 - `watch` ends with the last event, or raises
        return served(last)

    async def _leave(self, launch: Launch) -> None:
        try:
            async with asyncio.timeout(_CANCEL_TIMEOUT):
                await self.cancel(launch)
        except (BinderProgressError, TimeoutError):
            return  # the server cancels a launch that nobody watches

    def _where(self, launch: Launch | str) -> tuple[Api | BinderHub, str]:
        launch_id = launch if isinstance(launch, str) else launch.id
        if self.kind == "binderhub" or self._binderhub.has(launch_id):
            return self._binderhub, launch_id
        return self._api, launch_id
