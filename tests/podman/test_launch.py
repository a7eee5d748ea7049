"""The whole thing with repo2docker and podman: from a repository to a running container."""

from __future__ import annotations

import json
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from websockets.sync.client import connect

from binderprogress.core.specs import from_address

from ..support.gone import gone
from ..support.processes import Program, program
from ..support.repositories import commit
from ..support.standalone import post
from ..support.standing_checks import answers, check_standing, standing, took
from ..support.waiting import until
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


@contextmanager
def serving(
    podman: Podman, folder: Path, *folders: Path, more: str = ""
) -> Iterator[tuple[Program, str]]:
    """Run the real server with --engine podman, which may launch what is in `folders`."""
    config, log = folder / "config.py", folder / "log"
    config.write_text(CONFIG.format(folders=[str(each) for each in folders]) + more)
    arguments = ["serve", "--port", "0", "--engine", "podman", "--end-launches", "-f", str(config)]
    with program("binderprogress", *arguments, env=podman.env, log=log) as running:
        url = running.line().rpartition(" ")[2].strip()
        assert url.startswith("http://127.0.0.1:"), log.read_text()
        yield running, url


@pytest.fixture
def serve(
    podman: Podman, repository: Repository, failing_repository: Repository, tmp_path: Path
) -> Iterator[tuple[Program, str]]:
    """The real server, and its address."""
    with serving(podman, tmp_path, repository._folder, failing_repository._folder) as running:
        yield running


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
    podman: Podman, before: list[psutil.Process], repository: Repository, tmp_path: Path
) -> None:
    more = f"c.Standby.repositories = {{{str(from_address(repository.url))!r}: 1}}\n"
    with serving(podman, tmp_path, repository._folder, more=more) as (running, url):
        check_launches(podman, before, repository, running, url)


def check_launches(
    podman: Podman,
    before: list[psutil.Process],
    repository: Repository,
    running: Program,
    url: str,
) -> None:
    """Launch what has to be built, and then what stands ready; and end the server."""
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

    # Again: a container stands ready, and the build's share of the bar is skipped.
    until(lambda: standing(url) == 1, lambda: "no container stands ready")
    again = launch(url, repository)
    assert again[-1]["phase"] == "ready", again[-1]
    assert took(again)
    assert answers(again[-1])
    assert not [event for event in again if event.get("step_total")]
    until(lambda: standing(url) == 1, lambda: "it is not replaced")

    # SIGTERM: the containers end too, within 5 seconds.
    containers = podman.run("ps", "--quiet").split()
    assert len(containers) == 3
    others = {process.pid for process in before}
    family = [*running.family(), *(p for p in podman.processes() if p.pid not in others)]
    running.signal(signal.SIGTERM)
    assert running.wait(5) == 0
    assert gone(family, timeout=30)
    assert not podman.run("ps", "--quiet").split()


@pytest.mark.long
def test_containers_stand_ready(
    podman: Podman, before: list[psutil.Process], tmp_path: Path
) -> None:
    source = tmp_path / "standing"
    spec = str(from_address(Repository(source).url))
    more = f"c.Standby.repositories = {{{spec!r}: 2}}\nc.Standby.resolve_every = 5.0\n"
    with serving(podman, tmp_path, source, more=more) as (running, url):
        check_standing(
            url,
            spec,
            count=2,
            commit=lambda: commit(source, {"README.md": "# Another one\n"}),
            said=(tmp_path / "log").read_text,
        )
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
