"""A server that is killed again and again; `kills` does the same with more of everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from ..support.asynchronous import asynchronous
from ..support.gone import gone
from .kills import Options, run

ROOT = Path(__file__).parents[2]


@pytest.mark.fault(
    part="The server",
    fault="is killed again and again at any moment, with launches and viewers (SQLite)",
    promise="each launch gets one server, every viewer gets every event once, nothing is left",
)
@asynchronous(60)
async def test_nothing_is_lost_with_sqlite(tmp_path: Path) -> None:
    figures = await run(Options(launches=8, viewers=24, times=3), tmp_path)
    assert figures.launches == figures.spawns > 8


@pytest.mark.long
def test_the_command_stops_in_the_background_and_during_a_pause(tmp_path: Path) -> None:
    options = ["--launches=2", "--viewers=2", "--times=2", "--pause=3600"]
    command = [sys.executable, "-m", "tests.faults.kills", *options]
    with subprocess.Popen(
        # As shells start what is followed by "&".
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *command],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        family = psutil.Process(process.pid)
        started: list[psutil.Process] = []
        try:
            while not any(map(_is_paused, started)):
                assert process.poll() is None
                time.sleep(0.05)  # there is no event for it
                started = family.children(recursive=True)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
            assert (process.returncode, errors) == (1, "Stopped.\n")
            assert gone(started)
            assert list(tmp_path.iterdir()) == []
        finally:
            for each in (*started, family):
                with suppress(psutil.NoSuchProcess):
                    each.kill()


def _is_paused(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False
