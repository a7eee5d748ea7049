"""Our own JupyterHub: it starts, answers, and leaves no processes or files."""

from __future__ import annotations

import asyncio
import socket
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from binderprogress.deploy.embedded_jupyterhub import EmbeddedJupyterHub, free_ports
from binderprogress.deploy.host_processes import HostProcess, ProcessId
from binderprogress.deploy.hub_config import CULLER, HubRecord, read_record
from binderprogress.errors import ConfigError

from ..support.asynchronous import asynchronous
from ..support.forked import start_plainly
from ..support.gone import gone, within
from ..support.hubservice import SERVER
from ..support.long import usually

pytestmark = pytest.mark.hub


def make(
    folder: Path,
    config: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    more: Mapping[str, Mapping[str, Any]] | None = None,
    cull_after: int = 0,
) -> EmbeddedJupyterHub:
    program = folder / "server.py"
    program.write_text(SERVER)
    simple: dict[str, dict[str, Any]] = {
        "JupyterHub": {"spawner_class": "simple"},
        "SimpleLocalProcessSpawner": {
            "home_dir_template": str(folder / "homes" / "{username}"),
            "cmd": [sys.executable, str(program)],
        },
    }
    for section, settings in (more or {}).items():
        simple[section].update(settings)
    return EmbeddedJupyterHub(folder, config=config or simple, env={}, cull_after=cull_after)


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
            await asyncio.sleep(0.1)
    return processes


@asynchronous(60)
async def test_it_starts_answers_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A forked one would not show its arguments.
    monkeypatch.setattr(HostProcess, "start", start_plainly)
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


@pytest.mark.long
@asynchronous(60)
async def test_it_starts_within_a_service_of_another_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # … nor its variables.
    monkeypatch.setattr(HostProcess, "start", start_plainly)
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


@pytest.mark.long
@asynchronous(60)
async def test_a_hub_that_was_killed_leaves_nothing(tmp_path: Path) -> None:
    """The kernel may kill it if memory is short. Its proxy and servers keep running."""
    hub = make(tmp_path)
    await hub.start()
    try:
        await hub.available()
        await start_server(hub, tmp_path)
        family = within(tmp_path)
        assert hub._hub is not None
        hub._hub.kill()
        await hub._hub.wait()
        assert len(within(tmp_path)) >= 2, "proxy and server go on"
    finally:
        await hub.stop()
    assert gone(family, timeout=30)
    assert not within(tmp_path)


async def server_answers(hub: EmbeddedJupyterHub, user: str = "ada") -> bool:
    """Whether the server of a user answers through the proxy."""
    async with aiohttp.ClientSession() as session, session.get(f"{hub.url}user/{user}/") as answer:
        return answer.status == 200


async def until_server_answers(hub: EmbeddedJupyterHub) -> None:
    async with asyncio.timeout(60):
        while not await server_answers(hub):  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.1)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.02)


@pytest.mark.fault(
    part="JupyterHub",
    fault="or its proxy is killed, and the server has started it",
    promise="it is started again, and Jupyter servers go on",
)
@pytest.mark.parametrize("which", usually(["_hub", "_proxy"], "_hub"))
@asynchronous(90)
async def test_what_dies_is_started_again_and_servers_stay(which: str, tmp_path: Path) -> None:
    hub = make(tmp_path)
    await hub.start()
    try:
        await hub.available()
        server = await start_server(hub, tmp_path)
        await until_server_answers(hub)
        killed = getattr(hub, which)
        killed.kill()
        await until(lambda: bool(hub.problem))
        assert "was killed by signal 9" in hub.problem
        assert "(attempt 1 of 5)" in hub.problem
        await hub.available()
        assert hub.problem == ""
        assert not hub.has_ended
        assert getattr(hub, which).id.pid != killed.id.pid
        assert server.is_running()
        assert await server_answers(hub)
        # The next run would find them.
        record = read_record(tmp_path)
        assert record is not None
        assert hub._hub is not None
        assert hub._proxy is not None
        assert (record.hub, record.proxy) == (hub._hub.id, hub._proxy.id)
        # The user and the server are still known.
        assert await ask(hub, "GET", "api/users/ada") == 200
        assert await ask(hub, "DELETE", "api/users/ada/server") in {202, 204}
        assert await asyncio.to_thread(gone, [server])
    finally:
        await hub.stop()
    assert not within(tmp_path)


@pytest.mark.long
@asynchronous(90)
async def test_idle_servers_and_their_users_are_removed(tmp_path: Path) -> None:
    hub = make(tmp_path, more={"JupyterHub": {"last_activity_interval": 1}}, cull_after=3)
    await hub.start()
    try:
        await hub.available()
        server = await start_server(hub, tmp_path)
        assert await ask(hub, "POST", "api/users/grace") == 201
        assert await asyncio.to_thread(gone, [server], 60)
        async with asyncio.timeout(60):
            for user in ("ada", "grace"):
                while await ask(hub, "GET", f"api/users/{user}") != 404:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.1)
        # A JupyterHub that is started again has one service for it, not two.
        assert hub._hub is not None
        hub._hub.kill()
        await until(lambda: bool(hub.problem))
        await hub.available()
        cullers = [one for one in within(tmp_path) if CULLER in one.cmdline()]
        assert len(cullers) == 1
    finally:
        await hub.stop()
    assert not within(tmp_path)


