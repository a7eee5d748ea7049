"""Attack: a visitor without any rights opens sockets until the server cannot serve anybody else.

It costs the attacker one small program, and a server that runs out of file descriptors answers
nobody: no page, no launch, no health check.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ..support.standalone import post
from .server import WITHIN, Target, closed, sockets, target, until

FILES = 256
"""The limit on open files (ulimit -n)."""

HALF = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
STRANGER = "127.0.0.2"
"""The address of somebody else."""

# A build that goes on until it is ended.
HANGING = {"requirements.txt": "", "postBuild": "#!/bin/sh\nexec tail -f /dev/null\n"}


@pytest.fixture
def small(tmp_path: Path, env: dict[str, str]) -> Iterator[Target]:
    """A server that may have few files open."""
    with target(tmp_path, env, files=FILES) as server:
        yield server


def assert_serves(server: Target, source: str = STRANGER) -> None:
    """Ask for what others need, each within a second, and the first after the attack's burst."""
    used = server.cpu
    status, seconds = server.get("/versions", source)
    assert status == 200
    # Seconds of the server's own work: here other tests may run, too. It must not wait, either.
    assert server.cpu - used < 3.0
    assert seconds < 5.0, server.log[-3000:]
    for path in ("/", "/static/badge.svg", "/versions"):
        status, seconds = server.get(path, source)
        assert status == 200
        assert seconds < 1.0, (path, server.log[-3000:])


@pytest.mark.fault(
    part="Viewers",
    fault="send half of a request, 500 of them",
    promise="others are served",
)
def test_500_half_sent_requests_do_not_keep_others_out(small: Target) -> None:
    """A stranger opens connections and never completes a request; each keeps a descriptor."""
    memory = small.memory
    with sockets() as stack:
        for _ in range(500):
            client = stack.enter_context(small.connect())
            with suppress(ConnectionError):
                client.sendall(HALF)
        assert_serves(small)
        assert small.memory - memory < 32 << 20
    assert len(small.log) < 20_000, small.log[-2000:]


@pytest.mark.fault(
    part="Viewers",
    fault="never read, 500 of them",
    promise="others are served",
)
def test_500_readers_of_a_stream_that_never_read_do_not_keep_others_out(
    small: Target, make_repository: Callable[..., Path]
) -> None:
    """A stranger watches a launch 500 times and reads nothing; viewers stay as long as it runs."""
    launch = post(f"{small.url}api/launches", {"repo": make_repository(files=HANGING).as_uri()})
    request = (
        f"GET {launch['events_url'].removeprefix(small.url.rstrip('/'))} HTTP/1.1\r\n"
        "Host: localhost\r\n\r\n"
    )
    memory = small.memory
    with sockets() as stack:
        for _ in range(500):
            client = stack.enter_context(small.connect(receive_buffer=1024))
            with suppress(ConnectionError):
                client.sendall(request.encode())
        assert_serves(small)
        # Somebody else may watch, too; it costs the attacker a place.
        with small.connect(STRANGER) as viewer:
            viewer.sendall(request.encode())
            assert viewer.recv(4096).startswith(b"HTTP/1.1 200")
        other = post(
            f"{small.url}api/launches", {"repo": Path(launch_folder(launch)).as_uri(), "ref": "x"}
        )
        assert other["id"] != launch["id"]
        assert small.memory - memory < 64 << 20
    assert len(small.log) < 100_000, small.log[-2000:]


def launch_folder(launch: dict[str, str]) -> str:
    """Return the folder of a launch's repository."""
    from binderprogress.core.specs import parse

    return parse(launch["spec"]).repo_url.removeprefix("file://")


@pytest.mark.long
def test_500_readers_of_a_file_that_never_read_do_not_keep_others_out(small: Target) -> None:
    """A stranger asks for a big file and takes nothing of it: the answer waits in our buffers."""
    path = "/static/" + max(static(), key=lambda file: file.stat().st_size).name
    memory = small.memory
    with sockets() as stack:
        for _ in range(500):
            client = stack.enter_context(small.connect(receive_buffer=1024))
            with suppress(ConnectionError):
                client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert_serves(small)
        assert small.memory - memory < 64 << 20
    assert len(small.log) < 100_000, small.log[-2000:]


