"""A manager with the real local builder. JupyterHub does not answer unless a test starts one.

Its channel store always suspends, so tests cannot depend on immediate results. `tests/web` and
others use the store in memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from binderprogress.backends.base import Builder, Launcher, PairedBackend
from binderprogress.backends.jupyterhub.launcher import HubLauncher
from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.launches import LaunchManager

from ..support.channels import SuspendingChannelStore
from ..support.long import usually
from ..support.repositories import repository
from .lives import Ending, Life
from .parts import NOTHING, WITHIN, advance, io_loop

__all__ = ["advance", "io_loop"]


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a repository, `small`, whose environment is built once for all tests."""
    folder = tmp_path_factory.mktemp("shared")
    repository(folder / "small", NOTHING)
    return folder


@pytest.fixture
def builder(tmp_path: Path, shared: Path) -> LocalBuilder:
    return LocalBuilder(
        environments=str(shared / "environments"),
        local_folders=[str(tmp_path), str(shared)],
        base_packages=[],
        link_mode="hardlink",
    )


@pytest.fixture
def no_hub() -> HubLauncher:
    """A JupyterHub address at which nothing listens."""
    return HubLauncher(url="http://127.0.0.1:1/", api_token="none", retries=1)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The parent of temporary folders."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def make_manager(
    io_loop: IOLoop, builder: LocalBuilder, no_hub: HubLauncher, temporary: Path
) -> Iterator[Callable[..., LaunchManager]]:
    """Return a function that makes a manager with settings. All are closed afterwards."""
    managers: list[LaunchManager] = []

    def make(
        builder: Builder = builder, spawner: Launcher = no_hub, **settings: Any
    ) -> LaunchManager:
        managers.append(
            LaunchManager(
                channels=SuspendingChannelStore(),
                backend=PairedBackend(builder, spawner),
                **settings,
            )
        )
        return managers[-1]

    yield make
    for manager in managers:
        io_loop.run_sync(manager.close, timeout=20)


@pytest.fixture
def life(io_loop: IOLoop, builder: LocalBuilder, temporary: Path, tmp_path: Path) -> Iterator[Life]:
    logs = tmp_path / "logs"
    logs.mkdir()
    life = Life(builder, logs)
    yield life
    io_loop.run_sync(life.close, timeout=WITHIN)


@pytest.fixture(params=usually(["kill", "stop"], "kill"))
def restart(request: pytest.FixtureRequest) -> Ending:
    async def killed(life: Life) -> None:
        await life.kill()
        await life.begin()

    async def stop(life: Life) -> None:
        await life.restart()

    return killed if request.param == "kill" else stop
