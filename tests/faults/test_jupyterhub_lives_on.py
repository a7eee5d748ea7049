"""A server that is killed leaves its JupyterHub, and the next one goes on with it."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest

from binderprogress.deploy.embedded_jupyterhub import HUB_PROGRAM

from ..support.gone import gone, within
from ..support.processes import Program, program
from ..support.standalone import post
from ..support.waiting import until

pytestmark = pytest.mark.hub


def healthy(url: str) -> bool:
    try:
        with urlopen(f"{url}health", timeout=60) as response:
            return bool(json.load(response)["ok"])
    except HTTPError:
        return False


def ready(url: str, repository: Path) -> dict[str, Any]:
    """Launch a repository, and return its last event."""
    links = post(f"{url}api/launches", {"spec": repository.as_uri()})
    with urlopen(links["events_url"], timeout=120) as response:
        lines = [line for line in response if line.startswith(b"data:")]
    last: dict[str, Any] = json.loads(lines[-1][5:])
    assert last["phase"] == "ready", last
    return last


def answers(server: dict[str, Any]) -> bool:
    with urlopen(f"{server['url']}api/status?token={server['token']}", timeout=60) as response:
        return bool(response.status == 200)


def hub_of(folder: Path) -> psutil.Process:
    (hub,) = [one for one in within(folder) if HUB_PROGRAM in one.cmdline()]
    return hub


@pytest.fixture
def arguments(env: dict[str, str], tmp_path: Path) -> list[str]:
    return [
        *("binderprogress", "serve", "--port", "0"),
        f"--LocalBuilder.local_folders={tmp_path}",
        f"--Standalone.hub_folder={tmp_path / 'hub'}",
    ]


def url_of(server: Program) -> str:
    return server.line().split()[-1]


@pytest.mark.long
@pytest.mark.fault(
    part="The server",
    fault="is killed; it has started a JupyterHub",
    promise="that JupyterHub and its Jupyter servers go on, and the next server uses them",
)
def test_servers_of_a_server_that_was_killed_go_on(
    arguments: list[str],
    env: dict[str, str],
    make_repository: Callable[..., Path],
    tmp_path: Path,
) -> None:
    log, folder = tmp_path / "log", tmp_path / "hub"
    repository = make_repository(files={"requirements.txt": ""})
    with program(*arguments, env=env, log=log) as first:
        notebook = ready(url_of(first), repository)
        hub = hub_of(folder)
        first.signal(signal.SIGKILL)
        first.wait(10)
        assert answers(notebook)
        with program(*arguments, env=env, log=log) as second:
            url = url_of(second)
            until(lambda: healthy(url), log.read_text)
            assert hub_of(folder) == hub, log.read_text()
            assert answers(notebook)
            # It is used, too.
            assert answers(ready(url, repository))
            # Two at once do not share it.
            with program(*arguments, env=env, log=log) as third:
                other = url_of(third)
                until(lambda: healthy(other), log.read_text)
                assert "another server uses it" in log.read_text()
                third.signal(signal.SIGINT)
                assert third.wait(30) == 0
                assert not third.family()
            assert answers(notebook)
            family = within(folder)
            second.signal(signal.SIGINT)
            assert second.wait(30) == 0
            assert gone(family)
        assert within(folder) == []
    assert [path.name for path in folder.iterdir()] == []
    assert "Traceback" not in log.read_text()


@pytest.mark.fault(
    part="The server",
    fault="is killed; its JupyterHub is in a temporary folder",
    promise="the next server ends that JupyterHub",
)
def test_one_in_a_temporary_folder_is_ended_by_the_next_server(
    arguments: list[str], env: dict[str, str], tmp_path: Path
) -> None:
    """Such as that of a demo. Nobody could find it again."""
    log, temporary = tmp_path / "log", tmp_path / "temporary"
    temporary.mkdir()
    env = {**env, "TMPDIR": str(temporary)}
    config = tmp_path / "config.py"
    config.write_text("c.Standalone.hub_folder = ''\n")
    with program(*arguments[:-1], "-f", str(config), env=env, log=log) as first:
        url = url_of(first)
        until(lambda: healthy(url), log.read_text)
        family = first.family()
        first.signal(signal.SIGKILL)
        first.wait(10)
        left = [process for process in family if process.pid != first.process.pid]
        assert len(left) >= 2, "JupyterHub and its proxy"
        assert not gone(left, timeout=0)
        nowhere = ["--hub=http://127.0.0.1:1/", "--HubLauncher.api_token=x"]
        with program(*arguments, *nowhere, env=env, log=log) as second:
            url_of(second)
            assert gone(left)
            until(lambda: not list(temporary.glob("binderprogress-hub-*")), log.read_text)
    until(lambda: list(temporary.glob("binderprogress-*")) == [], log.read_text)
    assert "Traceback" not in log.read_text()
