"""On its own: a server with a builder and a Hub, one of ours unless another is configured."""

from __future__ import annotations

import asyncio
import importlib.util
import ipaddress
import logging
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tornado.web import Application
from traitlets import Bool, Dict, Enum, Integer, Unicode
from traitlets.config import Configurable, LoggingConfigurable

from ..backends.base import AnyBackend, PairedBackend
from ..backends.binderhub.backend import UpstreamBuilder, UpstreamLauncher
from ..backends.binderhub.upstreams import Upstreams
from ..backends.fetch.archives import Archives
from ..backends.fetch.network import Network
from ..backends.jupyterhub.launcher import HubLauncher
from ..backends.local.builder import LocalBuilder
from ..backends.repo2docker.builder import Repo2dockerBuilder
from ..channels.memory import MemoryChannelStore
from ..errors import ConfigError
from ..history.config import History
from ..launches import LaunchManager
from ..web.app import make_app
from ..web.config import Web
from ..web.health_check import HealthCheck
from ..web.metrics import UpstreamCollector
from ..web.server import HttpServer
from .extensions import Extensions
from .tracing import Tracing

if TYPE_CHECKING:
    from .container_engine import ContainerHost
    from .embedded_jupyterhub import EmbeddedJupyterHub

__all__ = ["CONFIGURABLES", "Standalone"]

CONFIGURABLES: list[type[Configurable]] = [
    LaunchManager,
    History,
    Web,
    HttpServer,
    HubLauncher,
    LocalBuilder,
    Repo2dockerBuilder,
    Network,
    Archives,
    Upstreams,
    Tracing,
    Extensions,
]
"""What can be configured in it."""


