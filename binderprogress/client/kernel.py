"""Running code in a kernel, over its WebSocket.

Jupyter's messaging protocol (5.3), one JSON object a message. What comes back is hostile input.

A connection that is cut is made again, and nothing is run twice. While nobody is connected the
server keeps what the kernel sends, and gives it to the session that comes back. Only what it wrote
to a connection that was cut just then is lost, and no side can tell: so whoever comes back asks the
kernel something that it answers after the cell.
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

from ..core.reasons import plain
from ..errors import RunFailedError
from .addresses import is_near
from .connection import JITTER
from .jupyter import JupyterServer

__all__ = ["Kernel"]

# A picture in an output may be large; it is not kept.
_MAX_MESSAGE = 128 * 2**20
_LONGEST_TRACEBACK = 20_000
_CONNECT_TIMEOUT = 60.0
# Its side may have more to tell, which nobody reads any more.
_CLOSE_TIMEOUT = 2.0
_PAUSES = (0.0, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each try to connect; after all of them without a word it is lost for good."""
_LASTING = 15.0
"""Seconds that a connection lasts which is no failed try, even where the kernel says nothing."""
# A server asks every 30 s whether somebody is there, and waits three times as long.
_NOTICE_TIMEOUT = 100.0
_NOTICE_POLL = 0.1


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
    # Of what nobody asked for it is empty.
    parent_header: _Header = msgspec.field(default_factory=_Header)
    content: _Content = msgspec.field(default_factory=_Content)


class _Other(msgspec.Struct):
    # Outputs have contents of any shape.
    header: _Header
    parent_header: _Header = msgspec.field(default_factory=_Header)