def static() -> list[Path]:
    """List the browser's files."""
    import binderprogress._share as share

    return [file for file in share.share_path("static").iterdir() if file.is_file()]


def test_connections_that_come_without_end_do_not_flood_the_log(small: Target) -> None:
    """A stranger reconnects all the time: a line for each would fill the disk overnight."""
    with sockets() as stack:
        began = time.monotonic()
        while time.monotonic() - began < 2.0:
            client = stack.enter_context(small.connect())
            with suppress(ConnectionError):
                client.sendall(HALF)
            stack.close()
            for _ in range(300):
                stack.enter_context(small.connect())
        assert_serves(small)
    assert len(small.log) < 8_000, small.log[-2000:]


SLOW = """
c.HttpServer.header_timeout = 1.0
c.HttpServer.body_timeout = 1.0
c.HttpServer.idle_timeout = 2.0
c.HttpServer.write_timeout = 1.0
"""


def test_a_byte_now_and_then_does_not_keep_a_connection(
    tmp_path: Path, env: dict[str, str]
) -> None:
    """A slow loris sends a byte before each timeout: the time for the whole head counts."""
    with target(tmp_path, env, config=SLOW) as server, server.connect() as client:
        client.sendall(HALF)
        began = time.monotonic()
        while not closed(client):
            assert time.monotonic() - began < WITHIN
            time.sleep(0.1)
            with suppress(ConnectionError):
                client.sendall(b"X")
        assert time.monotonic() - began < 5.0


def test_a_body_that_comes_slowly_does_not_keep_a_connection(
    tmp_path: Path, env: dict[str, str]
) -> None:
    """The same with the body of a POST, one byte at a time."""
    head = (
        b"POST /api/launches HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000\r\n\r\n"
    )
    with target(tmp_path, env, config=SLOW) as server, server.connect() as client:
        client.sendall(head)
        began = time.monotonic()
        while not closed(client):
            assert time.monotonic() - began < WITHIN
            time.sleep(0.1)
            with suppress(ConnectionError):
                client.sendall(b" ")
        assert time.monotonic() - began < 5.0


@pytest.mark.fault(
    part="Viewers",
    fault="send nothing",
    promise="they are disconnected",
)
def test_an_idle_connection_is_closed(tmp_path: Path, env: dict[str, str]) -> None:
    """A stranger keeps connections alive after an answer, and never asks again."""
    with target(tmp_path, env, config=SLOW) as server, server.connect() as client:
        client.sendall(HALF + b"\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1")
        assert until(lambda: closed(client)) < 10.0


def test_who_takes_nothing_of_an_answer_is_dropped(tmp_path: Path, env: dict[str, str]) -> None:
    """Without need for room, too: what was not sent is kept in memory."""
    path = "/static/" + max(static(), key=lambda file: file.stat().st_size).name
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20
    with (
        target(tmp_path, env, config=SLOW) as server,
        server.connect(receive_buffer=1024) as client,
    ):
        client.sendall(request.encode())
        until(lambda: "did not read its response" in server.log)


@pytest.mark.long
def test_pipelined_bytes_do_not_fill_the_memory(tmp_path: Path, env: dict[str, str]) -> None:
    """While a request is answered, its connection could send 100 MB that would be kept."""
    # The answer waits for a Hub that is not there.
    requests = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000
    with target(tmp_path, env) as server, sockets() as stack:
        memory = server.memory
        for _ in range(20):
            client = stack.enter_context(server.connect())
            client.settimeout(0.2)
            with suppress(TimeoutError, ConnectionError):
                for _ in range(200):
                    client.sendall(requests)
        assert server.memory - memory < 48 << 20
        assert_serves(server)


