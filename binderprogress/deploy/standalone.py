"""Runs the server, with its own JupyterHub unless another is configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from platformdirs import user_data_path
from traitlets import Bool, Dict, Integer, Unicode, default
from traitlets.config import Config

from ..backends.jupyterhub.launcher import HubLauncher
from ..backends.local.builder import LocalBuilder
from ..channels.config import MEMORY
from ..core.log.reasons import failure
from ..errors import ConfigError
from .composition import CONFIGURABLES, Parts, process_backend
from .own_jupyterhub import OwnJupyterHub
from .server import Server

if TYPE_CHECKING:
    from .embedded_jupyterhub import EmbeddedJupyterHub

__all__ = ["CONFIGURABLES", "Standalone"]


class Standalone(Server):
    """A server that starts a JupyterHub of its own, unless one is configured.

    Parameters
    ----------
    show_engine : bool
        Whether the front page names the engine.
    prefers_processes : bool
        Whether `start_jupyterhub` is False by default, with the engine "local".
    """

    start_jupyterhub = Bool(
        True,
        help="""
        Whether to start a JupyterHub for the Jupyter servers, unless one is configured.

        Without one, which needs the engine "local", Jupyter servers are processes of this server:
        they start faster, and end with it. That is the default of commands that launch once.
        """,
    ).tag(config=True)

    hub_config = Dict(
        help="""
        Further settings of the JupyterHub that is started here, by section:
        {"ContainerSpawner": {"mem_limit": "2G"}}
        """
    ).tag(config=True)

    hub_folder = Unicode(
        help="""
        Folder for the files of the JupyterHub that is started here.

        If this server is killed, that JupyterHub and its Jupyter servers go on, and the next server
        with this folder finds them. The default is "jupyterhub" in the user's data folder. With "",
        the folder is temporary.
        """
    ).tag(config=True)

    cull_after = Integer(
        1800,
        min=0,
        help="""
        Seconds without activity after which a Jupyter server of the JupyterHub that is started here
        is stopped, and its user is removed. Open pages count as activity. 0 disables it.
        """,
    ).tag(config=True)

    def _defaults(self) -> Mapping[str, Mapping[str, Any]]:
        # If the Jupyter servers end with this server, launches cannot go on.
        is_lasting = self.hub_folder and self.start_jupyterhub
        return {} if is_lasting else {"Storage": {"url": MEMORY}}

    @default("hub_folder")
    def _default_hub_folder(self) -> str:
        return str(user_data_path("binderprogress") / "jupyterhub")

    @default("start_jupyterhub")
    def _default_start_jupyterhub(self) -> bool:
        return self.engine != "local" or not self._prefers_processes

    def __init__(
        self, *, show_engine: bool = False, prefers_processes: bool = False, **kwargs: Any
    ) -> None:
        self._show_engine = show_engine
        self._prefers_processes = prefers_processes
        super().__init__(**kwargs)
        self._own: OwnJupyterHub | None = None
        if self.launcher is not None and not self.launcher.url:
            if self.engine == "kubernetes":
                raise ConfigError(
                    "The engine 'kubernetes' needs a JupyterHub in the cluster. Set "
                    "c.HubLauncher.url to its address, and c.HubLauncher.api_token."
                )
            builder = self.builder
            self._own = OwnJupyterHub(
                engine=self.engine,
                environments=builder.environments if isinstance(builder, LocalBuilder) else "",
                config=self.hub_config,
                log=self.log,
                folder=self.hub_folder,
                cull_after=self.cull_after,
            )

    @property
    def hub(self) -> EmbeddedJupyterHub | None:
        """The JupyterHub that was started here, if there is one."""
        return self._own.hub if self._own is not None else None

    def _web_options(self) -> dict[str, Any]:
        options = super()._web_options()
        if self._show_engine:
            options["front_page"] = {"engine": self.engine}
        return options

    def _make_launcher(self, settings: Config) -> HubLauncher:
        return HubLauncher(parent=self, config=settings, available=self._available)

    def _hub_backend(self, settings: Config, launcher: HubLauncher) -> Parts:
        if self.start_jupyterhub or launcher.url:
            return super()._hub_backend(settings, launcher)
        if self.engine != "local":
            raise ConfigError(
                f"The engine {self.engine!r} needs a JupyterHub. Set "
                "c.Standalone.start_jupyterhub = True, or c.HubLauncher.url to the address of one."
            )
        return process_backend(self, settings)

    @property
    def _culled_after(self) -> float:
        is_ours = self.launcher is not None and not self.launcher.url
        return float(self.cull_after) if is_ours else 0.0

    async def _start_hub(self) -> None:
        if self._own is not None and self.launcher is not None:
            await self._own.start(self.launcher)

    async def _check_hub(self, launcher: HubLauncher) -> dict[str, Any]:
        if self.hub is not None and self.hub.problem:
            # Why, instead of a connection that is refused.
            raise failure("hub-unreachable", self.hub.problem)
        return await super()._check_hub(launcher)

    async def _available(self) -> None:
        """Wait until the JupyterHub of our own answers, if there is one."""
        if self._own is not None:
            await self._own.available()

    async def _stop_hub(self, *, keep: bool = False) -> None:
        if self._own is not None and self.launcher is not None:
            await self._own.stop(self.launcher, keep=keep)
