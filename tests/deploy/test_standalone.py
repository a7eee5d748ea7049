from __future__ import annotations

import asyncio
import errno
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Application, Config

from binderprogress.backends.processes.ports import free_ports
from binderprogress.cli.serve import ServeApp
from binderprogress.deploy import application
from binderprogress.deploy.jupyter_server import ServerParts
from binderprogress.deploy.standalone import Standalone
from binderprogress.history.config import History
from binderprogress.history.database import Database
from binderprogress.history.store import NoHistory

from ..history.launches import past
from ..support.asynchronous import asynchronous
from ..support.long import usually

# Each way of running needs only its own extra. The blocked modules are not installed with it.
BLOCKED = """
import asyncio, sys
for name in {blocked!r}:
    sys.modules[name] = None
from traitlets.config import Config
from binderprogress.errors import ConfigError
from binderprogress.deploy.standalone import Standalone
config = Config()
config.Standalone.port = 0
config.Standalone.engine = {engine!r}
config.HubLauncher.url = {hub!r}
config.Upstreams.urls = {upstreams!r}

async def main():
    standalone = Standalone(config=config)
    try:
        await standalone.start()
    finally:
        await standalone.stop()

try:
    asyncio.run(main())
    print("it runs")
except ConfigError as error:
    print(error)
"""

HUB = "http://127.0.0.1:1/"

IN_FRONT = {
    "Upstreams": {"urls": [HUB]},
    "Standalone": {"port": 0},
    "History": {"url": ""},
}
"""The configuration of a server in front of a BinderHub that does not respond."""


WAYS = [
    # With an existing JupyterHub.
    (["jupyterhub", "psutil", "rich", "uv", "filelock"], "podman", HUB, "it runs"),
    (["jupyterhub", "psutil", "dockerspawner", "rich"], "local", HUB, "it runs"),
    (["uv", "filelock"], "local", HUB, "pip install 'binderprogress[local]'"),
    (["repo2docker"], "docker", HUB, "pip install 'binderprogress[repo2docker]'"),
    (["psutil"], "local", "", "pip install 'binderprogress[hub]'"),
    (["dockerspawner"], "podman", "", "pip install 'binderprogress[containers]'"),
]


@pytest.mark.parametrize(("blocked", "engine", "hub", "expected"), usually(WAYS, WAYS[1], WAYS[4]))
def test_each_way_of_running_needs_only_its_own_extra(
    blocked: list[str], engine: str, hub: str, expected: str
) -> None:
    code = BLOCKED.format(blocked=blocked, engine=engine, hub=hub, upstreams=[])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert expected in done.stdout, done.stderr
    assert "Traceback" not in done.stderr


def test_in_front_of_binderhubs_it_needs_no_extra() -> None:
    blocked = ["jupyterhub", "psutil", "repo2docker", "rich", "uv", "filelock", "dockerspawner"]
    blocked += ["sqlalchemy", "alembic"]
    code = BLOCKED.format(blocked=blocked, engine="local", hub="", upstreams=[HUB])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "it runs" in done.stdout, done.stderr


HISTORY = """
import asyncio, sys
from traitlets.config import Config
from binderprogress.core.specs import from_address
from binderprogress.errors import ConfigError
from binderprogress.deploy.standalone import Standalone
from binderprogress.launches import Caller
config = Config()
config.Standalone.port = 0
config.HubLauncher.url = "http://127.0.0.1:1/"
config.History.url = sys.argv[1]

async def main():
    standalone = Standalone(config=config)
    try:
        await standalone.start()
        await standalone.launches.start(from_address("file:///not/allowed"), Caller())
    finally:
        await standalone.stop()
    print(standalone.launches.outcomes.host)

try:
    asyncio.run(main())
except ConfigError as error:
    print(error)
"""


