"""The folder with the full logs of builds."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest

from binderprogress.channels.base import Meter
from binderprogress.errors import NotFoundError
from binderprogress.launches.build_log import CHUNK
from binderprogress.launches.log_files import LogFiles

from ..support.asynchronous import asynchronous
from ..support.durable import DurableMemoryStore, Memory

LOG = logging.getLogger("test")


@pytest.fixture
def logs(tmp_path: Path) -> LogFiles:
    return LogFiles(folder=tmp_path, limit=1000, budget=1000, keep=3600.0, meter=Meter())


def write(logs: LogFiles, build_id: str, text: str, *, age: float = 0.0) -> None:
    log = logs.make(build_id, log=LOG)
    log.write(text)
    log.close()
    changed = time.time() - age
    os.utime(logs.folder / f"{build_id}.log", (changed, changed))


def names(logs: LogFiles) -> set[str]:
    return {path.stem for path in logs.folder.iterdir()}


def test_a_log_that_is_released_can_be_read_and_no_longer_counts(logs: LogFiles) -> None:
    log = logs.make("a", log=LOG)
    log.write("first\nsecond\n")
    assert logs.meter.used == 13
    log.release()
    assert logs.meter.used == 0
    assert (logs.folder / "a.log").read_bytes() == b"first\nsecond\n"


def test_old_logs_are_removed_unless_they_are_in_use(logs: LogFiles) -> None:
    write(logs, "old", "text\n", age=3700)
    write(logs, "running", "text\n", age=3700)
    write(logs, "new", "text\n", age=3500)
    (logs.folder / "other").write_text("not a log")
    logs.sweep({"running"})
    assert names(logs) == {"running", "new", "other"}


def test_the_oldest_logs_make_room(logs: LogFiles) -> None:
    for age, build_id in enumerate(["newest", "newer", "old", "oldest"]):
        write(logs, build_id, "x" * 400, age=age * 60)
    logs.sweep(())
    assert names(logs) == {"newest", "newer"}


def test_a_server_goes_on_with_what_is_in_the_file(logs: LogFiles) -> None:
    write(logs, "a", "first\n")
    again = logs.make("a", log=LOG)
    again.restore(["first\n"])
    again.write("second\n")
    assert b"".join(again.read()) == b"first\nsecond\n"
    assert logs.meter.used == 6 + len("first\nsecond\n")
    # A server that was killed has not written everything that viewers have seen.
    last = logs.make("a", log=LOG)
    last.restore(["first\n", "second\n", "third\n"])
    assert b"".join(last.read()) == b"first\nsecond\nthird\n"


# -- logs of builds that ended


async def text_of(logs: LogFiles, build_id: str) -> str:
    return b"".join(await logs.read(build_id)).decode()


@asynchronous(10)
async def test_a_log_can_be_read_while_and_after_it_is_written(logs: LogFiles) -> None:
    log = logs.make("a", log=LOG)
    assert await text_of(logs, "a") == ""
    log.write("first\n")
    assert await text_of(logs, "a") == "first\n"
    log.write("second\n")
    log.finish("The end.\n")
    assert await text_of(logs, "a") == "first\nsecond\nThe end.\n"
    # Launches have the end as an event.
    assert b"".join(log.read()) == b"first\nsecond\n"
    log.release()
    assert await text_of(logs, "a") == "first\nsecond\nThe end.\n"
    del log
    assert await text_of(logs, "a") == "first\nsecond\nThe end.\n"


@asynchronous(10)
async def test_a_log_is_finished_once_whoever_does_it(logs: LogFiles) -> None:
    write(logs, "a", "first\n")
    killed = logs.make("a", log=LOG)
    killed.restore(end="The end.\n")
    killed.finish("The end.\n")
    again = logs.make("a", log=LOG)
    again.restore(["first\n"], end="The end.\n")
    again.finish("The end.\n")
    assert b"".join(again.read()) == b"first\n"
    assert again.size == 6
    assert await text_of(logs, "a") == "first\nThe end.\n"


@asynchronous(10)
async def test_a_log_that_is_deleted_cannot_be_read(logs: LogFiles) -> None:
    log = logs.make("a", log=LOG)
    log.write("first\n")
    log.delete()
    with pytest.raises(NotFoundError, match=r"kept for 1 hour\.$"):
        await logs.read("a")


@pytest.mark.parametrize(
    ("keep", "text"), [(7 * 86400.0, "7 days"), (86400.0, "1 day"), (5400.0, "90 minutes")]
)
@asynchronous(10)
async def test_a_log_that_is_not_there_is_explained(tmp_path: Path, keep: float, text: str) -> None:
    store = DurableMemoryStore(Memory(), "one")
    await store.open()
    logs = LogFiles(folder=tmp_path, limit=1000, budget=1000, keep=keep, meter=Meter(), store=store)
    with pytest.raises(NotFoundError, match=rf"kept for {text}\.$"):
        await logs.read("unknown")


@asynchronous(10)
async def test_it_is_said_where_the_log_of_another_replica_is(tmp_path: Path) -> None:
    memory = Memory()
    one, other = DurableMemoryStore(memory, "one"), DurableMemoryStore(memory, "other")
    for store in (one, other):
        await store.open()
    logs = LogFiles(folder=tmp_path, limit=9, budget=9, keep=1.0, meter=Meter(), store=one)
    # That of a build that is shown here, but runs elsewhere.
    made = logs.make("a", log=LOG)
    await other.lease("build.a", b"")
    for read in (logs.read, logs.lines):
        with pytest.raises(NotFoundError, match="Another replica of this server runs this build"):
            await read("a")
    await other.end("build.a", b"", expires=0.0)
    with pytest.raises(NotFoundError, match="Another replica of this server may have it"):
        await logs.read("a")
    made.release()


@pytest.mark.parametrize(
    "build_id", ["../secret", "/etc/passwd", "a/../a", "", "a\n", "é", "a" * 65]
)
@asynchronous(10)
async def test_attack_no_id_is_a_path(tmp_path: Path, build_id: str) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    (tmp_path / "secret.log").write_text("secret")
    logs = LogFiles(folder=folder, limit=1000, budget=1000, keep=1.0, meter=Meter())
    with pytest.raises(NotFoundError):
        await logs.read(build_id)


@asynchronous(10)
async def test_attack_a_slow_reader_does_not_keep_a_removed_log_on_the_disk(
    logs: LogFiles,
) -> None:
    (logs.folder / "a.log").write_bytes(b"x" * 3 * CHUNK)
    chunks = await logs.read("a")
    assert next(chunks) == b"x" * CHUNK
    (logs.folder / "a.log").unlink()
    with pytest.raises(FileNotFoundError):
        list(chunks)


@asynchronous(10)
async def test_the_newest_build_of_an_environment_is_known_while_its_log_is(
    logs: LogFiles,
) -> None:
    assert await logs.newest("key") is None
    for build_id in ("one", "two"):
        log = logs.make(build_id, log=LOG)
        log.write("text\n")
        log.finish("Built.\n", key="key")
    # A build that failed, or found the environment.
    logs.make("three", log=LOG).finish("Found.\n")
    newest = await logs.newest("key")
    assert newest is not None
    assert newest.id == "two"
    assert newest.ended == pytest.approx(time.time(), abs=60)
    assert await logs.newest("other") is None
    logs.sweep(())
    assert await logs.newest("key") == newest
    (logs.folder / "two.log").unlink()
    assert await logs.newest("key") is None
    logs.sweep(())
    assert names(logs) == {"one", "three"}
