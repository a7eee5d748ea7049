"""One stream of a BinderHub's ``/build/``, over as many connections as it may take."""

from __future__ import annotations

import asyncio
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
# Why one BinderHub does not do it while another may: what it says of itself, not of a repository.
_ITS_OWN = {"quota", "rate-limited", "refused", "internal", "no-engine", "disk-full"}
# Exactly this: a BinderHub takes no other. And nothing in between is to hold it back to pack it.
_HEADERS = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
# Attack: a line, or an event, that never ends.
_LONGEST_EVENT = 4 * 2**20
_NOT_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


class BinderStream:
    """What a BinderHub says of one spec.

    Parameters
    ----------
    upstreams : Upstreams
    hub : Upstream
    spec : Spec
    has_image : bool
        Whether it is known to have the image: then to ask is to ask for a server.
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
        # Of the present connection: whether it may have come to the hub, and has brought anything.
        self._is_asked = False
        self._is_heard = False
        self._problem = ""
        self._failures = 0
        self._pause: float | None = None
        self._is_free = True

    # -- whose it is

    def take_over(self) -> bool:
        """Whether the caller may go on with it; only the first one may."""
        is_free, self._is_free = self._is_free, False
        return is_free and self._is_open

    def abandon(self) -> None:
        """Close it, unless somebody has taken it over."""
        if not self._is_free:
            return
        self._is_free = False
        self.close()
        self._upstreams.log.warning(
            "Nobody waits for %s any more, which is built: a server of it may come up at "
            "BinderHub %s that nobody will use",
            self.spec,
            self.hub.host,
        )

    @property
    def may_have_server(self) -> bool:
        """Whether a server may have been asked for: then asking again would start another."""
        if self._launching:
            return True
        # Where there is an image a server is asked for at once: what was said of it may be lost.
        return self._has_image and self._is_asked and not self._is_heard

    # -- reading

    async def open(self) -> None:
        """Connect, unless it is.

        Raises
        ------
        UnusableError
            If the BinderHub is not there, or does not want to.
        """
        if self._is_open:
            return
        self._is_open = True
        self.hub.running += 1
        refusal = await self._connect()
        # Where it may have heard of it, what follows is the same as for a connection that was cut.
        if refusal is not None and not self._is_asked:
            raise UnusableError(refusal)

    async def next(self) -> dict[str, Any]:
        """Return the next record that is new.

        Raises
        ------
        LaunchFailedError
            ``connection-lost``, if the connection was cut after a server was asked for.
        UnusableError
            If it was cut before that, and could not be made again.
        """
        while True:
            if self._pause is not None:
                await self._reconnect(self._pause)
            record = await self._receive()
            if record is None:
                return self._cut()
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
        """Have the next one who reads get this first."""
        self._records.insert(0, record)

    def close(self) -> None:
        """Close the connection; nothing is read any more."""
        if self._response is not None:
            self._response.close()
            self._response = None
        if self._is_open:
            self._is_open = False
            self.hub.running -= 1

    def failed(self, record: dict[str, Any]) -> Exception:
        """Return what is to be raised after a record that says that it failed."""
        found = diagnose([message_of(record)])
        is_told = found.reason != "unknown"
        code = record.get("status_code")
        if not is_told:
            found = diagnose([], otherwise=reason_of_status(code))
        # It counts servers before it asks for one. Whatever else comes that late, it has tried.
        if found.reason == "quota" or (found.reason in _ITS_OWN and not self._launching):
            return UnusableError(
                LaunchFailedError(
                    found.message, reason=found.reason, subject=found.subject, advice=found.advice
                )
            )
        if self._launching and not is_told:
            return failure("spawn-failed")
        # What its log tells the launch finds there, with the lines that say so.
        return failure("unknown" if self._launching or not self._logged else "build-failed")

    # -- connections

    async def _connect(self) -> LaunchFailedError | None:
        """Make a connection, or return why there is none."""
        self._decoder = sse.Decoder(max_block=_LONGEST_EVENT)
        self._is_asked, self._is_heard = True, False
        # As it is: a quoted slash is part of a component.
        url = URL(f"{self.hub.url}build/{self.spec}", encoded=True)
        timeout = aiohttp.ClientTimeout(
            connect=self._upstreams.connect_timeout, sock_read=self._upstreams.idle_timeout
        )
        try:
            response = await self._upstreams.session.get(
                url,
                headers={**_HEADERS, **trace_headers(), **self.hub.headers},
                timeout=timeout,
                max_redirects=REDIRECTS,
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            self._is_asked = not isinstance(error, _NOT_CONNECTED)
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
        # It has answered, and not with a stream: so there is no launch.
        self._is_asked = False
        if response.status in {403, 429}:
            return failure(reason_of_status(response.status))
        reason = redact(response.reason or "")[:100]
        return self._refusal(f"it answered {response.status} {reason}".strip())

    def _refusal(self, why: str) -> LaunchFailedError:
        self._problem = why
        return failure("host-unreachable", f"This BinderHub cannot be used: {why}.")

    async def _receive(self) -> dict[str, Any] | None:
        """Return the next record of this connection; None when it has ended."""
        while not self._records:
            if self._response is None:
                return None
            try:
                chunk = await self._response.content.readany()
                events = self._decoder.feed(chunk)
            except (aiohttp.ClientError, TimeoutError, StreamError) as error:
                self._problem = explain(error)
                chunk = b""
            if not chunk:
                self._response.close()
                self._response = None
                return None
            self._records = [read_record(event.data) for event in events]
            self._is_heard = self._is_heard or bool(events)
        return self._records.pop(0)

    def _cut(self) -> dict[str, Any]:
        """Say that the connection is gone and is going to be made again, if it may be."""
        why, self._problem = self._problem or "the connection was cut", ""
        if self.may_have_server:
            raise failure("connection-lost")
        pauses = self._upstreams.pauses
        if self._failures >= len(pauses):
            raise UnusableError(self._refusal(why))
        self._pause = pauses[self._failures]
        self._failures += 1
        message = f"{self.hub.host}: {why}; connecting again in {self._pause:g} s.\n"
        if self._is_asked and not self._is_heard:
            message += "If it has the image already, a server for nobody may be starting there.\n"
        return {"phase": "waiting", "message": message}

    async def _reconnect(self, pause: float) -> None:
        self._pause = None
        await asyncio.sleep(pause)
        self._repeats.begin()
        # However it fails: the next pause is longer.
        await self._connect()