class Standalone(LoggingConfigurable):
    """The whole thing in one process, with a Hub beside it, or in front of BinderHubs."""

    engine = Enum(
        ["local", "docker", "podman"],
        "local",
        help="""
        What builds and runs environments.

        local: virtual environments and plain processes of this user, without any isolation.
        docker, podman: images and containers.
        """,
    ).tag(config=True)

    ip = Unicode("127.0.0.1", help="The address to listen on.").tag(config=True)

    port = Integer(8585, min=0, max=65535, help="The port to listen on; 0: any that is free.").tag(
        config=True
    )

    trust_visitors = Bool(
        False,
        help="""
        Whether everyone who can reach this server is trusted to run code as its user.

        With the engine "local", a repository's code runs as that user, without isolation. A server
        that others can reach therefore refuses to start with this engine, unless this is True.
        """,
    ).tag(config=True)

    hub_config = Dict(
        help="""
        More settings for the JupyterHub that is started here, section by section:
        {"ContainerSpawner": {"mem_limit": "2G"}}
        """
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.upstreams = Upstreams(parent=self)
        self.extensions = Extensions(parent=self)
        self._checks: list[HealthCheck] = []
        self.hub: EmbeddedJupyterHub | None = None
        self.builder: LocalBuilder | Repo2dockerBuilder | None = None
        """What builds here; None in front of BinderHubs."""
        self.launcher: HubLauncher | None = None
        """What starts servers in a JupyterHub; None in front of BinderHubs."""
        self.backend = self._make_backend()
        make_channel_store = self.extensions.make_channel_store or MemoryChannelStore
        self.launches = LaunchManager(
            backend=self.backend, channels=make_channel_store(), parent=self
        )
        # Of one that is started here the port says nothing.
        self.launches.host = urlsplit(self.hub_url).netloc.rpartition("@")[2]
        self.history = History(parent=self)
        self.tracing = Tracing(parent=self)
        self.tracing.attach(self.launches)
        self.web = Web(launches=self.launches, parent=self)
        self.web.checks = self._checks
        if self.extensions.make_access is not None:
            self.web.access = self.extensions.make_access()
        if self.upstreams.hubs:
            self.web.metrics.register(UpstreamCollector(self.upstreams.hubs))
        # What is configured counts; else what is safe where it is.
        if "local_only" not in self.config.Web:
            self.web.local_only = self._on_loopback
        if "confirm_foreign" not in self.config.Web:
            self.web.confirm_foreign = self.backend.profile.runs_on_host
        if "name_repositories" not in self.config.Web:
            # With keys, or the login of a git host, private ones can be launched.
            self.web.name_repositories = not self.backend.profile.reads_private
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._containers: ContainerHost | None = None
        self._server = HttpServer(parent=self)

    @property
    def url(self) -> str:
        """Where it listens."""
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"http://{host}:{self.port}{self.web.base_url}"

    @property
    def _on_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.ip).is_loopback
        except ValueError:
            # Any other name may resolve to more than loopback.
            return self.ip == "localhost"

    @property
    def _is_reachable(self) -> bool:
        """Whether others than this machine's users may reach it."""
        return not (self._on_loopback and self.web.local_only)

    def _restrict_network(self) -> None:
        # Attack: a visitor's repository is at an address that only this machine reaches.
        if self.builder is not None and "private_addresses" not in self.config.Network:
            self.builder.network.private_addresses = not self._is_reachable

    def _refuse_strangers(self) -> None:
        # Attack: anyone who reaches the port launches a repository whose postBuild reads this
        # user's files. A server that answers to public names has a proxy in front of it.
        if self._is_reachable and self.backend.profile.runs_on_host and not self.trust_visitors:
            raise ConfigError(
                "The engine 'local' runs a repository's code as this user, without isolation, and "
                "others can reach this server. Use the engine 'docker' or 'podman', or listen on "
                "127.0.0.1 only. If everyone who can reach this server may run code as this user, "
                f"set c.{type(self).__name__}.trust_visitors = True."
            )

    @property
    def hub_url(self) -> str:
        """Where the JupyterHub is, if there is one."""
        return self.launcher.url if self.launcher is not None else ""

    async def start(self) -> None:
        """Listen. The Hub starts meanwhile; launches wait for it.

        Raises
        ------
        ConfigError
            If the port is taken, the history cannot be opened, something that is needed is not
            installed, fetching has to be in a namespace but cannot be, or visitors who are
            not trusted could run code as this user.
        """
        self._refuse_strangers()
        if self.builder is not None and self.builder.sandbox == "on":
            await self.builder.uses_sandbox()
        self._restrict_network()
        app = self._make_app()
        try:
            sockets = self._server.bind(self.port, self.ip)
        except OSError as error:
            raise ConfigError(
                f"{self.ip}:{self.port} cannot be listened on: {error.strerror}. Name another port "
                "with --port, or 0 for any that is free."
            ) from error
        self.port = sockets[0].getsockname()[1]
        try:
            if self.upstreams.hubs:
                self.upstreams.start()
            else:
                await self._start_hub()
            # A JupyterHub of our own comes up meanwhile.
            await self.open_history()
        except BaseException:
            for opened in sockets:
                opened.close()
            raise
        # Last: the history would miss launches that end before it is open. Clients that connect
        # earlier wait in the sockets' queue.
        self._server.listen(app, sockets, trust_proxy=self.web.trust_proxy)

    async def open_history(self) -> None:
        """Let launches that are over be kept from now on.

        Raises
        ------
        ConfigError
            If that is not possible as it is configured.
        """
        make_history = self.extensions.make_history or self.history.open
        history = await asyncio.to_thread(make_history)
        await asyncio.to_thread(self.launches.learn_from, history)

    async def stop(self) -> None:
        """Stop everything, within 5 seconds."""
        self._server.stop()
        # With a Hub of our own all servers end with it; another's have to be stopped one by one.
        patience = 2.0 if self.hub is not None else 4.0
        try:
            async with asyncio.timeout(patience):
                await self.launches.close()
        except TimeoutError:
            level = logging.DEBUG if self.hub is not None else logging.WARNING
            self.log.log(level, "Not all launches could be cleaned up in time.")
        await self._stop_hub()
        await self.tracing.close()
        await self.backend.close()
        # After the last launch has come to its end.
        await asyncio.to_thread(self.launches.history.close)
        await self._server.close()

    def _make_backend(self) -> AnyBackend:
        if self.extensions.make_backend is not None:
            backend: AnyBackend = self.extensions.make_backend()
            return backend
        if self.upstreams.hubs:
            self._checks = [HealthCheck("BinderHubs", self.upstreams.health, every=0.0)]
            return PairedBackend(UpstreamBuilder(self.upstreams), UpstreamLauncher(self.upstreams))
        builder = self.builder = self._make_builder()
        launcher = self.launcher = HubLauncher(parent=self)
        self._checks = [
            HealthCheck("JupyterHub API", partial(self._check_hub, launcher)),
            HealthCheck("builder", builder.check, every=30.0),
        ]
        return PairedBackend(builder, launcher)

    def _make_app(self) -> Application:
        return make_app(self.web)

    async def _check_hub(self, launcher: HubLauncher) -> dict[str, Any]:
        return await launcher.check()

    def _make_builder(self) -> LocalBuilder | Repo2dockerBuilder:
        if self.engine == "local":
            _require("local", "filelock", "repo2docker", "uv")
            return LocalBuilder(parent=self)
        _require("repo2docker", "repo2docker")
        builder = Repo2dockerBuilder(parent=self)
        builder.engine = self.engine
        return builder

    async def _start_hub(self) -> None:
        """Start a Hub of our own, unless one is configured."""
        launcher = self.launcher
        if launcher is None or launcher.url:
            return
        _require("hub", "jupyterhub", "psutil")
        if self.engine != "local":
            _require("containers", "dockerspawner")
        # Only here: a server in front of a Hub that is there already needs none of it.
        from .container_engine import ContainerHost
        from .embedded_jupyterhub import EmbeddedJupyterHub

        self._folder = tempfile.TemporaryDirectory(
            prefix="binderprogress-hub-", ignore_cleanup_errors=True
        )
        folder = Path(self._folder.name)
        config, env = _local_config(self.builder, folder), {}
        if self.engine != "local":
            self._containers = ContainerHost(self.engine, folder=folder, log=self.log)
            await self._containers.start()
            config, env = self._containers.config, self._containers.env
        self.hub = EmbeddedJupyterHub(folder, config=_merged(config, self.hub_config), env=env)
        await self.hub.start()
        launcher.url = self.hub.url
        launcher.api_url = self.hub.api_url
        launcher.api_token = self.hub.api_token
        launcher.available = self._available

    async def _available(self) -> None:
        """Wait until the JupyterHub of our own answers."""
        assert self.hub is not None  # noqa: S101 - `_start_hub` made it
        await self.hub.available()

    async def _stop_hub(self) -> None:
        """Stop the JupyterHub of our own, if there is one, and remove its files."""
        if self.hub is not None:
            await self.hub.stop()
            self.hub = None
            if self.launcher is not None:
                # The next one has another address and another token.
                self.launcher.url = ""
                await self.launcher.close()
        if self._containers is not None:
            await self._containers.stop()
            self._containers = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _require(extra: str, *modules: str) -> None:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} is not installed, which this way of running needs. "
            f"Install it with: pip install 'binderprogress[{extra}]'"
        )


def _local_config(builder: object, folder: Path) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(builder, LocalBuilder):
        return {}
    return {
        "JupyterHub": {
            "spawner_class": "binderprogress.deploy.spawners.environment.EnvironmentSpawner"
        },
        "EnvironmentSpawner": {
            "environments": str(Path(builder.environments).expanduser()),
            "homes": str(folder / "homes"),
        },
    }


def _merged(
    config: Mapping[str, Mapping[str, Any]], more: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]]:
    return {name: {**config.get(name, {}), **more.get(name, {})} for name in {*config, *more}}
