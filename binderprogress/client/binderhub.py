"""Launches on a plain BinderHub: its ``/build/`` only.

One GET there acts and streams, and its events have no ids. While something is built, whoever asks
again joins that build. Once there is an image, whoever asks again gets a second server: so after
that it is never asked again.
"""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import aiohttp
from yarl import URL

from .._send_once import send_once
from ..core import sse
from ..core.binderhub.replay import Repeats
from ..core.binderhub.stream import (
    PHASES_BEFORE_LAUNCH,
    SPAWN_PHASES,
    BinderHubLaunch,
    message_of,
    phase_of,
    read_record,
)
from ..core.events import Event
from ..core.phases import Phase
from ..core.specs import Spec
from ..errors import (
    BinderProgressError,
    NotFoundError,
    RefusedError,
    ServerUnreachableError,
    StreamError,
    TooManyRequestsError,
)
from .connection import JITTER, Connection, retry_after
from .models import Launch, LaunchState

__all__ = ["BinderHub"]

# Exactly this: a BinderHub takes no other. And nothing in between is to hold it back to pack it.
_HEADERS = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
# A BinderHub sends a comment every 25 s.
_IDLE = 90.0
_REDIRECTS = 5
"""How often a request is sent on: a federation does so once."""
_NOT_CONNECTED = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)


class BinderHub:
    """A plain BinderHub. It gives launches no names, so only this client can go on with its own.

    Parameters
    ----------
    connection : Connection
    pauses : sequence of float
        Seconds before each try to connect again.
    """

    def __init__(self, connection: Connection, pauses: Sequence[float]) -> None:
        self._connection = connection
        self._pauses = tuple(pauses)
        self._launches: dict[str, _Watched] = {}

    def has(self, launch_id: str) -> bool:
        """Whether a launch was started here."""
        return launch_id in self._launches

    async def start(self, spec: Spec) -> Launch:
        """Start a launch; see `AsyncClient.start`."""
        watched = _Watched(self._connection, spec, self._pauses)
        await watched.begin()
        launch = Launch(uuid.uuid4().hex, str(spec))
        self._launches[launch.id] = watched
        return launch

    async def watch(self, launch_id: str, after: int) -> AsyncGenerator[Event, None]:
        """Iterate over the events of a launch; see `AsyncClient.watch`."""
        watched = self._find(launch_id)
        watched.viewers += 1
        try:
            while True:
                for event in watched.launch.events[max(after, 0) :]:
                    after = event.id
                    yield event
                if after < len(watched.launch.events):
                    continue
                if watched.over:
                    watched.check()
                    return
                await watched.changed.wait()
        finally:
            watched.viewers -= 1

    async def state(self, launch_id: str) -> LaunchState:
        """Say how a launch stands."""
        return self._find(launch_id).state(launch_id)

    async def log(self, launch_id: str) -> str:
        """Return the whole log so far."""
        return "".join(event.message for event in self._find(launch_id).launch.events)

    async def cancel(self, launch_id: str) -> None:
        """Leave a launch: a BinderHub cannot be told to stop it."""
        self._find(launch_id).leave()

    def close(self) -> None:
        """Leave all launches."""
        for watched in self._launches.values():
            watched.leave()

    def _find(self, launch_id: str) -> _Watched:
        if launch_id not in self._launches:
            raise NotFoundError(
                "A BinderHub knows no launches by name: only the client that has started one can "
                "go on with it."
            )
        return self._launches[launch_id]


