"""Starts and stops our own JupyterHub, and the container engine for its servers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._steps import Step, take_steps
from ..backends.jupyterhub.launcher import HubLauncher
from ..errors import ConfigError
from .composition import require

if TYPE_CHECKING:
    from .container_engine import ContainerHost
    from .embedded_jupyterhub import EmbeddedJupyterHub
    from .hub_folder import HubFolder

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
    folder : str
        A folder for its files, in which the next server finds it. Empty: a temporary one.
    cull_after : int
        Seconds without activity after which its servers and their users are removed. 0: never.
    """

    def __init__(
        self,
        *,
        engine: str,
        environments: str,
        config: Sections,
        log: logging.Logger | logging.LoggerAdapter[Any],
        folder: str = "",
        cull_after: int = 0,
    ) -> None:
        self.hub: EmbeddedJupyterHub | None = None
        """The JupyterHub. None if it is not running."""
        self.folder: HubFolder | None = None
        """The folder of its files."""
        self._engine = engine
        self._environments = environments
        self._config = config
        self._log = log
        self._wanted = folder
        self._cull_after = cull_after
        self._containers: ContainerHost | None = None
        self._launcher: HubLauncher | None = None

    async def start(self, launcher: HubLauncher) -> None:
        """Start JupyterHub, or find that of an earlier run, and connect the launcher to it.

        Raises
        ------
        ConfigError
            If a requirement is not installed.
        """
        require("hub", "filelock", "jupyterhub", "jupyterhub_idle_culler", "psutil")
        if self._engine != "local":
            require("containers", "dockerspawner")
        # Imported here, because a server with an existing JupyterHub does not need them.
        from .container_engine import ContainerHost
        from .embedded_jupyterhub import EmbeddedJupyterHub
        from .hub_folder import HubFolder

        self.folder = await asyncio.to_thread(HubFolder.open, self._wanted, log=self._log)
        folder = Path(self.folder.name)
        config: Sections = _local_config(self._environments, folder)
        env: Mapping[str, str] = {}
        if self._engine != "local":
            self._containers = ContainerHost(self._engine, folder=folder, log=self._log)
            config, env = self._containers.config, self._containers.env
        config = _merged(config, self._config)
        hub = EmbeddedJupyterHub(
            folder, config=config, env=env, cull_after=self._cull_after, log=self._log
        )
        resumed = await hub.resume()
        if not resumed:
            await self._clear(hub)
        self.hub = hub
        if self._containers is not None:
            await self._containers.start()
        if not resumed:
            await hub.start()
        self._launcher = launcher
        self._connect(hub)

    def _connect(self, hub: EmbeddedJupyterHub) -> None:
        if self._launcher is not None:
            self._launcher.connect(hub.url, api_url=hub.api_url, api_token=hub.api_token)

    async def _clear(self, hub: EmbeddedJupyterHub) -> None:
        """End what is left of an earlier run, whose servers cannot be reached any more."""
        await hub.clear()
        if self._containers is not None:
            await self._containers.clear()
        if self.folder is not None:
            await asyncio.to_thread(self.folder.clear)

    async def available(self) -> None:
        """Wait until it is ready.

        Raises
        ------
        ConfigError
            If it was not started, or has ended and cannot be started again.
        """
        if self.hub is None:
            raise ConfigError("JupyterHub was not started.")
        hub = self.hub
        await hub.available()
        if hub is self.hub:
            # It may have other ports than at first.
            self._connect(hub)

    async def stop(self, launcher: HubLauncher, *, keep: bool = False) -> None:
        """Stop it, if it runs, and remove its files.

        Parameters
        ----------
        launcher : HubLauncher
        keep : bool
            Leave it running with its servers, for the next server that uses its folder. Without
            such a folder, it stops.
        """
        hub, containers, folder = self.hub, self._containers, self.folder
        self.hub = self._containers = self.folder = self._launcher = None
        keep = keep and folder is not None and not folder.is_temporary
        steps: list[Step] = []
        if hub is not None:
            steps.append(("stopping JupyterHub", partial(hub.stop, keep=keep)))
            steps.append(("closing connections to JupyterHub", launcher.disconnect))
        if containers is not None:
            steps.append(("removing containers", partial(containers.stop, keep=keep)))
        if folder is not None:
            close = partial(asyncio.to_thread, folder.close, keep=keep)
            steps.append(("removing JupyterHub's files", close))
        await take_steps(self._log, *steps)


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
