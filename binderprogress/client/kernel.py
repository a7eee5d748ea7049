"""Run code in a kernel of a Jupyter server, over a WebSocket.

It speaks Jupyter's messaging protocol 5.3, one JSON object per message. The messages are untrusted.

If the connection is cut, it is opened again, and no code is run twice. While no client is
connected, the server buffers the kernel's messages and sends them to the session that reconnects.
Messages that it had already written to the cut connection are lost, and neither side can tell. So
after reconnecting, the client sends another request: a kernel answers requests in order, and if its
reply comes first, the reply to the code was lost.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.protocol import State

from ..core.printable import plain
from ..errors import RunFailedError
from .addresses import is_loopback
from .http_client import JITTER
from .jupyter import JupyterClient

__all__ = ["Kernel"]

# Images in outputs may be large. They are not kept.
_MAX_MESSAGE = 128 * 2**20
_MAX_TRACEBACK = 20_000
_CONNECT_TIMEOUT = 60.0
_ASK_AGAIN = 10.0
"""Seconds after which a kernel that has not answered yet is asked again.

A kernel that is only starting may miss a request. Jupyter's own clients repeat theirs, too.
"""
# The server may still be sending outputs that nobody reads.
_CLOSE_TIMEOUT = 2.0
_PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds to wait before each attempt to connect."""
_STABLE = 15.0
"""Seconds after which a connection counts as successful, even if the kernel sends nothing."""
# Jupyter Server pings every 30 s, and waits up to 90 s for the response.
_DISCONNECT_TIMEOUT = 100.0
_DISCONNECT_POLL = 0.1


class _Header(msgspec.Struct):
    msg_id: str = ""
    msg_type: str = ""
    session: str = ""


class _Content(msgspec.Struct):
    status: str = ""
    execution_state: str = ""
    ename: str = ""
    evalue: str = ""
    traceback: list[str] = []


class _Reply(msgspec.Struct):
    header: _Header
    # Empty for messages that are not about a request.
    parent_header: _Header = msgspec.field(default_factory=_Header)
    content: _Content = msgspec.field(default_factory=_Content)


class _Envelope(msgspec.Struct):
    # Without the content: that of an output may have any shape.
    header: _Header
    parent_header: _Header = msgspec.field(default_factory=_Header)


