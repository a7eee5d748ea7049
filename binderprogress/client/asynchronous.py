"""The asynchronous client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Literal

import msgspec

from .._version import VERSION_HEADER
from ..core.events import Event
from ..core.redact import without_credentials
from ..errors import BadRequestError, BinderProgressError
from .api import BinderProgressApi
from .binderhub import BinderHubApi
from .http_client import HttpClient
from .models import (
    ImageStatus,
    JupyterServer,
    LaunchHandle,
    LaunchSnapshot,
    LogLines,
    LogMatches,
    LogTimes,
    image_from,
    read_target,
    server_from,
)

__all__ = ["PAUSES", "AsyncClient", "ServerKind"]

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds to wait before each attempt to reconnect. After the last one, the client gives up."""

ServerKind = Literal["binderprogress", "binderhub"]
"""The kinds of servers that the client supports."""

# Waiting longer would delay the exception that ended the launch.
_CANCEL_TIMEOUT = 2.0


class AsyncClient:
    """An asynchronous client of a binderprogress server or a plain BinderHub.

    Parameters
    ----------
    server : str
        URL of the server.
    token : str
        JupyterHub token, for servers that require a login. It is sent to this server only.
    pauses : sequence of float
        Seconds to wait before each attempt to reconnect: 1, 2, 4, 8 and 15 by default.
    timeout : float
        Maximum time for a response, in seconds. Event streams have no maximum time.
    kind : str, optional
        ``binderprogress`` or ``binderhub``. By default, it is detected from ``/versions``.

    Attributes
    ----------
    server : str
        URL of the server, without credentials.
    kind : str or None
        The kind of the server; None until it is known.
    """

    def __init__(
        self,
        server: str,
        *,
        token: str = "",
        pauses: Sequence[float] = PAUSES,
        timeout: float = 30.0,
        kind: ServerKind | None = None,
    ) -> None:
        self.server = without_credentials(server).rstrip("/")
        self.kind = kind
        self._http = HttpClient(server, token=token, timeout=timeout)
        self._api = BinderProgressApi(self._http, pauses)
        self._binderhub = BinderHubApi(self._http, pauses)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections. Launches continue while another viewer watches them."""
        self._binderhub.close()
        await self._http.close()

    async def detect_kind(self) -> ServerKind:
        """Detect the kind of the server, unless it is known already.

        Raises
        ------
        ServerUnreachableError
            If the server does not respond, or is neither binderprogress nor BinderHub.
        """
        if self.kind is None:
            text, headers = await self._http.exchange("GET", "versions")
            versions = self._http.read(text, dict[str, Any])
            # In a BinderHub, the versions are BinderHub's own.
            if "binderprogress" in versions or VERSION_HEADER in headers:
                self.kind = "binderprogress"
            elif "binderhub" in versions:
                self.kind = "binderhub"
            else:
                raise self._http.unknown_server(200)
        return self.kind

    # -- launches

    async def start(
        self, repository: str, ref: str = "", *, build_only: bool = False
    ) -> LaunchHandle:
        """Start a launch.

        Parameters
        ----------
        repository : str
            A spec, such as ``gh/binder-examples/requirements/HEAD``, or the URL of a repository,
            for example as copied from a browser.
        ref : str
            Branch, tag or commit; by default that of the spec, or the default branch.
        build_only : bool
            Whether it ends when the environment is built, and starts no server. Its last event is
            `ready`, with the name of the image, and without an address.

        Raises
        ------
        SpecError
            If `repository` is invalid.
        BadRequestError
            If `build_only` is asked of a plain BinderHub.
        ServerUnreachableError
            If no server responds. The request is not repeated, because the launch may have started.
        BinderProgressError
            If the server refuses the launch, with its message.
        """
        target = read_target(repository, ref)
        if await self.detect_kind() == "binderhub":
            if build_only:
                raise BadRequestError("A plain BinderHub does not build without launching.")
            launch = await self._binderhub.start(target.spec)
        elif target.refs:
            # The server looks up where the ref ends in this URL.
            return await self._api.start({"repo": repository}, build_only=build_only)
        else:
            launch = await self._api.start({"spec": str(target.spec)}, build_only=build_only)
        return msgspec.structs.replace(launch, urlpath=target.urlpath)

    async def image(self, repository: str, ref: str = "") -> ImageStatus:
        """Return whether an environment is built already.

        Parameters
        ----------
        repository, ref : str
            See `start`.

        Raises
        ------
        SpecError
            If `repository` is invalid.
        NotFoundError
            If the repository does not exist or is private, or if it has no such ref.
        BadRequestError
            If it is asked of a plain BinderHub.
        """
        target = read_target(repository, ref)
        if await self.detect_kind() == "binderhub":
            raise BadRequestError("A plain BinderHub does not say which images it has.")
        return await self._api.image(str(target.spec))

    def watch(self, launch: LaunchHandle | str, *, after: int = 0) -> AsyncGenerator[Event, None]:
        """Iterate over the events of a launch until its end, reconnecting as needed.

        Each event is yielded once, in order. The last one is `ready`, `failed` or `cancelled`.

        Parameters
        ----------
        launch : LaunchHandle or str
            The return value of `start`, or its id. Launches of a plain BinderHub can only be
            watched by the client that started them.
        after : int
            Number of the last event that you have already.

        Raises
        ------
        NotFoundError
            If the launch does not exist, or has expired.
        ServerUnreachableError
            If the connection was lost, and the client could not reconnect.
        """
        api, launch_id = self._api_of(launch)
        return api.watch(launch_id, after)

    async def state(self, launch: LaunchHandle | str) -> LaunchSnapshot:
        """Return the state of a launch.

        Raises
        ------
        NotFoundError
            If the launch does not exist, or has expired.
        """
        api, launch_id = self._api_of(launch)
        return await api.state(launch_id)

    async def log(self, launch: LaunchHandle | str) -> str:
        """Return the log so far.

        It may contain any characters that the build printed, including control sequences. Remove
        them before you print it to a terminal.

        Raises
        ------
        NotFoundError
            If the launch does not exist, or has expired.
        """
        api, launch_id = self._api_of(launch)
        return await api.log(launch_id)

    async def log_lines(
        self, launch: LaunchHandle | str, *, first: int = 1, count: int = 500
    ) -> LogLines:
        """Return some lines of the log so far, as a terminal shows them in the end.

        Parameters
        ----------
        launch : LaunchHandle or str
            See `watch`.
        first : int
            The number of the first line, counted from 1; -10 is the tenth line from the end.
        count : int
            How many lines, 2000 at most. There are fewer if they take more than a mebibyte.

        Raises
        ------
        NotFoundError
            If the launch does not exist, or has expired.
        BadRequestError
            If a number is out of range, or the server is a plain BinderHub.
        """
        return await self._of_own_server(launch).log_lines(self._id_of(launch), first, count)

    async def search_log(
        self, launch: LaunchHandle | str, text: str, *, first: int = 1
    ) -> LogMatches:
        """Find the lines of the log that have a text, in upper or lower case.

        If there are many, or the log is long, only a part is searched: go on at `next`.

        Parameters
        ----------
        launch : LaunchHandle or str
            See `watch`.
        text : str
            1 to 200 characters of one line.
        first : int
            The number of the line from which to search, counted from 1.

        Raises
        ------
        NotFoundError
            If the launch does not exist, or has expired.
        BadRequestError
            If there is no text, or the server is a plain BinderHub.
        """
        return await self._of_own_server(launch).search_log(self._id_of(launch), text, first)

    async def log_times(self, launch: LaunchHandle | str) -> LogTimes:
        """Return when lines of the log so far were written: of about one line in a second.

        Parameters
        ----------
        launch : LaunchHandle or str
            See `watch`.

        Raises
        ------
        NotFoundError
            If the launch does not exist, or has expired.
        BadRequestError
            If the server is a plain BinderHub.
        """
        return await self._of_own_server(launch).log_times(self._id_of(launch))

    async def cancel(self, launch: LaunchHandle | str) -> None:
        """Cancel a launch. A Jupyter server that is ready already keeps running.

        A plain BinderHub cannot cancel launches, so the client only disconnects. A build in
        progress continues, and a server may still start. It is stopped when it has been idle for
        long enough.

        Raises
        ------
        NotFoundError
            If the launch does not exist, or has expired.
        """
        api, launch_id = self._api_of(launch)
        await api.cancel(launch_id)

    async def launch(
        self, repository: str, ref: str = "", *, on_event: Callable[[Event], None] | None = None
    ) -> JupyterServer:
        """Start a launch and wait until its Jupyter server is ready.

        If this task is cancelled, or `on_event` raises an exception, the launch is cancelled.

        Parameters
        ----------
        repository, ref : str
            See `start`.
        on_event : callable, optional
            Called with each event.

        Raises
        ------
        LaunchFailedError
            If the launch failed or was cancelled. It has the reason, advice and evidence.
        BinderProgressError
            See `start` and `watch`.
        """
        return server_from(await self._follow(await self.start(repository, ref), on_event))

    async def build(
        self, repository: str, ref: str = "", *, on_event: Callable[[Event], None] | None = None
    ) -> str:
        """Build an environment, and return its name: that of an image, or a folder.

        If it exists, nothing is built. If this task is cancelled, or `on_event` raises an
        exception, the build is cancelled, unless others need it.

        Parameters
        ----------
        repository, ref : str
            See `start`.
        on_event : callable, optional
            Called with each event.

        Raises
        ------
        LaunchFailedError
            If the build failed or was cancelled.
        BinderProgressError
            See `start` and `watch`.
        """
        launch = await self.start(repository, ref, build_only=True)
        return image_from(await self._follow(launch, on_event))

    async def _follow(
        self, launch: LaunchHandle, on_event: Callable[[Event], None] | None
    ) -> Event:
        """Watch a launch to its end, and return its last event."""
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
        assert last is not None  # noqa: S101 - `watch` yields the last event, or raises
        return last

    async def _leave(self, launch: LaunchHandle) -> None:
        try:
            async with asyncio.timeout(_CANCEL_TIMEOUT):
                await self.cancel(launch)
        except (BinderProgressError, TimeoutError):
            return  # the server cancels launches without viewers

    def _of_own_server(self, launch: LaunchHandle | str) -> BinderProgressApi:
        api, _ = self._api_of(launch)
        if isinstance(api, BinderHubApi):
            raise BadRequestError("A plain BinderHub does not send parts of a log. Use `log`.")
        return api

    def _id_of(self, launch: LaunchHandle | str) -> str:
        return self._api_of(launch)[1]

    def _api_of(self, launch: LaunchHandle | str) -> tuple[BinderProgressApi | BinderHubApi, str]:
        launch_id = launch if isinstance(launch, str) else launch.id
        if self.kind == "binderhub" or self._binderhub.has(launch_id):
            return self._binderhub, launch_id
        return self._api, launch_id