def with_history(url: str) -> str:
    command = [sys.executable, "-c", HISTORY, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    return done.stdout


def test_it_keeps_launches_from_run_to_run(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/history.sqlite"
    for _ in range(2):
        assert with_history(url) == "127.0.0.1:1\n"
    history = Database(url, log=logging.getLogger())
    assert [past.host for past in history.recent(10)] == ["127.0.0.1:1"] * 2
    history.close()


def test_a_history_that_cannot_be_opened_is_said_instead_of_a_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = with_history(f"sqlite:///{tmp_path}/file/history.sqlite")
    assert f"The folder {tmp_path}/file for the history cannot be created" in said


@pytest.mark.parametrize(("credentials", "named"), [(True, False), (False, True)])
def test_repositories_are_named_where_none_can_be_private(credentials: bool, named: bool) -> None:
    config = Config({"GitResolver": {"credentials": credentials}})
    assert Standalone(config=config).web.name_repositories is named
    config.Web.name_repositories = not named
    assert Standalone(config=config).web.name_repositories is not named


@pytest.mark.parametrize(
    ("ip", "engine", "configured", "expected"),
    [
        ("127.0.0.1", "local", {}, (True, True)),
        ("::1", "podman", {}, (True, False)),
        ("0.0.0.0", "podman", {}, (False, False)),
        ("127.0.0.1", "local", {"local_only": False, "confirm_foreign": False}, (False, False)),
        ("0.0.0.0", "podman", {"local_only": True, "confirm_foreign": True}, (True, True)),
    ],
)
def test_guards_are_up_where_they_are_needed_unless_configured(
    ip: str, engine: str, configured: dict[str, bool], expected: tuple[bool, bool]
) -> None:
    config = Config({"Standalone": {"ip": ip, "engine": engine}, "Web": configured})
    web = Standalone(config=config).web
    assert (web.local_only, web.confirm_foreign) == expected


@pytest.mark.parametrize(("ip", "only"), [("127.0.0.2", True), ("::", False), ("", False)])
def test_all_of_loopback_counts_as_local_and_nothing_else(ip: str, only: bool) -> None:
    assert Standalone(config=Config({"Standalone": {"ip": ip}})).web.local_only is only


def test_nobody_is_answered_before_the_history_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Launches that end before the history is open would not be recorded."""
    opening, go_on = threading.Event(), threading.Event()

    def open_later(history: History) -> NoHistory:
        opening.set()
        assert go_on.wait(30)
        return NoHistory()

    monkeypatch.setattr(History, "open", open_later)
    config = Config({"Standalone": {"port": 0}, "HubLauncher": {"url": HUB}})

    async def main() -> None:
        standalone = Standalone(config=config)
        starting = asyncio.create_task(standalone.start())
        try:
            await asyncio.to_thread(opening.wait, 30)
            reader, writer = await asyncio.open_connection("127.0.0.1", standalone.port)
            writer.write(b"GET /versions HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = asyncio.create_task(reader.readline())
            await asyncio.wait([answer], timeout=0.3)
            assert not answer.done()
            go_on.set()
            assert await answer == b"HTTP/1.1 200 OK\r\n"
            writer.close()
        finally:
            go_on.set()
            await starting
            await standalone.stop()

    asyncio.run(main())


def test_every_step_of_a_stop_is_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A full disk must not keep the server from closing its history, and JupyterHub from ending."""
    taken: list[str] = []
    config = Config({"Standalone": {"port": 0}, "HubLauncher": {"url": HUB}})
    standalone = Standalone(config=config)

    def failing(name: str) -> Callable[..., None]:
        def fail(**_: object) -> None:
            taken.append(name)
            raise OSError(errno.ENOSPC, "No space left on device")

        return fail

    parts = {
        "port": (standalone._server, "stop"),
        "logs": (standalone.launches._logs, "cleanup"),
        "channels": (standalone.launches._channels, "close"),
        "Hub": (standalone, "_stop_hub"),
        "traces": (standalone.tracing, "close"),
        "backend": (standalone.backend, "close"),
        "connections": (standalone._server, "close"),
    }
    for name, (part, method) in parts.items():
        monkeypatch.setattr(part, method, failing(name))
    closed: list[str] = []
    monkeypatch.setattr(standalone.launches.history, "close", lambda: closed.append("history"))
    asyncio.run(standalone.stop())
    assert taken == [
        "port",
        "logs",
        "channels",
        "backend",
        "Hub",
        "traces",
        "backend",
        "connections",
    ]
    assert closed == ["history"]
    assert caplog.text.count("No space left on device") == len(taken)


@asynchronous(30)
async def test_nothing_is_answered_before_modules_are_frozen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is frozen is kept for ever: not so the first launches."""
    app = ServeApp(config=Config(IN_FRONT))
    listens: list[bool] = []
    stop = application.StopEvent()
    servers: list[Standalone] = []

    def make(**options: Any) -> Standalone:
        servers.append(Standalone(**options))
        return servers[0]

    def freeze() -> None:
        listens.append(servers[0]._server._server is not None)
        stop.set()

    monkeypatch.setattr(app, "server_class", make)
    monkeypatch.setattr(application.gc, "freeze", freeze)
    monkeypatch.setattr(application, "stop_event", lambda: stop)
    assert await app.main() == 0
    assert listens == [False]


@asynchronous(30)
async def test_launches_that_end_before_the_history_is_open_are_kept(tmp_path: Path) -> None:
    config = Config({**IN_FRONT, "History": {"url": f"sqlite:///{tmp_path}/history.sqlite"}})
    parts = ServerParts(base_url="/", parent=Application(config=config), config=config)
    parts.launches.history.add(past())
    await parts.open_history()
    history = parts.launches.history
    assert isinstance(history, Database)
    history.flush()
    assert len(history.recent(10)) == 1
    await parts.stop()


@asynchronous(30)
async def test_launches_that_end_before_a_history_that_cannot_be_opened(tmp_path: Path) -> None:
    config = Config({**IN_FRONT, "History": {"url": f"sqlite:///{tmp_path}"}})
    parts = ServerParts(base_url="/", parent=Application(config=config), config=config)
    parts.launches.history.add(past())
    await parts.open_history()
    assert isinstance(parts.launches.history, NoHistory)
    await parts.stop()


@asynchronous(60)
async def test_connections_are_refused_until_launches_can_be_shown(tmp_path: Path) -> None:
    """A proxy that waited in the queue of the socket would not ask another replica."""
    tried: list[bool] = []

    class Server(Standalone):
        async def open_history(self) -> None:
            with socket.socket() as client:
                tried.append(client.connect_ex(("127.0.0.1", self.port)) == 0)
            await super().open_history()

    config = Config(
        Upstreams={"urls": ["http://127.0.0.1:9/"]},
        History={"url": f"sqlite:///{tmp_path}/history.sqlite"},
        Storage={"url": "memory"},
    )
    (port,) = free_ports(1)
    for chosen, is_accepted in ((port, False), (0, True)):
        server = Server(config=config, port=chosen)
        await server.start()
        try:
            with socket.create_connection(("127.0.0.1", server.port)):
                assert tried.pop() is is_accepted
        finally:
            await server.stop()
