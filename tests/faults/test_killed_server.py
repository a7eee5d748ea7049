"""A server that is killed leaves no processes of builds."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ..support.gone import gone
from ..support.processes import program
from ..support.standalone import post
from ..support.waiting import until

Make = Callable[..., Path]

# Runs until it is ended, with a child in another session that ignores SIGTERM.
POST_BUILD = """\
#!/bin/sh
trap '' TERM
setsid sh -c 'trap "" TERM; echo detached; sleep 600; :' &
echo running
wait
"""


@pytest.fixture
def repository(make_repository: Make) -> Path:
    return make_repository(files={"requirements.txt": "", "postBuild": POST_BUILD})


def _sleeps(process: psutil.Process) -> bool:
    try:
        return bool(process.cmdline()[:1] == ["sleep"])
    except psutil.NoSuchProcess:
        return False


@pytest.mark.fault(
    part="The server",
    fault="is killed during a build",
    promise="all processes of the build end, detached ones, too",
)
def test_kill_9_of_the_server_ends_its_builds(
    repository: Path, env: dict[str, str], tmp_path: Path
) -> None:
    arguments = ["--port", "0", "--hub", "http://127.0.0.1:1/"]
    folders = f"--LocalBuilder.local_folders={tmp_path}"
    log = tmp_path / "log"
    with program("binderprogress", "serve", *arguments, folders, env=env, log=log) as server:
        url = server.line().split()[-1]
        post(f"{url}api/launches", {"spec": repository.as_uri()})
        until(lambda: any(map(_sleeps, server.family())), log.read_text)
        family = server.family()
        # The server, a supervisor, the program of the build, postBuild, and what that started.
        assert len(family) >= 6
        server.signal(signal.SIGKILL)
        server.wait(10)
        assert gone(family)
        assert server.family() == []
