"""The API of a plain BinderHub, of which only ``/build/`` is used.

One GET request starts a launch and streams its events, which have no ids. Repeating the request
during a build joins that build. Once the image exists, repeating it would start a second server, so
the client does not reconnect then.
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
from .http_client import JITTER, HttpClient, retry_after
from .models import LaunchHandle, LaunchSnapshot

__all__ = ["BinderHubApi"]

# BinderHub accepts exactly this Accept header. Compression would delay the events.
_HEADERS = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
# A BinderHub sends a comment every 25 s.
_IDLE = 90.0
_REDIRECTS = 5
"""Maximum number of redirects. A federation redirects once."""
_NOT_CONNECTED = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)


class BinderHubApi:
    """The API of a plain BinderHub. Launches have no ids there, so the client makes up its own.

    Parameters
    ----------
    http : HttpClient
        Sends the requests.
    pauses : sequence of float
        Seconds to wait before each attempt to reconnect.
    """

    def __init__(self, http: HttpClient, pauses: Sequence[float]) -> None:
        self._http = http
        self._pauses = tuple(pauses)
        self._launches: dict[str, _LaunchReader] = {}

    def has(self, launch_id: str) -> bool:
        """Whether this client started a launch."""
        return launch_id in self._launches

    async def start(self, spec: Spec) -> LaunchHandle:
        """Start a launch; see `AsyncClient.start`."""
        reader = _LaunchReader(self._http, spec, self._pauses)
        await reader.start()
        launch = LaunchHandle(uuid.uuid4().hex, str(spec))
        self._launches[launch.id] = reader
        return launch

    async def watch(self, launch_id: str, after: int) -> AsyncGenerator[Event, None]:
        """Iterate over the events of a launch; see `AsyncClient.watch`."""
        reader = self._reader(launch_id)
        reader.viewers += 1
        try:
            while True:
                for event in reader.launch.events[max(after, 0) :]:
                    after = event.id
                    yield event
                if after < len(reader.launch.events):
                    continue
                if reader.over:
                    reader.raise_error()
                    return
                await reader.changed.wait()
        finally:
            reader.viewers -= 1

    async def state(self, launch_id: str) -> LaunchSnapshot:
        """Return the state of a launch."""
        return self._reader(launch_id).state(launch_id)

    async def log(self, launch_id: str) -> str:
        """Return the log so far."""
        return "".join(event.message for event in self._reader(launch_id).launch.events)

    async def cancel(self, launch_id: str) -> None:
        """Disconnect from a launch. BinderHub has no way to cancel it."""
        self._reader(launch_id).disconnect()

    def close(self) -> None:
        """Disconnect from all launches."""
        for reader in self._launches.values():
            reader.disconnect()

    def _reader(self, launch_id: str) -> _LaunchReader:
        if launch_id not in self._launches:
            raise NotFoundError(
                "This launch is unknown. Launches on a BinderHub can only be watched by the client "
                "that started them."
            )
        return self._launches[launch_id]


class _LaunchReader:
    """Reads the events of one launch in the background, and reconnects while that is safe."""

    def __init__(self, http: HttpClient, spec: Spec, pauses: Sequence[float]) -> None:
        self.created = time.time()
        self.launch = BinderHubLaunch(http.url(""), began=time.monotonic(), began_utc=self.created)
        self.changed = asyncio.Event()
        self.viewers = 0
        self._http = http
        self._spec = spec
        self._pauses = pauses
        # Already encoded: a percent-encoded slash is part of a component.
        self._url = URL(http.url(f"build/{spec}"), encoded=True)
        self._repeats = Repeats()
        self._response: aiohttp.ClientResponse | None = None
        self._may_have_arrived = False
        """Whether the last request may have reached the BinderHub."""
        self._has_event = False
        """Whether the current connection has received an event."""
        self._failures = 0
        self._problem = ""
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the launch, and read its events in the background.

        Raises
        ------
        BinderProgressError
            If the server does not respond, or refuses the launch. The request is not repeated.
        """
        await self._connect()
        self._task = asyncio.create_task(self._read_all())
        self._task.add_done_callback(self._done)

    @property
    def over(self) -> bool:
        """Whether there will be no more events."""
        return self.launch.over or self._task is None or self._task.done()

    def raise_error(self) -> None:
        """Raise the error that ended the reading, if there was one."""
        if not self.launch.over and self._task is not None:
            self._task.result()

    def disconnect(self) -> None:
        """Stop reading, and close the connection."""
        if not self.over:
            self.launch.cancel(now=time.monotonic())
            self._notify()
        if self._task is not None:
            self._task.cancel()
        # A task that has not run yet would not close it when cancelled.
        self._close()

    def state(self, launch_id: str) -> LaunchSnapshot:
        """Return the state of the launch."""
        now = time.time()
        last = self.launch.events[-1] if self.launch.events else None
        progress = last.progress if last is not None else 0.0
        if last is not None and last.curve is not None:
            progress = last.curve.at(now - last.time)
        return LaunchSnapshot(
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

    async def _read_all(self) -> None:
        try:
            while True:
                await self._read_connection()
                if self.launch.over:
                    return
                if self._may_have_server:
                    self.launch.fail("connection-lost", now=time.monotonic())
                    return
                self._repeats.begin()
                await self._reconnect()
        finally:
            # BinderHub keeps it open for 60 s after the server is ready, and otherwise forever.
            self._close()

    def _done(self, task: asyncio.Task[None]) -> None:
        # Retrieve the exception: asyncio logs those that are never retrieved.
        if not task.cancelled():
            task.exception()
        self._notify()

    def _notify(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    @property
    def _may_have_server(self) -> bool:
        """Whether a server may be starting. A new request could then start a second one."""
        if self.launch.phase in SPAWN_PHASES:
            return True
        # If the image exists, the server starts at once, and the events may have been lost.
        return self._may_have_arrived and not self._has_event

    async def _read_connection(self) -> None:
        """Read events until the launch ends or the connection is lost."""
        if self._response is None:
            return
        decoder = sse.Decoder()
        try:
            async for chunk in self._response.content.iter_any():
                for block in decoder.feed(chunk):
                    self._take(read_record(block.data))
                self._notify()
                if self.launch.over:
                    return
            self._problem = "it was closed early"
        except (aiohttp.ClientError, TimeoutError, StreamError) as error:
            self._problem = str(error) or type(error).__name__

    def _take(self, record: dict[str, Any]) -> None:
        now = time.monotonic()
        phase, message = phase_of(record), message_of(record)
        is_first, self._has_event = not self.launch.events, True
        if is_first and record.get("status_code") == 403 and message.strip() == "Forbidden":
            # BinderHub sends this instead of a redirect to its login.
            self.launch.fail("refused", now=now, **_login_advice(self._http.token))
        elif phase not in PHASES_BEFORE_LAUNCH or not self._repeats.has(
            message, status=phase is Phase.WAITING
        ):
            self._failures = 0
            self.launch.take(record, now=now)

    async def _reconnect(self) -> None:
        """Reconnect after a pause. This gives up without an error if a server may be starting.

        Raises
        ------
        ServerUnreachableError
            If all attempts failed.
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
                if self._may_have_arrived:
                    return
        raise ServerUnreachableError(
            f"Lost the connection to {self._http.server}, and could not reconnect: {self._problem}"
        )

    async def _connect(self) -> None:
        self._may_have_arrived, self._has_event = True, False
        timeout = aiohttp.ClientTimeout(total=None, connect=self._http.timeout, sock_read=_IDLE)
        try:
            response = await self._http.session().get(
                self._url,
                headers=_HEADERS,
                timeout=timeout,
                max_redirects=_REDIRECTS,
                middlewares=[send_once],
            )
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._may_have_arrived = not isinstance(error, _NOT_CONNECTED)
            raise self._http.unreachable(error) from error
        if response.status == 200 and response.content_type == "text/event-stream":
            self._response = response
            # After a federation's redirect, reconnect to the member that builds the image.
            self._url = response.url
            return
        response.close()
        # The response is not a stream, so there is no launch.
        self._may_have_arrived = False
        raise self._refusal(response)

    def _close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None

    def _refusal(self, response: aiohttp.ClientResponse) -> BinderProgressError:
        server, status = self._http.server, response.status
        if status == 429:
            seconds = retry_after(response.headers)
            return TooManyRequestsError(
                f"Too many requests to the BinderHub {server}. Try again in {seconds:g} s.",
                retry_after=seconds,
            )
        if status in {401, 403}:
            return RefusedError(
                f"The BinderHub {server} does not allow this launch (status {status})."
            )
        if status == 404:
            return NotFoundError(f"The BinderHub {server} has no /build/ (status {status}).")
        if status >= 400:
            return ServerUnreachableError(f"The BinderHub {server} responded with status {status}.")
        return self._http.unknown_server(status)


def _login_advice(token: str) -> dict[str, str]:
    """Return message and advice for a BinderHub that requires a login."""
    if token:
        return {
            "message": "This BinderHub does not accept the token.",
            "advice": "Create a new one on the Token page of its JupyterHub.",
        }
    return {
        "message": "This BinderHub requires a login.",
        "advice": "Pass a token of its JupyterHub: token= in Python, or $BINDERPROGRESS_TOKEN for "
        "the commands.",
    }
