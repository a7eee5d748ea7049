"""The server, wherever it launches: in a JupyterHub, or in front of BinderHubs."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from prometheus_client.registry import Collector
from tornado.web import Application
from traitlets import Bool, Enum, Integer, Unicode
from traitlets.config import Config, LoggingConfigurable

from .._steps import take_steps
from ..backends.binderhub.upstreams import Upstreams
from ..backends.jupyterhub.launcher import HubLauncher
from ..backends.kubernetes.prepuller import Prepuller
from ..channels.config import Storage
from ..errors import ConfigError
from ..history.config import History
from ..launches.standby import Standby
from ..web.app import make_app
from ..web.config import Web
from ..web.metrics import StandbyCollector
from ..web.prepull import PrepullCollector
from ..web.server import HttpServer
from . import standing_by
from .composition import (
    Parts,
    build_backend,
    build_launches,
    setting,
    upstream_backend,
    with_defaults,
)
from .extensions import Extensions
from .prepulling import is_enabled, make_prepuller
from .simulator import Simulator
from .sweep import sweep
from .tracing import Tracing

if TYPE_CHECKING:
    from .embedded_jupyterhub import EmbeddedJupyterHub

__all__ = ["Server"]

_STANDBY_PATIENCE = 2.0
"""Seconds for stopping the servers that stand ready."""


class Server(LoggingConfigurable):
    """A server that launches in JupyterHub, or in front of BinderHubs.

    Subclasses choose the JupyterHub, and identify visitors.
    """

    engine = Enum(
        ["local", "docker", "podman", "kubernetes"],
        "local",
        help="""
        What builds and runs environments.

        local: virtual environments and processes of this user, without isolation.
        docker, podman: images and containers.
        kubernetes: images, in pods of a cluster. It needs a JupyterHub there (HubLauncher.url).
        """,
    ).tag(config=True)

    ip = Unicode("127.0.0.1", help="Address to listen on.").tag(config=True)

    port = Integer(8585, min=0, max=65535, help="Port to listen on. 0 chooses a free port.").tag(
        config=True
    )

    end_launches = Bool(
        False,
        help="""
        Whether SIGTERM ends launches, and a JupyterHub that was started here, as Ctrl-C does.
        Otherwise, the next server goes on with them.
        """,
    ).tag(config=True)

    trust_visitors = Bool(
        False,
        help="""
        Whether everyone who can reach this server is trusted to run code as its user.

        With the engine "local", a repository's code runs as that user, without isolation. A server
        that others can reach therefore refuses to start with this engine, unless this is True.
        """,
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.upstreams = Upstreams(parent=self)
        self.extensions = Extensions(parent=self)
        local_only = {"Web": {"local_only": self.on_loopback}}
        settings = with_defaults(with_defaults(self.config, self._defaults()), local_only)
        self._local_only = bool(setting(settings, Web, "local_only"))
        # Attack: a visitor launches a repository at an address that only this machine can reach.
        network = {"Network": {"private_addresses": not self.is_reachable}}
        settings = with_defaults(settings, network)
        parts = self._make_parts(settings)
        self.backend = parts.backend
        self.builder = parts.builder
        """The builder. None in front of BinderHubs."""
        self.launcher = parts.launcher
        """The launcher of JupyterHub. None without one."""
        self.tracing = Tracing(parent=self)
        self.storage = Storage(parent=self, config=settings)
        self.launches = build_launches(
            self,
            self.backend,
            self.tracing,
            make_store=self.extensions.make_channel_store or self.storage.open_store,
            open_logs=self.storage.open_logs,
            # Empty for our own JupyterHub, whose port changes with each run.
            host=urlsplit(self.hub_url).netloc.rpartition("@")[2],
        )
        self.history = History(parent=self)
        self.prepuller = self._make_prepuller(settings)
        """Pulls popular images to nodes in advance, if that is enabled."""
        self.standby = self._make_standby(settings)
        """Keeps servers ready, if that is enabled."""
        profile = self.backend.profile
        web = {
            "confirm_foreign": profile.runs_on_host,
            # With credentials, private repositories can be launched. Do not list their names.
            "name_repositories": not profile.reads_private,
        }
        prepull = self.prepuller.report if self.prepuller is not None else None
        collectors: list[Collector] = []
        if prepull is not None:
            collectors.append(PrepullCollector(prepull))
        if self.standby is not None:
            collectors.append(StandbyCollector(self.launches.standby))
        self.web = Web(
            launches=self.launches,
            checks=parts.checks,
            collectors=[*parts.collectors, *collectors],
            hosts=parts.hosts,
            prepull=prepull,
            simulate=Simulator(self.log),
            parent=self,
            config=with_defaults(settings, {"Web": web}),
            **self._web_options(),
        )
        self._server = HttpServer(parent=self)
        self._sweeping: asyncio.Task[None] | None = None
        self.before_listening: Callable[[], object] = lambda: None
        """Called right before the server answers requests."""

    # -- what subclasses override

    @property
    def hub(self) -> EmbeddedJupyterHub | None:
        """The JupyterHub that was started here, if there is one."""
        return None

    @abstractmethod
    def _make_launcher(self, settings: Config) -> HubLauncher:
        """Return the launcher of JupyterHub."""

    def _defaults(self) -> Mapping[str, Mapping[str, Any]]:
        """Return defaults that differ from those of the classes."""
        return {}

    def _web_options(self) -> dict[str, Any]:
        """Return further arguments of `Web`."""
        make_access = self.extensions.make_access
        return {"access": make_access() if make_access is not None else None}

    def _make_app(self) -> Application:
        return make_app(self.web)

    async def _start_hub(self) -> None:
        """Start a JupyterHub, if it is ours."""

    async def _stop_hub(self, *, keep: bool = False) -> None:
        """Stop the JupyterHub that was started, unless it is to be kept for the next server."""

    async def _check_hub(self, launcher: HubLauncher) -> dict[str, Any]:
        return await launcher.check()

    def _make_parts(self, settings: Config) -> Parts:
        if self.extensions.make_backend is not None:
            return Parts(backend=self.extensions.make_backend())
        if self.upstreams.hubs:
            return upstream_backend(self.upstreams)
        return self._hub_backend(settings, self._make_launcher(settings))

    def _hub_backend(self, settings: Config, launcher: HubLauncher) -> Parts:
        """Return a backend with this launcher."""
        return build_backend(
            self,
            settings,
            engine=self.engine,
            launcher=launcher,
            hub_check=partial(self._check_hub, launcher),
        )

    def _make_prepuller(self, settings: Config) -> Prepuller | None:
        if not is_enabled(settings):
            return None
        name = self.launches.replicas.name
        return make_prepuller(self, self.builder, lambda: self.launches.history, identity=name)

    @property
    def _culled_after(self) -> float:
        """After how many seconds JupyterHub stops idle servers. 0: never, or not known."""
        return 0.0

    def _make_standby(self, settings: Config) -> Standby | None:
        if not standing_by.is_enabled(settings):
            return None
        if self.upstreams.hubs:
            raise standing_by.refusal("A BinderHub starts a server only for its own launch.")
        if self.launcher is not None and self.launcher.named:
            raise standing_by.refusal("With logins, each server belongs to its user.")
        return standing_by.make_standby(
            self, self.launches, self.backend, culled_after=self._culled_after
        )

    @property
    def url(self) -> str:
        """The address of the server."""
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"http://{host}:{self.port}{self.web.base_url}"

    @property
    def on_loopback(self) -> bool:
        """Whether it listens on a loopback address."""
        try:
            return ipaddress.ip_address(self.ip).is_loopback
        except ValueError:
            # Any other name may resolve to other addresses, too.
            return self.ip == "localhost"

    @property
    def is_reachable(self) -> bool:
        """Whether it can be reached from other machines."""
        return not (self.on_loopback and self._local_only)

    def _refuse_strangers(self) -> None:
        # Attack: anyone who reaches the port launches a repository whose postBuild reads this
        # user's files. A server that answers to public names is behind a proxy.
        if self.is_reachable and self.backend.profile.runs_on_host and not self.trust_visitors:
            raise ConfigError(
                "The engine 'local' runs a repository's code as this user, without isolation, and "
                "others can reach this server. Use the engine 'docker' or 'podman', or listen on "
                "127.0.0.1 only. If everyone who can reach this server may run code as this user, "
                f"set c.{type(self).__name__}.trust_visitors = True."
            )

    @property
    def hub_url(self) -> str:
        """The address of JupyterHub, if there is one."""
        return self.launcher.url if self.launcher is not None else ""

    async def start(self) -> None:
        """Listen. JupyterHub starts in the background; launches wait for it.

        Raises
        ------
        ConfigError
            If the port is in use, the history cannot be opened, a requirement is not installed,
            the sandbox is required but not available, or untrusted visitors could run code as
            this user.
        """
        self._refuse_strangers()
        if self.builder is not None and self.builder.sandbox == "on":
            await self.builder.uses_sandbox()
        app = self._make_app()
        sockets = self._bind()
        if self.port:
            # It is free. Until launches can be shown, connections are refused: a proxy then asks
            # another replica.
            _close(sockets)
            sockets = []
        else:
            # Another program might be given it meanwhile.
            self.port = sockets[0].getsockname()[1]
        try:
            if self.upstreams.hubs:
                self.upstreams.start()
            else:
                await self._start_hub()
            # A JupyterHub of our own starts meanwhile.
            await self.open_history()
            await self.launches.open()
            sockets = sockets or self._bind()
        except BaseException:
            _close(sockets)
            raise
        # Last: launches that end before the history is open would not be recorded.
        self.before_listening()
        self._server.listen(app, sockets, trust_proxy=self.web.trust_proxy)
        self._sweeping = asyncio.create_task(sweep(self.builder, log=self.log))
        if self.prepuller is not None:
            self.prepuller.start()
        if self.standby is not None:
            self.standby.start()

    def _bind(self) -> list[socket.socket]:
        try:
            return self._server.bind(self.port, self.ip)
        except OSError as error:
            raise ConfigError(
                f"Cannot listen on {self.ip}:{self.port}: {error.strerror}. Choose another port "
                "with --port, or 0 for a free port."
            ) from error

    async def open_history(self) -> None:
        """Open the history, and keep ended launches in it.

        Raises
        ------
        ConfigError
            If the configured history cannot be opened.
        """
        make_history = self.extensions.make_history or self.history.open
        history = await asyncio.to_thread(make_history)
        await asyncio.to_thread(self.launches.learn_from, history)

    async def stop(self, hand_over: bool = False) -> None:
        """Stop everything, within 10 seconds.

        Parameters
        ----------
        hand_over : bool
            Whether the next server goes on with the launches, if their store is durable, and with
            the JupyterHub that was started here, if its folder is not temporary.
        """
        await take_steps(
            self.log,
            ("refusing requests", self.web.refuse_requests),
            ("closing the port", self._server.stop),
            ("stopping servers that stand ready", partial(self._stop_standby, hand_over)),
            ("stopping launches", partial(self._stop_launches, hand_over)),
            # Now others can go on with the launches.
            ("letting viewers reconnect", self.web.release_viewers),
            ("cleaning up after earlier runs", self._stop_sweeping),
            ("ending pulls in advance", self._stop_prepuller),
            ("closing the builder", self._close_builder),
            ("stopping JupyterHub", partial(self._stop_hub, keep=hand_over)),
            ("closing the traces", self.tracing.close),
            ("closing the backend", self.backend.close),
            # After the last launch has ended.
            ("closing the history", partial(asyncio.to_thread, self.launches.history.close)),
            ("closing connections", self._server.close),
        )

    async def _stop_sweeping(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.gather(self._sweeping, return_exceptions=True)

    async def _stop_prepuller(self) -> None:
        if self.prepuller is not None:
            await self.prepuller.close()

    async def _stop_standby(self, hand_over: bool) -> None:
        if self.standby is not None:
            await standing_by.stop(
                self.standby,
                patience=_STANDBY_PATIENCE,
                hand_over=hand_over,
                # Our own JupyterHub stops its servers.
                forget=self.hub is not None and not hand_over,
            )

    async def _close_builder(self) -> None:
        if self.builder is not None:
            await self.builder.close()

    async def _stop_launches(self, hand_over: bool) -> None:
        # Our own JupyterHub stops its servers. Those of another one are stopped one by one.
        patience = 2.0 if self.hub is not None else 4.0
        try:
            async with asyncio.timeout(patience):
                await self.launches.close(hand_over=hand_over)
        except TimeoutError:
            level = logging.DEBUG if self.hub is not None else logging.WARNING
            self.log.log(level, "Not all launches could be cleaned up in time.")


def _close(sockets: Iterable[socket.socket]) -> None:
    for each in sockets:
        each.close()
