"""The parts of a server that do not fit together."""

from __future__ import annotations

import pytest
from traitlets.config import Config, LoggingConfigurable

from binderprogress.backends.base import PairedBackend
from binderprogress.backends.jupyterhub.launcher import HubLauncher
from binderprogress.deploy.composition import build_launches
from binderprogress.deploy.standalone import Standalone
from binderprogress.deploy.tracing import Tracing
from binderprogress.errors import ConfigError
from binderprogress.launches import LaunchManager

from ..launches.test_build import Shell
from ..support.durable import DurableMemoryStore, Memory

BACKEND = PairedBackend(Shell("true"), HubLauncher(url="http://127.0.0.1:1/"))
"""Its builder has no codec, so launches cannot go on after a restart."""


class Unshared(DurableMemoryStore):
    """A store of one process."""

    @property
    def is_shared(self) -> bool:
        return False


def test_a_backend_that_cannot_go_on_with_launches_gets_none_of_other_replicas() -> None:
    with pytest.raises(ConfigError, match="this backend has no codec"):
        build_launches(
            LoggingConfigurable(),
            BACKEND,
            Tracing(),
            make_store=lambda: DurableMemoryStore(Memory(), "one"),
        )


def test_a_backend_that_cannot_go_on_with_launches_keeps_them_in_memory() -> None:
    launches = build_launches(
        LoggingConfigurable(), BACKEND, Tracing(), make_store=lambda: Unshared(Memory(), "one")
    )
    assert not launches.is_durable


def test_a_durable_store_needs_a_codec() -> None:
    with pytest.raises(ConfigError, match="this backend has no codec"):
        LaunchManager(backend=BACKEND, channels=Unshared(Memory(), "one"))


def test_a_command_that_launches_once_needs_no_jupyterhub() -> None:
    once = Standalone(prefers_processes=True)
    assert once.launcher is None
    assert once.builder is not None
    assert Standalone().launcher is not None


def test_a_jupyterhub_that_is_configured_is_used() -> None:
    config = Config(HubLauncher={"url": "http://127.0.0.1:1/"})
    assert Standalone(prefers_processes=True, config=config).hub_url == "http://127.0.0.1:1/"


def test_images_need_a_jupyterhub() -> None:
    with pytest.raises(ConfigError, match=r"'podman' needs a JupyterHub"):
        Standalone(engine="podman", start_jupyterhub=False)