def test_one_address_does_not_take_all_places(tmp_path: Path, env: dict[str, str]) -> None:
    """Where the server listens on an address of its own, one client has a limit of its own."""
    address = own_address()
    if address is None:
        pytest.skip("this machine has only loopback")
    config = (
        "c.HttpServer.max_connections_per_address = 10\n"
        "c.Web.local_only = False\n"
        "c.Standalone.trust_visitors = True\n"
    )
    options = ("--ip", "0.0.0.0")
    with target(tmp_path, env, *options, config=config) as server, sockets() as stack:
        server.address = (address, server.address[1])
        clients = [stack.enter_context(server.connect(address)) for _ in range(50)]
        until(lambda: sum(closed(client) for client in clients) >= 40)
        # From loopback come proxies, for everybody.
        server.address = ("127.0.0.1", server.address[1])
        others = [stack.enter_context(server.connect()) for _ in range(50)]
        assert server.get("/versions")[0] == 200
        assert not any(closed(client) for client in others)


FEW = "c.HttpServer.max_connections = 40\nc.Web.trust_proxy = True\n"
PLACES = 20
"""For viewers, of these 40."""


def watch(server: Target, launch: dict[str, str], client: str) -> socket.socket:
    """Watch a launch through a proxy, and wait for the head of the answer."""
    viewer = server.connect()
    path = launch["events_url"].removeprefix(server.url.rstrip("/"))
    viewer.sendall(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {client}\r\n\r\n".encode()
    )
    return viewer


def test_one_client_does_not_take_all_places_of_viewers(
    tmp_path: Path, env: dict[str, str], make_repository: Callable[..., Path]
) -> None:
    """Behind a proxy all connections have one peer: who has most viewers gives a place."""
    repository = make_repository(files=HANGING)
    with target(tmp_path, env, config=FEW) as server, sockets() as stack:
        launch = post(f"{server.url}api/launches", {"repo": repository.as_uri()})
        taken = [stack.enter_context(watch(server, launch, "192.0.2.1")) for _ in range(PLACES)]
        assert all(viewer.recv(12) == b"HTTP/1.1 200" for viewer in taken)
        with watch(server, launch, "192.0.2.1") as one_more:
            assert one_more.recv(12) == b"HTTP/1.1 429"
        with watch(server, launch, "::ffff:192.0.2.2") as other:
            assert other.recv(12) == b"HTTP/1.1 200"
            until(lambda: sum(closed(viewer) for viewer in taken) == 1)


def test_build_starts_no_launch_that_could_not_be_watched(
    tmp_path: Path, env: dict[str, str], make_repository: Callable[..., Path]
) -> None:
    """With all places taken, each GET of /build/ would start a build for nobody."""
    repository = make_repository(files=HANGING)
    with target(tmp_path, env, config=FEW) as server, sockets() as stack:
        launch = post(f"{server.url}api/launches", {"repo": repository.as_uri()})
        for _ in range(PLACES):
            viewer = stack.enter_context(watch(server, launch, "192.0.2.1"))
            assert viewer.recv(12) == b"HTTP/1.1 200"
        answer = server.raw(
            f"GET /build/{launch['spec']} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            "Accept: text/event-stream\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
        )
        assert b'"status_code":429' in answer
        assert server.log.count("> started") == 1


def own_address() -> str | None:
    """Return an address of this machine that is not loopback."""
    import psutil

    addresses = [a for found in psutil.net_if_addrs().values() for a in found]
    return next(
        (
            a.address
            for a in addresses
            if a.family is socket.AF_INET and not a.address.startswith("127.")
        ),
        None,
    )


@pytest.mark.fault(
    part="The server",
    fault="has no file descriptors left",
    promise="it does not spin, and goes on when there are some",
)
def test_accepting_goes_on_after_descriptors_ran_out(tmp_path: Path, env: dict[str, str]) -> None:
    """A setting that allows more connections than files: accepting fails, and must not spin."""
    config = "c.HttpServer.max_connections = 5000\n"
    with target(tmp_path, env, files=FILES, config=config) as server:
        with sockets() as stack:
            for _ in range(500):
                client = stack.enter_context(server.connect())
                with suppress(ConnectionError):
                    client.sendall(HALF)
            assert_serves(server)
            used = server.cpu
            time.sleep(2.0)  # whether it does anything shows only in some time
            assert server.cpu - used < 1.0
        assert_serves(server)
        assert "Traceback" not in server.log
        assert len(server.log) < 20_000
