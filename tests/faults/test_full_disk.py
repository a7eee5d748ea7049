"""The disk of the temporary folder is full."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from ..support.gone import gone
from ..support.processes import BIN, Program, program
from ..support.small_disk import SmallDisk
from ..support.standalone import post
from ..support.waiting import until

Make = Callable[..., Path]

# Says that it runs, waits for a file, and prints more than a buffer of the log.
POST_BUILD = """\
#!/bin/sh
touch {folder}/running
while [ ! -e {folder}/go-on ]; do sleep 0.1; done
seq 1 50000
"""


@pytest.fixture
def disk(tmp_path: Path) -> SmallDisk:
    return SmallDisk(tmp_path / "small")


@contextmanager
def serve(disk: SmallDisk, env: dict[str, str], *arguments: str) -> Iterator[tuple[Program, str]]:
    """Run a server whose temporary folder is the disk, and yield its URL."""
    folder = disk.folder.parent
    environments = f"--LocalBuilder.environments={folder / 'environments'}"
    folders = f"--LocalBuilder.local_folders={folder}"
    serve = [str(BIN / "binderprogress"), "serve", "--port", "0"]
    env = {**env, "TMPDIR": str(disk.folder)}
    command = [*disk.command, *serve, environments, folders, *arguments]
    with program(*command, env=env, log=folder / "log") as server:
        yield server, server.line().split()[-1]


def wait_until_healthy(url: str) -> None:
    """Wait until JupyterHub has started."""
    deadline = time.monotonic() + 120
    while True:
        try:
            with urlopen(f"{url}health", timeout=60) as response:
                assert json.load(response)["ok"]
                return
        except HTTPError as error:
            assert time.monotonic() < deadline, error.read()
            time.sleep(0.1)


def events(url: str) -> Iterator[dict[str, Any]]:
    with urlopen(url, timeout=120) as response:
        for line in response:
            if line.startswith(b"data:"):
                yield json.loads(line[5:])


@pytest.fixture
def repository(make_repository: Make, tmp_path: Path) -> Path:
    script = POST_BUILD.format(folder=tmp_path)
    return make_repository(files={"requirements.txt": "", "postBuild": script})


@pytest.mark.long
@pytest.mark.fault(
    part="The disk",
    fault="is full when the server stops",
    promise="every step is taken, and no process is left",
)
@pytest.mark.hub
def test_sigterm_ends_everything(
    disk: SmallDisk, repository: Path, env: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with serve(disk, env, "--end-launches") as (server, url):
        wait_until_healthy(url)
        post(f"{url}api/launches", {"spec": repository.as_uri()})
        until((tmp_path / "running").exists, log.read_text)
        family = server.family()
        # The server, JupyterHub and its proxy, a supervisor, a build, its postBuild.
        assert len(family) >= 6
        disk.fill(server.process.pid)
        server.signal(signal.SIGTERM)
        assert server.wait(30) == 0
        assert gone(family)
        assert server.family() == []
    assert "Traceback" not in log.read_text()


@pytest.mark.fault(
    part="The disk",
    fault="is full, and has space again",
    promise="builds that run go on, others fail with `disk-full`, and it recovers by itself",
)
def test_builds_go_on_and_new_ones_say_why_they_cannot(
    disk: SmallDisk, repository: Path, make_repository: Make, env: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    other = make_repository("other", {"requirements.txt": ""})
    nowhere = ["--hub=http://127.0.0.1:1/", "--HubLauncher.api_token=x", "--HubLauncher.retries=1"]
    with serve(disk, env, *nowhere) as (server, url):
        running = post(f"{url}api/launches", {"spec": repository.as_uri()})
        until((tmp_path / "running").exists, log.read_text)
        disk.fill(server.process.pid)
        refused = post(f"{url}api/launches", {"spec": other.as_uri()})
        *_, last = events(refused["events_url"])
        assert (last["phase"], last["reason"]) == ("failed", "disk-full"), log.read_text()
        (tmp_path / "go-on").touch()
        phases = [event["phase"] for event in events(running["events_url"])]
        assert "built" in phases, log.read_text()
        # It recovers by itself.
        disk.free(server.process.pid)
        again = post(f"{url}api/launches", {"spec": other.as_uri()})
        assert "built" in [event["phase"] for event in events(again["events_url"])]
    assert "Traceback" not in log.read_text()
