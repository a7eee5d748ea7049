"""Ctrl-C and SIGTERM: soon nothing is left running, whatever was going on."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from binderprogress.core.specs import from_address
from binderprogress.deploy.embedded_jupyterhub import HUB_PROGRAM

from ..support.gone import gone
from ..support.long import usually
from ..support.processes import Program, program
from ..support.standalone import post

pytestmark = pytest.mark.hub

WITHIN = 60.0
"""Seconds; on a machine with nothing else to do it takes one or two."""

BLOCKING = {"postBuild": "#!/bin/sh\necho blocking\nsleep 600\n"}


def stop(running: Program, number: signal.Signals) -> int:
    """Send a signal and check that everything is gone in time; return the exit code."""
    family = running.family()
    assert len(family) > 3, "there is something to stop"
    running.signal(number)
    code = running.wait(WITHIN)
    _, alive = psutil.wait_procs(family, timeout=0)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]
    assert not running.family()
    return code


def until_phase(links: dict[str, Any], wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Follow a launch until an event that is wanted."""
    from websockets.sync.client import connect

    with connect(links["socket_url"]) as socket:
        for message in socket:
            if wanted(json.loads(message)):
                return
    raise AssertionError("the stream ended before")


SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.long
@pytest.mark.parametrize("number", usually(SIGNALS, signal.SIGINT))
def test_the_demo_with_a_server_and_a_build_running(
    number: signal.Signals,
    env: dict[str, str],
    cache: Path,
    tmp_path: Path,
    make_repository: Callable[..., Path],
) -> None:
    folder = cache / "binderprogress" / "examples"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"blocking-{number.name}"
    blocking = make_repository(files=BLOCKING).rename(folder / name)
    with program(
        "binderprogress", "demo", "--port", "0", "--json", env=env, log=tmp_path / "log"
    ) as running:
        ready = json.loads(running.line())
        launches = f"{ready['url']}api/launches"
        server = post(launches, {"spec": ready["examples"][0]["spec"]})
        until_phase(server, lambda event: event["phase"] == "ready")
        build = post(launches, {"spec": str(from_address(blocking.as_uri()))})
        until_phase(build, lambda event: event.get("message") == "blocking\n")
        assert stop(running, number) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("number", usually(SIGNALS, signal.SIGTERM))
def test_the_server_as_soon_as_it_listens(
    number: signal.Signals, env: dict[str, str], tmp_path: Path
) -> None:
    arguments = ["binderprogress", "serve", "--port", "0", "--end-launches"]
    with program(*arguments, env=env, log=tmp_path / "log", plain=True) as running:
        assert "listens on http://127.0.0.1:" in running.line()
        running.signal(number)
        assert running.wait(WITHIN) == 0
        assert not running.family()
    assert "Traceback" not in (tmp_path / "log").read_text()


def until_health(url: str, wanted: Callable[[dict[str, Any]], bool], log: Path) -> None:
    """Wait until `/health` says something; its status is 503 until all parts work."""
    until = time.monotonic() + 60
    while not wanted(requests.get(f"{url}health", timeout=20).json()):
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.1)


@pytest.mark.long
def test_the_server_starts_its_jupyterhub_again_when_it_dies(
    env: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    arguments = ["serve", "--port", "0", "--end-launches"]
    with program("binderprogress", *arguments, env=env, log=log) as running:
        url = running.line().rpartition(" ")[2].strip()
        until_health(url, lambda health: bool(health["ok"]), log)
        (hub,) = [one for one in running.family() if HUB_PROGRAM in one.cmdline()]
        hub.kill()
        until_health(url, lambda health: "was killed by signal 9" in str(health), log)
        until_health(url, lambda health: bool(health["ok"]), log)
        family = running.family()
        running.signal(signal.SIGTERM)
        assert running.wait(WITHIN) == 0
        assert gone(family, timeout=30)
        assert not running.family()
    assert "Traceback" not in log.read_text()


@pytest.mark.long
def test_the_server_ends_when_its_jupyterhub_cannot_start(
    env: dict[str, str], tmp_path: Path
) -> None:
    """Nothing can be launched, and whoever supervises the server can start it again."""
    log = tmp_path / "log"
    broken = "--Standalone.hub_config={'JupyterHub': {'spawner_class': 'no.such.Spawner'}}"
    with program("binderprogress", "serve", "--port", "0", broken, env=env, log=log) as running:
        running.line()
        family = running.family()
        assert running.wait(WITHIN) == 1
        assert gone(family, timeout=30)
        assert not running.family()
    text = log.read_text()
    assert "JupyterHub exited at once" in text
    assert "no.such.Spawner" in text
    assert "Traceback" not in text.partition("JupyterHub exited at once")[0]


def test_an_interrupted_launch(
    env: dict[str, str], tmp_path: Path, make_repository: Callable[..., Path]
) -> None:
    folder = make_repository(files=BLOCKING)
    arguments = ["binderprogress", "launch", str(folder), "--json"]
    with program(*arguments, env=env, log=tmp_path / "log", plain=True) as running:
        while json.loads(running.line()).get("message") != "blocking\n":
            continue
        began = time.monotonic()
        assert stop(running, signal.SIGINT) == 130
        assert time.monotonic() - began < WITHIN
    assert "Traceback" not in (tmp_path / "log").read_text()
