"""The whole thing with repo2docker and podman: from a repository to a running container."""

from __future__ import annotations

import json
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from websockets.sync.client import connect

from binderprogress.core.specs import from_address

from ..support.gone import gone
from ..support.processes import Program, program
from ..support.standalone import post
from .podman_support import Podman, Repository

pytestmark = [pytest.mark.podman, pytest.mark.hub]

CONFIG = """\
c.Repo2dockerBuilder.local_folders = {folders!r}
# Containers have no network of their own where this is tested.
c.Standalone.hub_config = {{"ContainerSpawner": {{"host_network": True}}}}
"""


@pytest.fixture
def before(podman: Podman) -> list[psutil.Process]:
    """What other tests have running: their podman's service."""
    return podman.processes()


@pytest.fixture
def serve(
    podman: Podman, repository: Repository, failing_repository: Repository, tmp_path: Path
) -> Iterator[tuple[Program, str]]:
    """The real server with --engine podman, and its address."""
    folders = [str(repository._folder), str(failing_repository._folder)]
    config = tmp_path / "config.py"
    config.write_text(CONFIG.format(folders=folders))
    arguments = ["serve", "--port", "0", "--engine", "podman", "--end-launches", "-f", str(config)]
    with program("binderprogress", *arguments, env=podman.env, log=tmp_path / "log") as running:
        url = running.line().rpartition(" ")[2].strip()
        assert url.startswith("http://127.0.0.1:"), (tmp_path / "log").read_text()
        yield running, url


def launch(url: str, repository: Repository, see: Callable[[Any], None] = id) -> list[Any]:
    """Launch a repository and return its events."""
    links = post(f"{url}api/launches", {"spec": str(from_address(repository.url))})
    events = []
    with connect(links["socket_url"]) as socket:
        for message in socket:
            events.append(json.loads(message))
            see(events[-1])
    return events


def test_from_a_repository_to_a_container(
    podman: Podman,
    before: list[psutil.Process],
    repository: Repository,
    serve: tuple[Program, str],
) -> None:
    running, url = serve
    events = launch(url, repository)
    ready = events[-1]
    assert ready["phase"] == "ready", ready
    assert ready["image"].endswith(f":{repository.commit}")
    assert podman.exists("image", ready["image"])
    phases = list(dict.fromkeys(event["phase"] for event in events))
    assert phases == ["waiting", "fetching", "building", "built", "launching", "ready"]
    steps = [event["step_index"] for event in events if event.get("step_total")]
    assert steps == sorted(steps)
    assert steps[0] == 1
    progress = [event["progress"] for event in events]
    assert progress == sorted(progress)
    status = f"{ready['url']}api/status"
    assert requests.get(status, params={"token": ready["token"]}, timeout=30).status_code == 200
    assert requests.get(status, timeout=30).status_code == 403

    # Attack: whoever talks to podman starts containers that see any folder of the machine.
    words = [word for process in running.family() for word in process.cmdline()]
    (socket,) = (Path(w.removeprefix("unix://")) for w in words if w.startswith("unix://"))
    assert stat.S_ISSOCK(socket.stat().st_mode)
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700

    # Again: the image is there, the build's share of the bar is skipped.
    again = launch(url, repository)
    assert again[-1]["phase"] == "ready", again[-1]
    assert not [event for event in again if event.get("step_total")]

    # SIGTERM: the containers end too, within 5 seconds.
    containers = podman.run("ps", "--quiet").split()
    assert len(containers) == 2
    others = {process.pid for process in before}
    family = [*running.family(), *(p for p in podman.processes() if p.pid not in others)]
    running.signal(signal.SIGTERM)
    assert running.wait(5) == 0
    assert gone(family, timeout=30)
    assert not podman.run("ps", "--quiet").split()


@pytest.mark.long
def test_a_failing_step_is_told(failing_repository: Repository, serve: tuple[Program, str]) -> None:
    _, url = serve
    failed = launch(url, failing_repository)[-1]
    assert failed["phase"] == "failed"
    assert failed["reason"] == "build-step-failed", failed
    assert failed["advice"]
    assert any("no_such_module" in line for line in failed["evidence"])
