"""Servers that stand ready in a real JupyterHub: they are killed or culled, and so is ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from ..support.gone import gone, within
from ..support.processes import program
from ..support.repositories import repository as make
from ..support.standalone import Running, running
from ..support.standing_checks import answers, launched, numbers, standing, took
from ..support.waiting import until
from .test_jupyterhub_lives_on import url_of

pytestmark = pytest.mark.hub


def notebooks(folder: Path) -> set[psutil.Process]:
    """Return the Jupyter servers of a JupyterHub."""
    return {one for one in within(folder) if "jupyter-lab" in " ".join(one.cmdline())}


@pytest.mark.long
@pytest.mark.fault(
    part="The server",
    fault="is killed, after one of the servers that it keeps ready",
    promise="no launch gets the dead one; the next server goes on with the others",
)
def test_servers_stand_ready_over_a_kill(
    env: dict[str, str], make_repository: Callable[..., Path], tmp_path: Path
) -> None:
    log, folder = tmp_path / "log", tmp_path / "hub"
    repository = make_repository(files={"requirements.txt": ""})
    config = tmp_path / "config.json"
    settings = {
        "Standalone": {"port": 0, "hub_folder": str(folder)},
        "LocalBuilder": {"local_folders": [str(tmp_path)]},
        "Standby": {"repositories": {repository.as_uri(): 2}, "check_every": 3600},
    }
    config.write_text(json.dumps(settings))
    arguments = ["binderprogress", "serve", "-f", str(config)]
    with program(*arguments, env=env, log=log) as first:
        url = url_of(first)
        until(lambda: standing(url) == 2, log.read_text)
        before = notebooks(folder)
        events = launched(url, repository.as_uri())
        assert took(events), events
        assert [event["phase"] for event in events] == ["waiting", "built", "ready"]
        assert answers(events[-1])
        until(lambda: standing(url) == 2, log.read_text)
        (replacement,) = notebooks(folder) - before
        replacement.kill()
        assert gone([replacement])
        # One of them is dead, and no launch gets it.
        ends = [launched(url, repository.as_uri())[-1] for _ in range(2)]
        assert all(answers(end) for end in ends)
        assert len({end["url"] for end in [events[-1], *ends]}) == 3
        until(lambda: standing(url) == 2, log.read_text)
        left = notebooks(folder)
        first.signal(signal.SIGKILL)
        first.wait(10)
        with program(*arguments, env=env, log=log) as second:
            url = url_of(second)
            until(lambda: standing(url) == 2, log.read_text)
            assert notebooks(folder) == left, "none was started for that"
            events = launched(url, repository.as_uri())
            assert took(events), events
            assert answers(events[-1])
            assert events[-1]["url"] not in {end["url"] for end in ends}
            family = within(folder)
            second.signal(signal.SIGINT)
            assert second.wait(30) == 0
            assert gone(family)
    text = log.read_text()
    assert "Traceback" not in text
    assert "may be left running" not in text


@pytest.mark.long
@pytest.mark.fault(
    part="JupyterHub",
    fault="culls the servers that stand ready",
    promise="no launch gets one of them, and others replace them",
)
def test_culled_servers_are_replaced_and_never_handed_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    repository = make(tmp_path / "penguins", {"requirements.txt": ""}).as_uri()
    settings: dict[str, Any] = {
        # The culler is the operator's, as at a JupyterHub that is not our own.
        "Standalone": {"cull_after": 0},
        # Only launches find out.
        "Standby": {"repositories": {repository: 2}, "check_every": 3600.0},
    }
    with running(tmp_path, **settings) as server:
        until(lambda: standing(server.url) == 2, lambda: caplog.text)
        culled = users(server)
        assert len(culled) == 2
        log = tmp_path / "culler.log"
        with culler(server, log, after=1):
            until(lambda: not users(server) & culled, log.read_text)
        assert standing(server.url) == 2, "nobody has asked them"
        ends = [launched(server.url, repository)[-1] for _ in range(2)]
        assert all(map(answers, ends))
        until(lambda: numbers(server.url)["ready"] == 2, lambda: caplog.text)
        counted = numbers(server.url)
        assert (counted["dead"], counted["failed"]) == (2, 0), counted
        assert not users(server) & culled
        events = launched(server.url, repository)
        assert took(events), events
        assert answers(events[-1])
    assert "c.Standby.max_age has to be less" in caplog.text


def users(server: Running) -> set[str]:
    """Return the users of its JupyterHub."""
    return {user["name"] for user in server.hub("users")}


@contextmanager
def culler(server: Running, log: Path, *, after: int) -> Iterator[None]:
    """Run jupyterhub-idle-culler, which stops servers after so many seconds without activity."""
    launcher = server.standalone.launcher
    assert launcher is not None
    command = [sys.executable, "-m", "jupyterhub_idle_culler", f"--url={launcher.api_url[:-1]}"]
    options = [f"--timeout={after}", "--cull-every=1", "--cull-users=True"]
    env = {**os.environ, "JUPYTERHUB_API_TOKEN": launcher.api_token}
    with (
        log.open("wb") as output,
        subprocess.Popen([*command, *options], env=env, stdout=output, stderr=output) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
