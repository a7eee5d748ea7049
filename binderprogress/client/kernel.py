"""Running code in a kernel, over its WebSocket.

Jupyter's messaging protocol (5.3), one JSON object a message. What comes back is hostile input.
"""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from ..core.reasons import plain
from ..errors import RunFailedError
from .addresses import is_near
from .jupyter import JupyterServer

__all__ = ["Kernel"]

# A picture in an output may be large; it is not kept.
_MAX_MESSAGE = 128 * 2**20
_LONGEST_TRACEBACK = 20_000
_CONNECT_TIMEOUT = 60.0


class _Header(msgspec.Struct):
    msg_id: str = ""
    msg_type: str = ""


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


class _Kind(msgspec.Struct):
    header: _Header


class Kernel:
    """A connection to one kernel.

    Parameters
    ----------
    server : JupyterServer
    kernel_id : str
    """

    def __init__(self, server: JupyterServer, kernel_id: str) -> None:
        self._session = uuid.uuid4().hex
        address = f"ws{server.url.removeprefix('http')}api/kernels/{quote(kernel_id, safe='')}"
        self._connecting = connect(
            f"{address}/channels?session_id={self._session}",
            additional_headers=server.headers,
            max_size=_MAX_MESSAGE,
            open_timeout=_CONNECT_TIMEOUT,
            proxy=None if is_near(server.url) else True,
        )
        self._socket: ClientConnection | None = None

    async def __aenter__(self) -> Kernel:
        try:
            self._socket = await self._connecting
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                # It may be a while until it listens.
                await self._ask("kernel_info_request", {})
        except TimeoutError as error:
            await self._close()
            raise RunFailedError("The kernel does not answer.", kind="no-kernel") from error
        except (OSError, WebSocketException) as error:
            raise _lost(error) from error
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        if self._socket is not None:
            await self._socket.close()

    async def execute(self, code: str, *, timeout: float) -> None:
        """Run code to its end.

        Parameters
        ----------
        code : str
        timeout : float
            Seconds.

        Raises
        ------
        RunFailedError
            Of the kind ``cell-failed`` with what it raised, ``cell-timeout``, ``kernel-died`` or
            ``server-lost``.
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
                reply = await self._ask("execute_request", content)
        except TimeoutError as error:
            raise RunFailedError(
                f"It took longer than {timeout:g} s.", kind="cell-timeout"
            ) from error
        if reply.status != "ok":
            raise _raised(reply)

    async def _ask(self, kind: str, content: dict[str, Any]) -> _Content:
        """Send a request and await its reply."""
        assert self._socket is not None  # noqa: S101 - inside the context
        asked = uuid.uuid4().hex
        message = {
            "channel": "shell",
            "header": {
                "msg_id": asked,
                "msg_type": kind,
                "session": self._session,
                "username": "",
                "date": datetime.now(UTC).isoformat(),
                "version": "5.3",
            },
            "parent_header": {},
            "metadata": {},
            "content": content,
            "buffers": [],
        }
        expected = kind.replace("_request", "_reply")
        try:
            await self._socket.send(msgspec.json.encode(message).decode())
            async for text in self._socket:
                reply = _read(text)
                if reply is None:
                    continue
                if reply.content.execution_state in {"restarting", "dead"}:
                    raise RunFailedError("The kernel died.", kind="kernel-died")
                if reply.header.msg_type == expected and reply.parent_header.msg_id == asked:
                    return reply.content
        except (OSError, WebSocketException) as error:
            raise _lost(error) from error
        raise _lost(None)


def _read(text: str | bytes) -> _Reply | None:
    """Read a message; None if it is one that says nothing of how the code fares."""
    # Those with buffers, as of widgets, come in a binary form.
    if isinstance(text, bytes):
        return None
    try:
        kind = msgspec.json.decode(text, type=_Kind).header.msg_type
        # Outputs have contents of any shape.
        if kind != "status" and not kind.endswith("_reply"):
            return None
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


def _lost(error: Exception | None) -> RunFailedError:
    why = f" ({error or type(error).__name__})" if error is not None else ""
    return RunFailedError(
        f"The connection to the kernel was lost{why}: the server may have ended, or have run out "
        "of memory.",
        kind="server-lost",
    )
