"""Our own JupyterHub: it starts, answers, and leaves no processes or files."""

from __future__ import annotations

import asyncio
import signal
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from binderprogress.deploy.embedded_jupyterhub import EmbeddedJupyterHub, free_ports
from binderprogress.errors import ConfigError

from ..support.asynchronous import asynchronous
from ..support.gone import gone, within
from ..support.hubservice import SERVER

pytestmark = pytest.mark.hub


def make(folder: Path, config: Mapping[str, Mapping[str, Any]] | None = None) -> EmbeddedJupyterHub:
    program = folder / "server.py"
    program.write_text(SERVER)
    simple: dict[str, dict[str, Any]] = {
        "JupyterHub": {"spawner_class": "simple"},
        "SimpleLocalProcessSpawner": {
            "home_dir_template": str(folder / "homes" / "{username}"),
            "cmd": [sys.executable, str(program)],
        },
    }
    return EmbeddedJupyterHub(folder, config=config or simple, env={})


async def ask(hub: EmbeddedJupyterHub, method: str, path: str, *, token: str | None = None) -> int:
    headers = {"Authorization": f"token {hub.api_token if token is None else token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, f"{hub.url}hub/{path}", allow_redirects=False) as response,
    ):
        return response.status


async def start_server(hub: EmbeddedJupyterHub, folder: Path) -> psutil.Process:
    assert await ask(hub, "POST", "api/users/ada") == 201
    assert await ask(hub, "POST", "api/users/ada/server") in {201, 202}
    program = str(folder / "server.py")
    processes = await appeared(folder, lambda started: program in " ".join(started[-1].cmdline()))
    return processes[-1]


def _by_age(folder: Path) -> list[psutil.Process]:
    return sorted(within(folder), key=psutil.Process.create_time)


async def appeared(
    folder: Path, wanted: Callable[[list[psutil.Process]], bool]
) -> list[psutil.Process]:
    """Wait for processes in a folder. Return them in the order in which they started."""
    async with asyncio.timeout(30):
        while not wanted(processes := _by_age(folder)):  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.02)
    return processes


@asynchronous(60)
async def test_it_starts_answers_and_leaves_nothing(tmp_path: Path) -> None:
    hub = make(tmp_path)
    await hub.start()
    try:
        await hub.available()
        await hub.available()  # can be called again
        assert await ask(hub, "GET", "api/users") == 200
        server = await start_server(hub, tmp_path)
        family = within(tmp_path)
        assert any("configurable-http-proxy" in " ".join(p.cmdline()) for p in family)
        assert server in family
        assert len(family) >= 3
        # Other users of this machine must not get its tokens.
        assert await ask(hub, "GET", "api/users", token="wrong") == 403
        assert await ask(hub, "GET", "login", token="") == 403
        config = tmp_path / "jupyterhub_config.json"
        assert stat.S_IMODE(config.stat().st_mode) == 0o600
        assert not any(hub.api_token in word for p in family for word in p.cmdline())
    finally:
        await hub.stop()
    assert gone(family, timeout=30)
    assert not within(tmp_path)
    await hub.stop()  # can be called again


@asynchronous(60)
async def test_it_starts_within_a_service_of_another_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "of-another-hub")
    monkeypatch.setenv("JUPYTERHUB_SERVICE_URL", "http://127.0.0.1:1/")
    hub = make(tmp_path)
    await hub.start()
    try:
        await hub.available()
        for process in within(tmp_path):
            assert "of-another-hub" not in process.environ().values()
    finally:
        await hub.stop()


@asynchronous(60)
async def test_a_hub_that_was_killed_leaves_nothing(tmp_path: Path) -> None:
    """The kernel may kill it if memory is short. Its proxy and servers keep running."""
    hub = make(tmp_path)
    await hub.start()
    try:
        await hub.available()
        await start_server(hub, tmp_path)
        family = within(tmp_path)
        assert hub._process is not None
        hub._process.send_signal(signal.SIGKILL)
        await hub._process.wait()
        assert len(within(tmp_path)) >= 2, "proxy and server go on"
    finally:
        await hub.stop()
    assert gone(family, timeout=30)
    assert not within(tmp_path)


@pytest.mark.parametrize("when", ["at once", "with its proxy"])
@asynchronous(60)
async def test_stopped_while_it_starts(when: str, tmp_path: Path) -> None:
    hub = make(tmp_path)
    await hub.start()
    waiting = asyncio.create_task(hub.available())
    least = 1 if when == "at once" else 2
    family = await appeared(tmp_path, lambda processes: len(processes) >= least)
    await hub.stop()
    assert gone(family, timeout=30)
    assert not within(tmp_path)
    with pytest.raises(asyncio.CancelledError):
        await waiting


@asynchronous(60)
async def test_a_config_that_cannot_work(tmp_path: Path) -> None:
    hub = make(tmp_path, {"JupyterHub": {"spawner_class": "no.such.Spawner"}})
    await hub.start()
    with pytest.raises(ConfigError) as caught:
        await hub.available()
    first, *log = str(caught.value).splitlines()
    assert first == "JupyterHub exited at once."
    assert "no.such.Spawner" in "\n".join(log)
    assert len(log) <= 8
    await hub.stop()
    assert not within(tmp_path)


@asynchronous(10)
async def test_the_proxy_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    hub = EmbeddedJupyterHub(tmp_path, config={}, env={"PATH": str(tmp_path)})
    with pytest.raises(ConfigError, match="npm install -g configurable-http-proxy"):
        await hub.start()
    with pytest.raises(ConfigError, match="not started"):
        await hub.available()
    await hub.stop()


def test_free_ports_differ() -> None:
    assert len(set(free_ports(50))) == 50
