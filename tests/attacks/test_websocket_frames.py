"""Attack: a viewer's WebSocket is used to fill the server's memory.

A viewer has nothing to say. What it sends all the same is kept by Tornado until a message is
complete, up to 10 MiB for each socket; what it is answered is kept until it reads.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

import pytest

from ..support.repositories import repository
from ..support.standalone import post
from .server import Target, closed, target, until

HANGING = {"requirements.txt": "", "postBuild": "#!/bin/sh\nexec tail -f /dev/null\n"}
UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
)
CONTINUE, TEXT, CLOSE, PING = 0x0, 0x1, 0x8, 0x9


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, env: dict[str, str]) -> Iterator[Target]:
    with target(tmp_path_factory.mktemp("server"), env) as server:
        yield server
        assert "Traceback" not in server.log


@pytest.fixture(scope="module")
def hanging(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A repository whose build goes on: one for all, because environments take time."""
    return repository(tmp_path_factory.mktemp("repository") / "hanging", HANGING).as_uri()


@pytest.fixture
def viewer(server: Target, hanging: str) -> Iterator[socket.socket]:
    """A WebSocket that watches a launch."""
    with connected(server, hanging) as (client, _):
        yield client


class connected:  # noqa: N801 - it reads as a function
    """A WebSocket that watches a launch, and the head of the answer."""

    def __init__(
        self,
        server: Target,
        hanging: str,
        more: str = "",
        buffer: int = 0,
    ) -> None:
        launch = post(f"{server.url}api/launches", {"repo": hanging})
        self.client = server.connect(receive_buffer=buffer)
        path = "/" + launch["socket_url"].split("/", 3)[3]
        self.client.sendall(UPGRADE.format(path=path, more=more).encode())

    def __enter__(self) -> tuple[socket.socket, bytes]:
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.client.recv(1)
        assert head.startswith(b"HTTP/1.1 101")
        return self.client, head

    def __exit__(self, *_: object) -> None:
        self.client.close()


def frame(opcode: int, payload: bytes, *, final: bool = True, size: int | None = None) -> bytes:
    """Return a frame as clients send them: masked, here with zeros."""
    size = len(payload) if size is None else size
    head = bytes([final << 7 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += struct.pack("!BH", 0x80 | 126, size)
    else:
        head += struct.pack("!BQ", 0x80 | 127, size)
    return head + bytes(4) + payload


def frames(client: socket.socket) -> list[tuple[int, bytes]]:
    """Read frames to the end of the connection."""
    data = b""
    with suppress(ConnectionError):
        while chunk := client.recv(65536):
            data += chunk
    found = []
    while len(data) >= 2:
        size, start = data[1] & 0x7F, 2
        if size == 126:
            size, start = struct.unpack_from("!H", data, 2)[0], 4
        elif size == 127:
            size, start = struct.unpack_from("!Q", data, 2)[0], 10
        found.append((data[0] & 0xF, data[start : start + size]))
        data = data[start + size :]
    return found


def close_code(client: socket.socket) -> int:
    """Read to the end; return with which code the other side closed."""
    found = frames(client)
    opcode, payload = found[-1]
    assert opcode == CLOSE, found
    code: int = struct.unpack("!H", payload[:2])[0]
    return code


def test_a_message_over_1_kib_closes_the_connection(viewer: socket.socket) -> None:
    """Its beginning says how long it will be: nothing of it is awaited."""
    viewer.sendall(frame(TEXT, b"", size=1025))
    assert close_code(viewer) == 1009


@pytest.mark.parametrize("size", [1 << 20, 9 << 20, 1 << 62])
def test_a_huge_message_that_never_comes_is_not_awaited(viewer: socket.socket, size: int) -> None:
    """Up to 10 MiB would be collected for each socket."""
    viewer.sendall(frame(TEXT, b"", size=size))
    assert close_code(viewer) == 1009


def test_a_message_in_many_parts_is_not_collected(viewer: socket.socket) -> None:
    """Each part is small; together they would be as much as anybody wants."""
    viewer.sendall(frame(TEXT, b"x" * 500, final=False))
    viewer.sendall(frame(CONTINUE, b"x" * 500, final=False))
    viewer.sendall(frame(CONTINUE, b"x" * 500, final=False))
    assert close_code(viewer) == 1009


@pytest.mark.long
def test_a_small_message_is_refused(viewer: socket.socket) -> None:
    """A viewer only watches."""
    viewer.sendall(frame(TEXT, b"hello"))
    assert close_code(viewer) == 1008


def test_a_long_ping_or_close_is_refused(server: Target, hanging: str) -> None:
    """Control frames have 125 bytes at most (RFC 6455, 5.5)."""
    for opcode in (PING, CLOSE):
        with connected(server, hanging) as (client, _):
            client.sendall(frame(opcode, b"x" * 500))
            until(lambda client=client: closed(client))  # type: ignore[misc] # bound at once


def test_a_bomb_cannot_be_sent(server: Target, hanging: str) -> None:
    """With compression, 1 KiB becomes 1 MiB; a client that offers it is told of none."""
    offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
    with connected(server, hanging, offer) as (client, head):
        assert b"Sec-WebSocket-Extensions" not in head
        # Bytes that claim to be compressed all the same.
        client.sendall(bytes([0xC0 | TEXT]) + frame(TEXT, b"\x4a\x04\x00")[1:])
        until(lambda: closed(client))


def test_nothing_follows_after_our_close(server: Target, hanging: str) -> None:
    """A client that talks and then does not close would get events after the close frame."""
    with connected(server, hanging) as (client, _):
        client.sendall(frame(TEXT, b"hello"))
        found = frames(client)
        assert [opcode for opcode, _ in found].index(CLOSE) == len(found) - 1


def test_who_pings_and_does_not_read_is_dropped(server: Target, hanging: str) -> None:
    """Each ping has an answer, which is kept until it is read: without end, if it never is."""
    memory = server.memory
    with connected(server, hanging, buffer=1024) as (client, _):
        pings = frame(PING, b"x" * 125) * 1000
        with suppress(ConnectionError, TimeoutError):
            for _ in range(400):
                client.sendall(pings)
            pytest.fail("it was not dropped")
    assert server.memory - memory < 24 << 20


def test_a_message_of_empty_parts_without_end_costs_nothing(server: Target, hanging: str) -> None:
    """Parts without a byte never reach a limit on bytes."""
    memory = server.memory
    with connected(server, hanging) as (client, _):
        client.sendall(frame(TEXT, b"", final=False))
        for _ in range(100):
            client.sendall(frame(CONTINUE, b"", final=False) * 1000)
        assert server.get("/versions")[0] == 200
    assert server.memory - memory < 16 << 20