class Kernel:
    """A connection to one kernel, which is opened again when it is cut.

    Parameters
    ----------
    server : JupyterClient
        The server that the kernel runs in.
    kernel_id : str
        The kernel's id.
    """

    def __init__(self, server: JupyterClient, kernel_id: str) -> None:
        self._server = server
        self._id = kernel_id
        # The server sends what it has buffered to the same session only.
        self._session = uuid.uuid4().hex
        self._process = ""
        """The kernel's own session, which changes when the kernel is restarted."""
        self._socket: ClientConnection | None = None
        self._attempts = 0
        self._problem: Exception | None = None

    async def __aenter__(self) -> Kernel:
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                reply = await self._first_reply()
        except TimeoutError as error:
            await self._close()
            raise RunFailedError("The kernel does not respond.", kind="no-kernel") from error
        except BaseException:
            await self._close()
            raise
        self._process = reply.header.session
        return self

    async def _first_reply(self) -> _Reply:
        """Send requests until the kernel replies. It may take a while to start."""
        while True:
            await self._connected()
            with suppress(TimeoutError):
                async with asyncio.timeout(_ASK_AGAIN):
                    return await self._ask(*self._request("kernel_info_request"))

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        if self._socket is not None:
            await self._socket.close()

    async def execute(self, code: str, *, timeout: float) -> None:
        """Run code once, and wait until it has finished.

        Parameters
        ----------
        code : str
            The code to run.
        timeout : float
            Maximum time, in seconds.

        Raises
        ------
        RunFailedError
            With the kind ``cell-failed`` and the exception, ``cell-timeout``, ``kernel-died``,
            ``reply-lost`` or ``server-lost``.
        """
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            # Nobody can answer input().
            "allow_stdin": False,
            "stop_on_error": True,
        }
        try:
            async with asyncio.timeout(timeout):
                reply = await self._ask(*self._request("execute_request", content))
        except TimeoutError as error:
            raise RunFailedError(f"Timed out after {timeout:g} s.", kind="cell-timeout") from error
        if reply.content.status != "ok":
            raise _raised(reply.content)

    # -- requests and replies

    def _request(self, kind: str, content: dict[str, Any] | None = None) -> tuple[str, str]:
        """Return the id and the JSON of a new request."""
        request_id = uuid.uuid4().hex
        message = {
            "channel": "shell",
            "header": {
                "msg_id": request_id,
                "msg_type": kind,
                "session": self._session,
                "username": "",
                "date": datetime.now(UTC).isoformat(),
                "version": "5.3",
            },
            "parent_header": {},
            "metadata": {},
            "content": content or {},
            "buffers": [],
        }
        return request_id, msgspec.json.encode(message).decode()

    async def _ask(self, request_id: str, text: str) -> _Reply:
        """Send a request once, and wait for its reply over as many connections as it takes."""
        pending, started = {request_id}, set[str]()
        while (reply := await self._exchange(text, pending, started)) is None:
            # The kernel answers this request after those that it received before.
            probe, text = self._request("kernel_info_request")
            pending.add(probe)
        if self._process and reply.header.session != self._process:
            raise RunFailedError("The kernel died and was restarted.", kind="kernel-died")
        if self._process and reply.parent_header.msg_id != request_id:
            raise _reply_lost(has_started=request_id in started)
        return reply

    async def _exchange(self, text: str, pending: set[str], started: set[str]) -> _Reply | None:
        """Send a request, and wait for a reply to any pending one; None if the connection is cut.

        The ids of pending requests that the kernel has started are added to `started`.
        """
        socket = await self._connected()
        opened = _now()
        try:
            # If the connection is cut from here on, it is unknown whether the request arrived.
            await socket.send(text)
            async for answer in socket:
                self._attempts = 0
                reply = _read(answer)
                if reply is None:
                    continue
                if reply.content.execution_state in {"restarting", "dead"}:
                    raise RunFailedError("The kernel died.", kind="kernel-died")
                parent = reply.parent_header.msg_id
                if parent in pending and reply.header.msg_type.endswith("_reply"):
                    return reply
                if parent in pending:
                    started.add(parent)
        except (OSError, WebSocketException) as error:
            self._problem = error
        if _now() - opened > _STABLE:
            self._attempts = 0
        return None

    # -- connections

    async def _connected(self) -> ClientConnection:
        """Return the open connection, or open a new one.

        Raises
        ------
        RunFailedError
            With the kind ``server-lost`` after five failed attempts, or ``kernel-died``.
        """
        if self._socket is not None and self._socket.state is State.OPEN:
            return self._socket
        for pause in _PAUSES[self._attempts :]:
            self._attempts += 1
            await asyncio.sleep(pause * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - not a secret
            try:
                await self._disconnected()
                self._socket = await self._connect()
                return self._socket
            except RunFailedError as error:
                if error.kind != "server-lost":
                    raise
                self._problem = error
            except (OSError, WebSocketException) as error:
                self._problem = error
        raise _lost(self._problem)

    async def _disconnected(self) -> None:
        """Wait until the server has noticed that the last connection was cut.

        Only then it starts to buffer the kernel's messages. Besides, with two connections of one
        session a reply could go to the old one.
        """
        with suppress(TimeoutError):  # another client may be connected
            async with asyncio.timeout(_DISCONNECT_TIMEOUT):
                while await self._server.connections(self._id) > 0:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(_DISCONNECT_POLL)

    async def _connect(self) -> ClientConnection:
        url = self._server.url
        address = f"ws{url.removeprefix('http')}api/kernels/{quote(self._id, safe='')}"
        return await connect(
            f"{address}/channels?session_id={self._session}",
            additional_headers=self._server.headers,
            max_size=_MAX_MESSAGE,
            open_timeout=_CONNECT_TIMEOUT,
            close_timeout=_CLOSE_TIMEOUT,
            proxy=None if is_loopback(url) else True,
        )


def _now() -> float:
    return asyncio.get_running_loop().time()


def _read(text: str | bytes) -> _Reply | None:
    """Decode a message, and the content of a status or a reply; None for a binary message."""
    # Only messages with buffers are binary, such as those of widgets.
    if isinstance(text, bytes):
        return None
    try:
        envelope = msgspec.json.decode(text, type=_Envelope)
        kind = envelope.header.msg_type
        if kind != "status" and not kind.endswith("_reply"):
            return _Reply(envelope.header, envelope.parent_header)
        return msgspec.json.decode(text, type=_Reply)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise RunFailedError(
            f"The kernel sent an invalid message: {error}", kind="server-lost"
        ) from error


def _raised(reply: _Content) -> RunFailedError:
    name = plain(reply.ename) or "Error"
    value = plain(reply.evalue)
    traceback = plain("\n".join(reply.traceback))
    if len(traceback) > _MAX_TRACEBACK:
        half = _MAX_TRACEBACK // 2
        traceback = f"{traceback[:half]}\n…\n{traceback[-half:]}"
    message = f"{name}: {value[:500]}" if value else name
    if reply.status == "aborted":
        message = "The kernel did not run it because an earlier cell failed."
    return RunFailedError(message, kind="cell-failed", name=name, value=value, traceback=traceback)


def _reply_lost(*, has_started: bool) -> RunFailedError:
    known = (
        "The cell was run, but its result is unknown."
        if has_started
        else "It is unknown whether the cell was run."
    )
    return RunFailedError(
        f"The connection to the kernel was cut, and a message was lost. {known}", kind="reply-lost"
    )


def _lost(error: Exception | None) -> RunFailedError:
    cause = f" ({error or type(error).__name__})" if error is not None else ""
    return RunFailedError(
        f"The connection to the kernel was lost{cause}. The server may have stopped, or run out of "
        "memory.",
        kind="server-lost",
    )
