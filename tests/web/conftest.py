"""The real handlers on a real port with the local builder, and one JupyterHub for all tests."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.ioloop import IOLoop
from tornado.web import Application
from traitlets.config import Config

from binderprogress.backends.base import PairedBackend
from binderprogress.backends.jupyterhub.launcher import HubLauncher
from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.specs import Spec
from binderprogress.deploy.embedded_jupyterhub import EmbeddedJupyterHub
from binderprogress.launches import LaunchManager
from binderprogress.web.app import make_app
from binderprogress.web.config import Web

from ..launches.parts import NOTHING, io_loop, local
from ..support.repositories import repository
from .clients import Api

__all__ = ["io_loop"]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the repository `small` and the environments of all tests."""
    folder = tmp_path_factory.mktemp("shared")
    repository(folder / "small", NOTHING)
    return folder


@pytest.fixture(scope="session")
def hub(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedJupyterHub]:
    """A JupyterHub that starts servers from environments in the shared folder."""
    folder = tmp_path_factory.mktemp("hub")
    hub = EmbeddedJupyterHub(
        folder,
        config={
            "JupyterHub": {
                "spawner_class": "binderprogress.deploy.spawners.environment.EnvironmentSpawner"
            },
            "EnvironmentSpawner": {
                "environments": str(shared / "environments"),
                "homes": str(folder / "homes"),
            },
        },
        env={},
    )
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> None:
        await hub.start()
        await hub.available()

    asyncio.run_coroutine_threadsafe(start(), loop).result(60)
    yield hub
    asyncio.run_coroutine_threadsafe(hub.stop(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.fixture
def settings() -> Config:
    """The configuration. Tests may override it."""
    return Config()


@pytest.fixture
def builder(shared: Path, tmp_path: Path, settings: Config) -> LocalBuilder:
    return LocalBuilder(
        environments=str(shared / "environments"),
        local_folders=[str(shared), str(tmp_path)],
        base_packages=[],
        link_mode="hardlink",
    )


@pytest.fixture
def spawner() -> HubLauncher:
    """A launcher for a JupyterHub that does not run. Tests may override it."""
    return HubLauncher(url="http://127.0.0.1:1/", api_token="none", retries=1)


@pytest.fixture
def launches(
    io_loop: IOLoop, builder: LocalBuilder, spawner: HubLauncher, settings: Config
) -> Iterator[LaunchManager]:
    launches = LaunchManager(
        channels=MemoryChannelStore(), backend=PairedBackend(builder, spawner), config=settings
    )
    yield launches
    io_loop.run_sync(launches.close, timeout=20)


@pytest.fixture
def web(launches: LaunchManager, settings: Config) -> Web:
    return Web(launches=launches, config=settings)


@pytest.fixture
def app(web: Web) -> Application:
    return make_app(web)


@pytest.fixture
def api(http_client: AsyncHTTPClient, base_url: str) -> Api:
    return Api(http_client, base_url)


@pytest.fixture(autouse=True)
def nothing_uncaught(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail if a handler raised an unexpected exception."""
    yield
    uncaught = [
        record
        for record in caplog.get_records("call")
        if record.name in {"tornado.application", "tornado.general", "asyncio"}
        and record.levelno >= logging.ERROR
    ]
    assert not uncaught


@pytest.fixture
def failing(shared: Path) -> Spec:
    """A spec whose launch fails at once, without a build."""
    return local(shared / "small", "no-such-branch")
