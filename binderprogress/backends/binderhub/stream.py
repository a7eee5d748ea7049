"""A stream of a BinderHub's ``/build/``, which reconnects as long as that is safe."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

import aiohttp
from yarl import URL

from ...core import sse
from ...core.binderhub.replay import Repeats
from ...core.binderhub.stream import (
    PHASES_BEFORE_LAUNCH,
    SPAWN_PHASES,
    message_of,
    phase_of,
    read_record,
    reason_of_status,
)
from ...core.log.diagnosis import diagnose
from ...core.log.reasons import failure
from ...core.phases import Phase
from ...core.redact import redact
from ...core.specs import Spec
from ...errors import LaunchFailedError, StreamError
from ..base import trace_headers
from ..connection_errors import check_encoding, explain
from .failover import UnusableError
from .upstreams import REDIRECTS, Upstream, Upstreams

__all__ = ["BinderStream"]

_LOG = {Phase.FETCHING, Phase.BUILDING, Phase.PUSHING}
# Reasons that concern the BinderHub and not the repository, so that another one may succeed.
_HOST_REASONS = {"quota", "rate-limited", "refused", "internal", "no-engine", "disk-full"}
# A BinderHub accepts only this type. Without compression, proxies do not buffer the stream.
_HEADERS = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
# Attack: a line or an event that does not end.
_LONGEST_EVENT = 4 * 2**20
_SHORTEST_PATIENCE = 1.0
"""Seconds that a BinderHub has for a response, at least."""
_NOT_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


class BinderStream:
    """The stream of one spec at one BinderHub.

    Parameters
    ----------
    upstreams : Upstreams
    hub : Upstream
    spec : Spec
    has_image : bool
        Whether the BinderHub is known to have the image, so that a request starts a server.
    """

    def __init__(
        self, upstreams: Upstreams, hub: Upstream, spec: Spec, *, has_image: bool = False
    ) -> None:
        self.hub = hub
        self.spec = spec
        self._logged = False
        self._upstreams = upstreams
        self._has_image = has_image
        self._launching = False
        self._response: aiohttp.ClientResponse | None = None
        self._decoder = sse.Decoder(max_block=_LONGEST_EVENT)
        self._records: list[dict[str, Any]] = []
        self._repeats = Repeats()
        self._is_open = False
        # Of the current connection: whether the BinderHub may have received the request, and
        # whether it has sent any event.
        self._is_sent = False
        self._has_events = False
        self._problem = ""
        self._failures = 0
        self._pause: float | None = None
        self._is_free = True
        self._heard = monotonic()
        """When the BinderHub last sent anything."""

    # -- ownership

    def take_over(self) -> bool:
        """Take ownership of the open stream. Return False if another caller has it."""
        is_free, self._is_free = self._is_free, False
        return is_free and self._is_open

    def abandon(self) -> None:
        """Close the stream, unless a launch has taken it over."""
        if not self._is_free:
            return
        self._is_free = False
        self.close()
        self._upstreams.log.warning(
            "All launches of %s were cancelled after its build: an unused server may be starting "
            "at BinderHub %s",
            self.spec,
            self.hub.host,
        )

    @property
    def may_have_server(self) -> bool:
        """Whether a server may have been started, so that another request may start another."""
        if self._launching:
            return True
        # If the image exists, a request starts a server immediately. The events may be lost.
        return self._has_image and self._is_sent and not self._has_events

    # -- reading

    async def open(self) -> None:
        """Connect, unless the stream is open.

        Raises
        ------
        UnusableError
            If the BinderHub cannot be reached, or refuses.
        """
        if self._is_open:
            return
        self._is_open = True
        self._heard = monotonic()
        self.hub.running += 1
        refusal = await self._connect()
        # If it may have received the request, this is treated like a lost connection.
        if refusal is not None and not self._is_sent:
            raise UnusableError(refusal)

    async def next(self) -> dict[str, Any]:
        """Return the next new record.

        Raises
        ------
        LaunchFailedError
            With the reason ``connection-lost``, if the connection was lost after a server may have
            been started.
        UnusableError
            If it was lost before, and all attempts to reconnect have failed.
        """
        while True:
            if self._pause is not None:
                await self._reconnect(self._pause)
            record = await self._receive()
            if record is None:
                return self._lost()
            phase = phase_of(record)
            if phase in PHASES_BEFORE_LAUNCH:
                status = phase is Phase.WAITING
                if self._repeats.has(message_of(record), status=status):
                    continue
            elif phase in SPAWN_PHASES:
                self._launching = True
            self._logged = self._logged or phase in _LOG
            self._failures = 0
            return record

    def put_back(self, record: dict[str, Any]) -> None:
        """Return a record to the stream. `next` will return it again."""
        self._records.insert(0, record)

    def close(self) -> None:
        """Close the connection."""
        if self._response is not None:
            self._response.close()
            self._response = None
        if self._is_open:
            self._is_open = False
            self.hub.running -= 1

    def failed(self, record: dict[str, Any]) -> Exception:
        """Return the exception for a record that reports a failure."""
        diagnosis = diagnose([message_of(record)])
        is_known = diagnosis.reason != "unknown"
        code = record.get("status_code")
        if not is_known:
            diagnosis = diagnose([], otherwise=reason_of_status(code))
        # BinderHub checks its quota before it requests a server. Other failures in this phase mean
        # that it has tried to start one.
        if diagnosis.reason == "quota" or (
            diagnosis.reason in _HOST_REASONS and not self._launching
        ):
            return UnusableError(diagnosis.error())
        if self._launching and not is_known:
            return failure("spawn-failed")
        # The launch will diagnose the log, and has the lines for the evidence.
        return failure("unknown" if self._launching or not self._logged else "build-failed")

    # -- connections

    async def _connect(self) -> LaunchFailedError | None:
        """Connect. Return the reason if that fails."""
        self._decoder = sse.Decoder(max_block=_LONGEST_EVENT)
        self._is_sent, self._has_events = True, False
        # Already encoded: a quoted slash is part of a component.
        url = URL(f"{self.hub.url}build/{self.spec}", encoded=True)
        timeout = aiohttp.ClientTimeout(
            connect=self._upstreams.connect_timeout, sock_read=self._upstreams.idle_timeout
        )
        try:
            async with asyncio.timeout(self._patience()):
                response = await self._upstreams.session.get(
                    url,
                    headers={**_HEADERS, **trace_headers(), **self.hub.headers},
                    timeout=timeout,
                    max_redirects=REDIRECTS,
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            self._is_sent = not isinstance(error, _NOT_CONNECTED)
            return self._refusal(explain(error))
        if response.status == 200 and response.content_type == "text/event-stream":
            try:
                check_encoding(response)
            except StreamError as error:
                response.close()
                return self._refusal(explain(error))
            self._response = response
            return None
        response.close()
        # A response that is not a stream: no launch has begun.
        self._is_sent = False
        if response.status in {403, 429}:
            return failure(reason_of_status(response.status))
        reason = redact(response.reason or "")[:100]
        return self._refusal(f"the response was {response.status} {reason}".strip())

    def _patience(self) -> float:
        """Return the seconds to wait for a response."""
        upstreams = self._upstreams
        if not upstreams.has_another(self.hub):
            return upstreams.response_timeout
        remaining = upstreams.failover_after - (monotonic() - self._heard)
        return max(min(upstreams.response_timeout, remaining), _SHORTEST_PATIENCE)

    def _is_hopeless(self) -> bool:
        """Whether reconnecting is given up."""
        upstreams = self._upstreams
        if self._failures >= len(upstreams.pauses):
            return True
        silent = monotonic() - self._heard
        return silent >= upstreams.failover_after and upstreams.has_another(self.hub)

    def _refusal(self, problem: str) -> LaunchFailedError:
        self._problem = problem
        return failure("host-unreachable", f"This BinderHub cannot be used: {problem}.")

    async def _receive(self) -> dict[str, Any] | None:
        """Return the next record of this connection; None if it has ended."""
        while not self._records:
            if self._response is None:
                return None
            try:
                chunk = await self._response.content.readany()
                self._heard = monotonic() if chunk else self._heard
                events = self._decoder.feed(chunk)
            except (aiohttp.ClientError, TimeoutError, StreamError) as error:
                self._problem = explain(error)
                chunk = b""
            if not chunk:
                self._response.close()
                self._response = None
                return None
            self._records = [read_record(event.data) for event in events]
            self._has_events = self._has_events or bool(events)
        return self._records.pop(0)

    def _lost(self) -> dict[str, Any]:
        """Schedule a reconnect if that is safe, and return a record that reports it."""
        problem, self._problem = self._problem or "the connection was lost", ""
        if self.may_have_server:
            raise failure("connection-lost")
        if self._is_hopeless():
            raise UnusableError(self._refusal(problem))
        self._pause = self._upstreams.pauses[self._failures]
        self._failures += 1
        message = f"{self.hub.host}: {problem}. Reconnecting in {self._pause:g} s.\n"
        if self._is_sent and not self._has_events:
            message += "If it already has the image, an unused server may be starting there.\n"
        return {"phase": "waiting", "message": message, "unreachable": True}

    async def _reconnect(self, pause: float) -> None:
        self._pause = None
        await asyncio.sleep(pause)
        self._repeats.begin()
        # If this fails, `next` schedules another attempt.
        await self._connect()
