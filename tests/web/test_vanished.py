"""Viewers whose machine vanished from the network, so that nothing closes their connections."""

from __future__ import annotations

import ctypes
import logging
import socket
import struct
import sys
from types import SimpleNamespace
from typing import cast

import pytest
from tornado.iostream import IOStream
from tornado.web import Application
from tornado.websocket import WebSocketHandler

from binderprogress.launches import LaunchManager
from binderprogress.launches.fanout import Audience
from binderprogress.web import viewers
from binderprogress.web.config import Web
from binderprogress.web.viewers import SocketMessages, SocketViewer

from ..launches.parts import SilentHost, gen_test, unwatched
from .clients import Api, ask, narrow
from .test_socket import UPGRADE

_SO_ATTACH_FILTER = 26  # Python has no name for it
PING = SocketMessages.keepalive


def vanish(client: socket.socket) -> None:
    """Drop everything that a socket receives before the system acknowledges it."""
    drop = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))
    program = struct.pack("HP", 1, ctypes.addressof(drop))
    client.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


@pytest.mark.fault(
    part="The connection to viewers",
    fault="is half open: nothing is acknowledged",
    promise="it is closed after `Web.viewer_timeout`",
)
@pytest.mark.skipif(sys.platform != "linux", reason="socket filters are Linux's")
@pytest.mark.parametrize("kind", ["events", "socket"])
@gen_test
async def test_a_viewer_that_vanished_does_not_count_for_long(
    api: Api, app: Application, web: Web, launches: LaunchManager, kind: str
) -> None:
    web.keepalive, web.viewer_timeout = 0.05, 0.5
    async with SilentHost() as host, narrow(app) as port:
        links = await api.start(host.spec)
        launch = launches.get(links["id"])
        headers = UPGRADE if kind == "socket" else {}
        client = await ask(port, links[f"{kind}_url"], **headers)
        await unwatched(launch, lambda launch: launch.viewers == 1)
        vanish(client)
        # Otherwise, this takes the system 15 minutes.
        await unwatched(launch, lambda launch: launch.viewers == 0)
        client.close()


@pytest.mark.fault(
    part="The connection to viewers",
    fault="is half open, behind a proxy that acknowledges everything",
    promise="a WebSocket is closed after `Web.viewer_timeout`",
)
@gen_test
async def test_a_viewer_behind_a_proxy_must_answer_pings(
    api: Api, web: Web, launches: LaunchManager, app: Application, caplog: pytest.LogCaptureFixture
) -> None:
    """The proxy acknowledges everything, but its client has vanished."""
    caplog.set_level(logging.INFO)
    web.keepalive, web.viewer_timeout = 0.05, 0.3
    async with SilentHost() as host, narrow(app) as port:
        links = await api.start(host.spec)
        launch = launches.get(links["id"])
        client = await ask(port, links["socket_url"], **UPGRADE)
        await unwatched(launch, lambda launch: launch.viewers == 1)
        await unwatched(launch, lambda launch: launch.viewers == 0)
        assert "Disconnected a viewer that did not answer pings." in caplog.text
        client.close()


@gen_test
async def test_pings_are_sent_between_events_and_have_to_be_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(viewers, "monotonic", lambda: now[0])
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(30)
    stream = IOStream(ours)
    monkeypatch.setattr(stream, "set_nodelay", lambda _: None)  # it is no TCP connection
    viewer = SocketViewer(
        stream, log=logging.getLogger(), handler=cast(WebSocketHandler, SimpleNamespace())
    )
    settings = SimpleNamespace(keepalive=15.0, viewer_timeout=60.0)
    viewer.audience = cast(Audience, SimpleNamespace(settings=settings))

    def sent(at: float, data: bytes) -> bytes:
        now[0] = 1000.0 + at
        assert viewer.send(data)
        return theirs.recv(100)

    assert sent(0, b"a") == b"a" + PING
    assert sent(10, b"b") == b"b"
    assert sent(15, PING) == PING
    # The first ping counts.
    assert sent(59, b"c") == b"c" + PING
    viewer.answered()
    assert sent(100, b"d") == b"d" + PING
    assert sent(150, b"e") == b"e" + PING
    assert sent(161, b"f") == b""
    assert stream.closed()
    theirs.close()


@gen_test
async def test_without_keepalives_there_are_no_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(30)
    stream = IOStream(ours)
    monkeypatch.setattr(stream, "set_nodelay", lambda _: None)  # it is no TCP connection
    viewer = SocketViewer(
        stream, log=logging.getLogger(), handler=cast(WebSocketHandler, SimpleNamespace())
    )
    settings = SimpleNamespace(keepalive=0.0, viewer_timeout=60.0)
    viewer.audience = cast(Audience, SimpleNamespace(settings=settings))
    assert viewer.send(b"a")
    assert theirs.recv(100) == b"a"
    stream.close()
    theirs.close()
