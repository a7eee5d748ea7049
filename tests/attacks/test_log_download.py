"""Full logs: many read a long one slowly, the disk is full, files are used up."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from binderprogress.channels.base import Meter
from binderprogress.core.phases import Phase
from binderprogress.launches.build_log import CHUNK, BuildLog

from ..launches.parts import WITHIN, log_of
from ..support.asynchronous import asynchronous
from ..support.replay import Stage, stage
from .printing import lines, reached, serving

MIB = 2**20
SPEC = "gh/mallory/repository/HEAD"
# Two bytes each: a chunk's end falls within a character.
WIDE = "x" + "é" * 4000
COUNT = 4000
READERS = 12


@pytest.fixture
def server() -> Iterator[Stage]:
    with stage() as made:
        yield made


def long_log(server: Stage) -> str:
    """Have a build print a log of 32 MB, and return the log's address."""
    for number in range(COUNT):
        server.say(f"{number} {WIDE}\n")
    server.fail("build-failed", "The launch failed.")
    answer = requests.post(f"{server.url}api/launches", json={"spec": SPEC}, timeout=WITHIN)
    links = answer.json()
    with requests.get(links["events_url"], stream=True, timeout=3 * WITHIN) as stream:
        assert any(b'"phase":"failed"' in line for line in stream.iter_lines())
    return str(links["log_url"])