class _Watched:
    """One launch, read in the background over as many connections as it takes."""

    def __init__(self, connection: Connection, spec: Spec, pauses: Sequence[float]) -> None:
        self.created = time.time()
        self.launch = BinderHubLaunch(
            connection.url(""), began=time.monotonic(), began_utc=self.created
        )
        self.changed = asyncio.Event()
        self.viewers = 0
        self._connection = connection
        self._spec = spec
        self._pauses = pauses
        # As it is: a quoted slash is part of a component.
        self._url = URL(connection.url(f"build/{spec}"), encoded=True)
        self._repeats = Repeats()
        self._response: aiohttp.ClientResponse | None = None
        # Of the present connection: whether it may have come to the hub, and has brought anything.
        self._is_asked = False
        self._is_heard = False
        self._failures = 0
        self._problem = ""
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Connect, and read in the background from then on.

        Raises
        ------
        BinderProgressError
            If nothing answers, or what answers refuses. It is not tried again.
        """
        await self._connect()
        self._task = asyncio.create_task(self._follow())
        self._task.add_done_callback(self._done)

    @property
    def over(self) -> bool:
        """Whether no event comes any more."""
        return self.launch.over or self._task is None or self._task.done()

    def check(self) -> None:
        """Raise what has ended it, if that was no event."""
        if not self.launch.over and self._task is not None:
            self._task.result()

    def leave(self) -> None:
        """Close its connection."""
        if not self.over:
            self.launch.cancel(now=time.monotonic())
            self._tell()
        if self._task is not None:
            self._task.cancel()
        # It may not have begun yet, and then ends without a word.
        self._close()

    def state(self, launch_id: str) -> LaunchState:
        """Say how it stands."""
        now = time.time()
        last = self.launch.events[-1] if self.launch.events else None
        progress = last.progress if last is not None else 0.0
        if last is not None and last.curve is not None:
            progress = last.curve.at(now - last.time)
        return LaunchState(
            id=launch_id,
            phase=self.launch.phase,
            progress=progress,
            spec=str(self._spec),
            step=last.step if last is not None else "",
            message=last.message if last is not None else "",
            repo_url=self._spec.repo_url,
            ref=self._spec.ref,
            attempt=last.attempt if last is not None else 1,
            created=self.created,
            now=now,
            last=len(self.launch.events),
            viewers=self.viewers,
        )

    # -- in the background

    async def _follow(self) -> None:
        try:
            while True:
                await self._read()
                if self.launch.over:
                    return
                if self._may_have_server:
                    self.launch.fail("connection-lost", now=time.monotonic())
                    return
                self._repeats.begin()
                await self._connect_again()
        finally:
            # A BinderHub keeps it open: 60 s after the server is ready, else for ever.
            self._close()

    def _done(self, task: asyncio.Task[None]) -> None:
        # Taken note of, whether somebody watches or not: else asyncio would complain.
        if not task.cancelled():
            task.exception()
        self._tell()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    @property
    def _may_have_server(self) -> bool:
        """Whether a server may have been asked for: then asking again would start another one."""
        if self.launch.phase in SPAWN_PHASES:
            return True
        # Where there is an image, a server is asked for at once: what was said of it may be lost.
        return self._is_asked and not self._is_heard

    async def _read(self) -> None:
        """Read one connection to its end, whatever end that is."""
        if self._response is None:
            return
        decoder = sse.Decoder()
        try:
            async for chunk in self._response.content.iter_any():
                for block in decoder.feed(chunk):
                    self._take(read_record(block.data))
                self._tell()
                if self.launch.over:
                    return
            self._problem = "it was closed early"
        except (aiohttp.ClientError, TimeoutError, StreamError) as error:
            self._problem = str(error) or type(error).__name__

    def _take(self, record: dict[str, Any]) -> None:
        now = time.monotonic()
        phase, message = phase_of(record), message_of(record)
        is_first, self._is_heard = not self.launch.events, True
        if is_first and record.get("status_code") == 403 and message.strip() == "Forbidden":
            # What it says instead of the address of its login.
            self.launch.fail("refused", now=now, **_login(self._connection.token))
        elif phase not in PHASES_BEFORE_LAUNCH or not self._repeats.has(
            message, status=phase is Phase.WAITING
        ):
            self._failures = 0
            self.launch.take(record, now=now)

    async def _connect_again(self) -> None:
        """Connect again, after a pause or some; without a connection if a server may be asked for.

        Raises
        ------
        ServerUnreachableError
            If that was tried often enough.
        """
        self._close()
        while self._failures < len(self._pauses):
            pause = self._pauses[self._failures]
            self._failures += 1
            await asyncio.sleep(pause * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - no secret
            try:
                await self._connect()
                return
            except BinderProgressError as error:
                self._problem = str(error)
                if self._is_asked:
                    return
        raise ServerUnreachableError(
            f"The connection to {self._connection.server} was lost for good: {self._problem}"
        )

    async def _connect(self) -> None:
        self._is_asked, self._is_heard = True, False
        timeout = aiohttp.ClientTimeout(
            total=None, connect=self._connection.timeout, sock_read=_IDLE
        )
        try:
            response = await self._connection.session().get(
                self._url,
                headers=_HEADERS,
                timeout=timeout,
                max_redirects=_REDIRECTS,
                middlewares=[send_once],
            )
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._is_asked = not isinstance(error, _NOT_CONNECTED)
            raise self._connection.silent(error) from error
        if response.status == 200 and response.content_type == "text/event-stream":
            self._response = response
            # The one of a federation that builds it is the one to join again.
            self._url = response.url
            return
        response.close()
        # It has answered, and not with a stream: so there is no launch.
        self._is_asked = False
        raise self._refusal(response)

    def _close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None

    def _refusal(self, response: aiohttp.ClientResponse) -> BinderProgressError:
        server, status = self._connection.server, response.status
        if status == 429:
            seconds = retry_after(response.headers)
            return TooManyRequestsError(
                f"The BinderHub {server} was asked too often. Try again in {seconds:g} s.",
                retry_after=seconds,
            )
        if status in {401, 403}:
            return RefusedError(f"The BinderHub {server} does not allow it (status {status}).")
        if status == 404:
            return NotFoundError(f"The BinderHub {server} has no /build/ (status {status}).")
        if status >= 400:
            return ServerUnreachableError(f"The BinderHub {server} answers with status {status}.")
        return self._connection.stranger(status)


def _login(token: str) -> dict[str, str]:
    """Return what is said of a BinderHub that wants to know who asks."""
    if token:
        return {
            "message": "This BinderHub does not take the token.",
            "advice": "Make another one in its JupyterHub, on the page Token.",
        }
    return {
        "message": "This BinderHub is for those who are logged in.",
        "advice": "Give a token of its JupyterHub: token= in Python, $BINDERPROGRESS_TOKEN for "
        "the commands.",
    }
