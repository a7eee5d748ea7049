"""The folder with the full logs of builds."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import pytest

from binderprogress.channels.base import Meter
from binderprogress.launches.log_files import LogFiles

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
