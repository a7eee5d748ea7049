"""Servers that stand ready in a real JupyterHub: one is killed, and then the server itself."""

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

from ..support.gone import gone, within
from ..support.processes import program
from ..support.standalone import post
from .test_jupyterhub_lives_on import answers, until, url_of

pytestmark = pytest.mark.hub

TOOK = "Took a server that stood ready.\n"


def standing(url: str) -> int:
    try:
        with urlopen(f"{url}health", timeout=60) as response:
            health = json.load(response)
    except HTTPError as error:
        # JupyterHub does not answer yet.
        health = json.load(error)
    return int(health["checks"][0]["standby"])


def launched(url: str, repository: Path) -> list[dict[str, Any]]:
    """Launch a repository, and return its events."""
    links = post(f"{url}api/launches", {"spec": repository.as_uri()})
    with urlopen(links["events_url"], timeout=120) as response:
        events = [json.loads(line[5:]) for line in response if line.startswith(b"data:")]
    assert events[-1]["phase"] == "ready", events
    return events


def took(events: list[dict[str, Any]]) -> bool:
    return any(event.get("message") == TOOK for event in events)


def notebooks(folder: Path) -> set[psutil.Process]:
    """Return the Jupyter servers of a JupyterHub."""
    return {one for one in within(folder) if "jupyter-lab" in " ".join(one.cmdline())}


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
        until(lambda: standing(url) == 2, log)
        before = notebooks(folder)
        events = launched(url, repository)
        assert took(events), events
        assert [event["phase"] for event in events] == ["waiting", "built", "ready"]
        assert answers(events[-1])
        until(lambda: standing(url) == 2, log)
        (replacement,) = notebooks(folder) - before
        replacement.kill()
        assert gone([replacement])
        # One of them is dead, and no launch gets it.
        ends = [launched(url, repository)[-1] for _ in range(2)]
        assert all(answers(end) for end in ends)
        assert len({end["url"] for end in [events[-1], *ends]}) == 3
        until(lambda: standing(url) == 2, log)
        left = notebooks(folder)
        first.signal(signal.SIGKILL)
        first.wait(10)
        with program(*arguments, env=env, log=log) as second:
            url = url_of(second)
            until(lambda: standing(url) == 2, log)
            assert notebooks(folder) == left, "none was started for that"
            events = launched(url, repository)
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