def reader(server: Stage, url: str) -> socket.socket:
    """Ask for a log, and read no more than the first bytes of it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(WITHIN)
    parts = urlsplit(url)
    assert parts.hostname is not None
    client.connect((parts.hostname, parts.port))
    client.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
    assert client.recv(15) == b"HTTP/1.1 200 OK"
    return client


def test_attack_many_slow_readers_of_a_long_log(server: Stage) -> None:
    """Somebody asks for a long log fifty times and reads nothing.

    Before, each had all of it in memory, twice: fifty of a log of 100 MB took 10 GB, and it was
    read and decoded while everybody else waited.
    """
    url = long_log(server)
    gc.collect()
    tracemalloc.start()
    clients = []
    try:
        before = tracemalloc.get_traced_memory()[0]
        clients = [reader(server, url) for _ in range(READERS)]
        assert requests.get(f"{server.url}versions", timeout=WITHIN).ok
        taken = tracemalloc.get_traced_memory()[1] - before
        # A chunk in Tornado's buffer, one in ours, and what it takes to answer.
        assert taken < READERS * 4 * CHUNK + 4 * MIB
    finally:
        tracemalloc.stop()
        for client in clients:
            client.close()
    # Who reads it has it, whole, and no character is broken.
    text = requests.get(url, timeout=3 * WITHIN).content.decode()
    assert text.count(WIDE) == COUNT
    assert text.startswith("Looking up HEAD")
    assert text.endswith("The build failed.\n")


def test_attack_a_slow_reader_of_a_log_that_is_forgotten() -> None:
    """It would keep the file on the disk as long as it likes; it is cut, and can see that."""
    with stage(LaunchManager={"forget_after": 1.0}) as server:
        url = long_log(server)
        client = reader(server, url)
        with client, client.makefile("rb") as file:
            # Until it is forgotten; asking for it does not keep it.
            deadline = threading.Event()
            for _ in range(200):
                if requests.get(url, timeout=WITHIN, stream=True).status_code == 404:
                    break
                deadline.wait(0.05)
            else:
                raise AssertionError("It is never forgotten.")
            rest = file.read()
        assert len(rest) < COUNT * len(WIDE)
        assert not rest.endswith(b"0\r\n\r\n")


@asynchronous(60)
async def test_attack_a_log_that_is_left_within_a_line_of_wide_characters() -> None:
    """A launch that is cancelled has the log up to there: whole characters, and its own end."""
    async with serving() as server:
        leaves, stays = await server.start("shared"), await server.start("shared")
        server.builder.print(leaves.spec, lines(1000, "ééé€\U0001f40d"))
        await reached(leaves, wanted=lambda one: one.last.id >= 1000)
        server.manager.cancel(leaves)
        server.builder.print(leaves.spec, lines(1000, "later"))
        server.builder.end(leaves.spec)
        await server.over(leaves, stays)
        text = await log_of(leaves)
        assert text.count("ééé€\U0001f40d") == 1000
        assert "later" not in text
        assert text.endswith("Cancelled.\n")
        assert (await log_of(stays)).count("later") == 1000


# -- the disk


def files(server: object) -> list[Path]:
    """Return the files of logs."""
    return list(Path(server.manager._logs.name).iterdir())  # type: ignore[attr-defined]


@asynchronous(60)
async def test_attack_launch_after_launch_with_a_log_that_fills_the_disk() -> None:
    """Repositories that print a lot, launched one after the other, and asked for all the time."""
    async with serving(disk_budget=2 * MIB) as server:
        launches = []
        for number in range(8):
            launches.append(await server.run(number, lines(300, "x" * 1000)))
            for launch in launches:
                if launch.id in server.manager._directory._launches:
                    server.manager.get(launch.id)
            assert sum(file.stat().st_size for file in files(server)) <= 2 * MIB
        assert launches[0].forgotten
        assert (await log_of(launches[-1])).count("x" * 1000) == 300


@asynchronous(60)
async def test_attack_running_builds_that_fill_the_disk_side_by_side() -> None:
    """Their logs are cut, the longest first, and say so; a short one goes on."""
    async with serving(disk_budget=MIB) as server:
        small, *large = launches = [await server.start(number) for number in range(4)]
        server.builder.print(small.spec, lines(10, "small"))
        for done in range(50, 2001, 50):
            for launch in large:
                server.builder.print(launch.spec, lines(50, "x" * 1000))
            await reached(*large, wanted=lambda one, done=done: one.last.id > done)
        before = small.last.id
        server.builder.print(small.spec, lines(10, "small"))
        await reached(small, wanted=lambda one: one.last.id >= before + 10)
        assert sum(file.stat().st_size for file in files(server)) <= MIB
        cut = "[The log is cut here: this server has no room for more of it.]\n"
        logs = {launch: await log_of(launch) for launch in launches}
        for launch in launches:
            server.builder.end(launch.spec)
        await server.over(*launches)
        assert all(logs[launch].count(cut) == 1 for launch in large)
        assert logs[small].count("small") == 20
        assert cut not in logs[small]


def test_attack_a_disk_that_is_full(caplog: pytest.LogCaptureFixture) -> None:
    """Somebody fills the disk; logs end, and everything else goes on."""
    meter = Meter()
    # Every write to it fails as a full disk does.
    log = BuildLog(Path("/dev/full"), limit=MIB, meter=meter, log=logging.getLogger("test"))
    for _ in range(1000):
        log.write("a line of a log\n" * 100)
    log.close()
    assert log.size == meter.used == 0
    said = b"[The log ends here: it could not be written (No space left on device).]\n"
    assert b"".join(log.read()) == said
    assert caplog.text.count("The full log of a build ends early") == 1


def test_attack_a_disk_that_fills_up_within_a_character(tmp_path: Path) -> None:
    """A part of what is written may get there, and end within a character: it is taken back."""
    file = tmp_path / "log"
    log = BuildLog(file, limit=MIB, meter=Meter(), log=logging.getLogger("test"))
    log.write("é\n" * 100)
    log.flush()
    write, calls = os.write, []

    def short(descriptor: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return write(descriptor, bytes(data)[:101])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", short)
        log.write("é\n" * 100)
        log.flush()
    assert file.read_bytes() == "é\n".encode() * 100
    assert b"".join(log.read()).decode().startswith("é\n" * 100 + "[The log ends here")
    log.delete()
    assert not file.exists()


@asynchronous(60)
async def test_attack_a_log_that_cannot_be_written_fails_no_build() -> None:
    """The folder of the logs goes, as when somebody tidies /tmp.

    Before, new builds failed, and one whose last launch left was never ended.
    """
    async with serving() as server:
        launch = await server.start("unlogged")
        server.builder.print(launch.spec, lines(100, "x" * 1000))
        await reached(launch, wanted=lambda one: one.last.id >= 100)
        shutil.rmtree(server.manager._logs.name)
        other = await server.start("after")
        server.builder.print(other.spec, lines(100, "x" * 1000))
        await reached(other, wanted=lambda one: one.last.id >= 100)
        server.manager.cancel(launch)
        await server.over(launch)
        assert launch.build is not None
        assert launch.build.users == 0
        await asyncio.wait([launch.build.task])
        assert launch.build.task.cancelled()
        server.builder.end(other.spec)
        await server.over(other)
        assert (other.last.phase, other.last.reason) == (Phase.FAILED, "build-failed")
        assert "could not be written" in await log_of(other)
        # It is removed at the end.
        os.mkdir(server.manager._logs.name)  # noqa: PTH102 - in a coroutine, as in a function


@asynchronous(60)
async def test_attack_logs_that_use_up_the_open_files() -> None:
    """Hundreds of commits are built within an hour, and a server may have 1,024 files open.

    Each log of a build that was over took one, as long as it was kept.
    """
    async with serving() as server:
        await server.run("first", lines(3))
        before = psutil.Process().num_fds()
        for number in range(50):
            await server.run(number, lines(3))
        assert psutil.Process().num_fds() < before + 10
        assert len(server.manager.budgets) == 51