class Kernel:
    """A connection to one kernel, made again when it is cut.

    Parameters
    ----------
    server : JupyterServer
    kernel_id : str
    """

    def __init__(self, server: JupyterServer, kernel_id: str) -> None:
        self._server = server
        self._id = kernel_id
        # The server gives what it has kept to the session that it has kept it for.
        self._session = uuid.uuid4().hex
        self._process = ""
        """The kernel's own session, another one after it has been restarted."""
        self._socket: ClientConnection | None = None
        self._tries = 0
        self._problem: Exception | None = None

    async def __aenter__(self) -> Kernel:
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                # It may be a while until it listens.
                reply = await self._ask(*self._request("kernel_info_request"))
        except TimeoutError as error:
            await self._close()
            raise RunFailedError("The kernel does not answer.", kind="no-kernel") from error
        except BaseException:
            await self._close()
            raise
        self._process = reply.header.session
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        if self._socket is not None:
            await self._socket.close()

    async def execute(self, code: str, *, timeout: float) -> None:
        """Run code to its end, once.

        Parameters
        ----------
        code : str
        timeout : float
            Seconds.

        Raises
        ------
        RunFailedError
            Of the kind ``cell-failed`` with what it raised, ``cell-timeout``, ``kernel-died``,
            ``reply-lost`` or ``server-lost``.
        """
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            # Nobody is there to be asked.
            "allow_stdin": False,
            "stop_on_error": True,
        }
        try:
            async with asyncio.timeout(timeout):
                reply = await self._ask(*self._request("execute_request", content))
        except TimeoutError as error:
            raise RunFailedError(
                f"It took longer than {timeout:g} s.", kind="cell-timeout"
            ) from error
        if reply.content.status != "ok":
            raise _raised(reply.content)

    # -- requests and replies

    def _request(self, kind: str, content: dict[str, Any] | None = None) -> tuple[str, str]:
        """Make a request: its id and its text."""
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
        """Send a request, once, and await its reply over as many connections as it takes."""
        awaited, seen = {request_id}, set[str]()
        while (reply := await self._exchange(text, awaited, seen)) is None:
            # A kernel answers one request after the other: this one after what it was asked before.
            probe, text = self._request("kernel_info_request")
            awaited.add(probe)
        if self._process and reply.header.session != self._process:
            raise RunFailedError("The kernel died, and was started again.", kind="kernel-died")
        if self._process and reply.parent_header.msg_id != request_id:
            raise _reply_lost(is_begun=request_id in seen)
        return reply

    async def _exchange(self, text: str, awaited: set[str], seen: set[str]) -> _Reply | None:
        """Send a request and await a reply to any that is awaited; None if the connection is cut.

        Of what is awaited, that which the kernel has begun is put into `seen`.
        """
        socket = await self._connected()
        began = _now()
        try:
            # To an open socket: whether it has come there nobody knows if it is cut now.
            await socket.send(text)
            async for answer in socket:
                self._tries = 0
                reply = _read(answer)
                if reply is None:
                    continue
                if reply.content.execution_state in {"restarting", "dead"}:
                    raise RunFailedError("The kernel died.", kind="kernel-died")
                about = reply.parent_header.msg_id
                if about in awaited and reply.header.msg_type.endswith("_reply"):
                    return reply
                if about in awaited:
                    seen.add(about)
        except (OSError, WebSocketException) as error:
            self._problem = error
        if _now() - began > _LASTING:
            self._tries = 0
        return None

    # -- connections

    async def _connected(self) -> ClientConnection:
        """Return an open connection, a new one where there is none.

        Raises
        ------
        RunFailedError
            Of the kind ``server-lost`` after as many tries as there are pauses, or ``kernel-died``.
        """
        if self._socket is not None and self._socket.state is State.OPEN:
            return self._socket
        for pause in _PAUSES[self._tries :]:
            self._tries += 1
            await asyncio.sleep(pause * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311 - no secret
            try:
                await self._noticed()
                self._socket = await self._connect()
                return self._socket
            except RunFailedError as error:
                if error.kind != "server-lost":
                    raise
                self._problem = error
            except (OSError, WebSocketException) as error:
                self._problem = error
        raise _lost(self._problem)

    async def _noticed(self) -> None:
        """Wait until the server has noticed that the last connection is gone.

        Only when the last one goes it begins to keep what the kernel sends. And two of the same
        session would be two addresses for one reply.
        """
        with suppress(TimeoutError):  # somebody else may be connected
            async with asyncio.timeout(_NOTICE_TIMEOUT):
                while await self._server.connections(self._id) > 0:  # noqa: ASYNC110 - no event
                    await asyncio.sleep(_NOTICE_POLL)

    async def _connect(self) -> ClientConnection:
        url = self._server.url
        address = f"ws{url.removeprefix('http')}api/kernels/{quote(self._id, safe='')}"
        return await connect(
            f"{address}/channels?session_id={self._session}",
            additional_headers=self._server.headers,
            max_size=_MAX_MESSAGE,
            open_timeout=_CONNECT_TIMEOUT,
            close_timeout=_CLOSE_TIMEOUT,
            proxy=None if is_near(url) else True,
        )


def _now() -> float:
    return asyncio.get_running_loop().time()


def _read(text: str | bytes) -> _Reply | None:
    """Read a message, and its content if that says how the code fares; None if there is no text."""
    # Those with buffers, as of widgets, come in a binary form.
    if isinstance(text, bytes):
        return None
    try:
        other = msgspec.json.decode(text, type=_Other)
        kind = other.header.msg_type
        if kind != "status" and not kind.endswith("_reply"):
            return _Reply(other.header, other.parent_header)
        return msgspec.json.decode(text, type=_Reply)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise RunFailedError(
            f"The kernel sent what is no message: {error}", kind="server-lost"
        ) from error


def _raised(reply: _Content) -> RunFailedError:
    name = plain(reply.ename) or "Error"
    value = plain(reply.evalue)
    text = plain("\n".join(reply.traceback))
    if len(text) > _LONGEST_TRACEBACK:
        half = _LONGEST_TRACEBACK // 2
        text = f"{text[:half]}\n…\n{text[-half:]}"
    said = f"{name}: {value[:500]}" if value else name
    if reply.status == "aborted":
        said = "It was called off."
    return RunFailedError(said, kind="cell-failed", name=name, value=value, traceback=text)


def _reply_lost(*, is_begun: bool) -> RunFailedError:
    known = (
        "The cell was run, but how it ended is not known."
        if is_begun
        else "Whether the cell was run is not known."
    )
    return RunFailedError(
        f"The connection to the kernel was cut, and a message was lost with it. {known}",
        kind="reply-lost",
    )


def _lost(error: Exception | None) -> RunFailedError:
    why = f" ({error or type(error).__name__})" if error is not None else ""
    return RunFailedError(
        f"The connection to the kernel was lost{why}: the server may have ended, or have run out "
        "of memory.",
        kind="server-lost",
    )