@pytest.mark.long
@pytest.mark.fault(
    part="JupyterHub",
    fault="of the server's own cannot be started again",
    promise="the server ends, and says why",
)
@asynchronous(90)
async def test_one_that_cannot_be_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("binderprogress.deploy.embedded_jupyterhub._RESTARTS", 2)
    hub = make(tmp_path)
    await hub.start()
    try:
        await hub.available()
        watching = asyncio.create_task(hub.watch())
        (tmp_path / "jupyterhub.sqlite").write_text("no database")
        assert hub._hub is not None
        hub._hub.kill()
        with pytest.raises(ConfigError) as caught:
            await watching
        first, *log = str(caught.value).splitlines()
        assert first == "JupyterHub was killed by signal 9. Nothing can be launched."
        assert "file is not a database" in "\n".join(log)
        assert hub.has_ended
        with pytest.raises(ConfigError, match="Nothing can be launched"):
            await hub.available()
    finally:
        await hub.stop()
    assert not within(tmp_path)


@asynchronous(90)
async def test_the_next_run_finds_it(tmp_path: Path) -> None:
    hub = make(tmp_path)
    assert not await hub.resume(), "there is none"
    await hub.start()
    try:
        await hub.available()
        server = await start_server(hub, tmp_path)
        await until_server_answers(hub)
    finally:
        await hub.stop(keep=True)
    assert stat.S_IMODE((tmp_path / "running.json").stat().st_mode) == 0o600
    again = make(tmp_path)
    try:
        assert await again.resume()
        assert (again.url, again.api_url, again.api_token) == (hub.url, hub.api_url, hub.api_token)
        await again.available()
        assert again._hub is not None
        assert hub._hub is not None
        assert again._hub.id == hub._hub.id
        assert server.is_running()
        assert await server_answers(again)
        # It is watched, although it is no child of this run.
        again._hub = HostProcess.find(again._hub.id)
        assert again._hub is not None
        again._hub.kill()
        await until(lambda: bool(again.problem))
        await again.available()
        assert await server_answers(again)
    finally:
        await again.stop()
    assert await asyncio.to_thread(gone, [server])
    assert not within(tmp_path)


@pytest.mark.parametrize(
    "why",
    usually(["it is dead", "its settings changed", "it does not answer"], "its settings changed"),
)
@asynchronous(90)
async def test_the_next_run_starts_jupyterhub_again_and_servers_stay(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("binderprogress.deploy.embedded_jupyterhub._RESUME_TIMEOUT", 0.5)
    hub = make(tmp_path)
    await hub.start()
    await hub.available()
    server = await start_server(hub, tmp_path)
    await until_server_answers(hub)
    await hub.stop(keep=True)
    assert hub._hub is not None
    if why == "it is dead":
        hub._hub.kill()
        await hub._hub.wait()
    elif why == "it does not answer":
        hub._hub.process.suspend()
    again = make(tmp_path)
    if why == "its settings changed":
        again._more_env = {"CHANGED": "yes"}
    try:
        assert await again.resume()
        await again.available()
        assert again._hub is not None
        assert again._hub.id != hub._hub.id
        assert hub._hub.has_ended
        assert server.is_running()
        assert await server_answers(again)
    finally:
        await again.stop()
    assert not within(tmp_path)


@pytest.mark.long
@asynchronous(90)
async def test_what_is_left_without_a_proxy_is_ended(tmp_path: Path) -> None:
    hub = make(tmp_path)
    await hub.start()
    await hub.available()
    server = await start_server(hub, tmp_path)
    await hub.stop(keep=True)
    assert hub._proxy is not None
    hub._proxy.kill()
    await hub._proxy.wait()
    again = make(tmp_path)
    assert not await again.resume()
    await again.clear()
    assert await asyncio.to_thread(gone, [server])
    assert not within(tmp_path)
    await again.stop()


@asynchronous(20)
async def test_a_record_of_another_process_is_not_believed(tmp_path: Path) -> None:
    """Attack, or a machine that was restarted: the pid belongs to someone else by now."""
    hub = make(tmp_path)
    record = HubRecord.new()
    own = psutil.Process()
    for created in (own.create_time() - 100, 0.0):
        record.hub = record.proxy = ProcessId(own.pid, created)
        record.write(tmp_path)
        assert not await hub.resume()
    for text in ("", "{}", "[]", '{"port": "x"}', "\0"):
        (tmp_path / "running.json").write_text(text)
        assert not await hub.resume()


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


@pytest.mark.parametrize("which", usually(["port", "hub_port", "proxy_port"], "port"))
@asynchronous(180)
async def test_other_ports_are_used_if_another_program_has_taken_one(
    which: str, tmp_path: Path
) -> None:
    hub = make(tmp_path)
    with socket.create_server(("127.0.0.1", getattr(hub._record, which))) as taken:
        await hub.start()
        await hub.available()
        assert await ask(hub, "GET", "api/users") == 200
        assert getattr(hub._record, which) != taken.getsockname()[1]
        await hub.stop()
    assert not within(tmp_path)


def test_free_ports_differ() -> None:
    assert len(set(free_ports(50))) == 50
