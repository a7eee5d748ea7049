"""Starts and stops our own JupyterHub, and the container engine for its servers."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._steps import take_steps
from ..backends.jupyterhub.launcher import HubLauncher
from ..errors import ConfigError
from .composition import require

if TYPE_CHECKING:
    from .container_engine import ContainerHost
    from .embedded_jupyterhub import EmbeddedJupyterHub

__all__ = ["OwnJupyterHub"]

Sections = Mapping[str, Mapping[str, Any]]


class OwnJupyterHub:
    """Starts and stops a JupyterHub for a launcher. It can be started again.

    Parameters
    ----------
    engine : str
        Where its servers run: "local", "docker" or "podman".
    environments : str
        The folder of the environments, with the engine "local".
    config : mapping
        Further settings of JupyterHub, by section.
    log : logging.Logger
    """

    def __init__(
        self,
        *,
        engine: str,
        environments: str,
        config: Sections,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self.hub: EmbeddedJupyterHub | None = None
        """The JupyterHub. None if it is not running."""
        self.folder: tempfile.TemporaryDirectory[str] | None = None
        """The folder of its files."""
        self._engine = engine
        self._environments = environments
        self._config = config
        self._log = log
        self._containers: ContainerHost | None = None

    async def start(self, launcher: HubLauncher) -> None:
        """Start JupyterHub, and connect the launcher to it.

        Raises
        ------
        ConfigError
            If a requirement is not installed.
        """
        require("hub", "jupyterhub", "psutil")
        if self._engine != "local":
            require("containers", "dockerspawner")
        # Imported here, because a server with an existing JupyterHub does not need them.
        from .container_engine import ContainerHost
        from .embedded_jupyterhub import EmbeddedJupyterHub

        self.folder = tempfile.TemporaryDirectory(
            prefix="binderprogress-hub-", ignore_cleanup_errors=True
        )
        folder = Path(self.folder.name)
        config: Sections = _local_config(self._environments, folder)
        env: Mapping[str, str] = {}
        if self._engine != "local":
            self._containers = ContainerHost(self._engine, folder=folder, log=self._log)
            await self._containers.start()
            config, env = self._containers.config, self._containers.env
        self.hub = EmbeddedJupyterHub(folder, config=_merged(config, self._config), env=env)
        await self.hub.start()
        launcher.connect(self.hub.url, api_url=self.hub.api_url, api_token=self.hub.api_token)

    async def available(self) -> None:
        """Wait until it is ready.

        Raises
        ------
        ConfigError
            If it was not started, or has ended.
        """
        if self.hub is None:
            raise ConfigError("JupyterHub was not started.")
        await self.hub.available()

    async def stop(self, launcher: HubLauncher) -> None:
        """Stop it, if it runs, and remove its files."""
        hub, containers, folder = self.hub, self._containers, self.folder
        self.hub = self._containers = self.folder = None
        if hub is not None:
            await take_steps(
                self._log,
                ("ending JupyterHub", hub.stop),
                ("closing connections to JupyterHub", launcher.disconnect),
            )
        if containers is not None:
            await take_steps(self._log, ("removing containers", containers.stop))
        if folder is not None:
            await take_steps(self._log, ("removing JupyterHub's files", folder.cleanup))


def _local_config(environments: str, folder: Path) -> Sections:
    return {
        "JupyterHub": {
            "spawner_class": "binderprogress.deploy.spawners.environment.EnvironmentSpawner"
        },
        "EnvironmentSpawner": {
            "environments": str(Path(environments).expanduser()),
            "homes": str(folder / "homes"),
        },
    }


def _merged(config: Sections, more: Sections) -> dict[str, dict[str, Any]]:
    return {name: {**config.get(name, {}), **more.get(name, {})} for name in {*config, *more}}
