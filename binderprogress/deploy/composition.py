"""The composition root: builds the parts of a server from its configuration.

The ways of running differ in where they listen, who logs in, and where JupyterHub is. They share
the parts that are built here.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client.registry import Collector
from traitlets.config import Config, Configurable, LoggingConfigurable
from traitlets.config.loader import DeferredConfigString

from ..backends.base import AnyBackend, PairedBackend, Resumable
from ..backends.binderhub.backend import UpstreamBuilder, UpstreamLauncher
from ..backends.binderhub.upstreams import Upstreams
from ..backends.fetch.archives import Archives
from ..backends.fetch.network import Network
from ..backends.jupyterhub.launcher import HubLauncher
from ..backends.kubernetes.builder import KubernetesBuilder
from ..backends.kubernetes.placeholders import Placeholders
from ..backends.kubernetes.prepuller import Prepuller
from ..backends.kubernetes.registry import Registry
from ..backends.kubernetes.server_pods import ServerPods
from ..backends.local.builder import LocalBuilder
from ..backends.local.launcher import ProcessLauncher
from ..backends.repo2docker.builder import Repo2dockerBuilder
from ..channels.base import ChannelStore
from ..channels.config import Storage
from ..channels.durable import DurableStore
from ..channels.memory import MemoryChannelStore
from ..errors import ConfigError
from ..history.config import History
from ..launches import LaunchManager
from ..launches.reasons import Reasons
from ..launches.standby import Standby
from ..web.config import Web
from ..web.health_check import HealthCheck
from ..web.hosts import Hosts
from ..web.metrics import BuildPodCollector, CleanupCollector, UpstreamCollector
from ..web.server import HttpServer
from .extensions import Extensions
from .tracing import Tracing

__all__ = [
    "CONFIGURABLES",
    "Parts",
    "build_backend",
    "build_launches",
    "process_backend",
    "require",
    "setting",
    "upstream_backend",
    "with_defaults",
]

CONFIGURABLES: list[type[Configurable]] = [
    LaunchManager,
    Standby,
    Reasons,
    History,
    Storage,
    Web,
    HttpServer,
    HubLauncher,
    LocalBuilder,
    Repo2dockerBuilder,
    KubernetesBuilder,
    Registry,
    ServerPods,
    Placeholders,
    Prepuller,
    Network,
    Archives,
    Upstreams,
    Tracing,
    Extensions,
]
"""The classes that have settings, besides the server's own."""

AnyBuilder = LocalBuilder | Repo2dockerBuilder | KubernetesBuilder


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What resolves, builds and launches.

    Attributes
    ----------
    backend : Backend
    builder : LocalBuilder, Repo2dockerBuilder, KubernetesBuilder or None
        None in front of BinderHubs.
    launcher : HubLauncher or None
        None in front of BinderHubs, and without a JupyterHub.
    checks : sequence of HealthCheck
        What ``/health`` checks.
    collectors : sequence of Collector
        Further metrics.
    hosts : Hosts or None
        Chooses the host of each launch, if the launches of a browser are to have the same one.
    """

    backend: AnyBackend
    builder: AnyBuilder | None = None
    launcher: HubLauncher | None = None
    checks: Sequence[HealthCheck] = ()
    collectors: Sequence[Collector] = ()
    hosts: Hosts | None = None


def upstream_backend(upstreams: Upstreams) -> Parts:
    """Return a backend in front of BinderHubs."""
    return Parts(
        backend=PairedBackend(UpstreamBuilder(upstreams), UpstreamLauncher(upstreams)),
        checks=[HealthCheck("BinderHubs", upstreams.health, every=0.0)],
        collectors=[UpstreamCollector(upstreams.hubs)],
        hosts=upstreams if upstreams.routing == "random" and upstreams.host_cookie_age else None,
    )


def build_backend(
    parent: LoggingConfigurable,
    config: Config,
    *,
    engine: str,
    launcher: HubLauncher,
    hub_check: Callable[[], Awaitable[dict[str, Any]]],
) -> Parts:
    """Return a backend that builds here, and launches in a JupyterHub.

    Parameters
    ----------
    parent : LoggingConfigurable
    config : Config
    engine : str
        "local", "docker", "podman" or "kubernetes".
    launcher : HubLauncher
    hub_check : callable
        Checks JupyterHub.
    """
    builder: AnyBuilder
    collectors: list[Collector] = [CleanupCollector(lambda: len(launcher.cleanups.outstanding()))]
    if engine == "local":
        require("local", "filelock", "repo2docker", "uv")
        builder = LocalBuilder(parent=parent, config=config)
    elif engine == "kubernetes":
        require("kubernetes", "escapism", "kubernetes_asyncio")
        builder = KubernetesBuilder(parent=parent, config=config)
        collectors.append(BuildPodCollector(builder.cleaner.removed))
        pods = ServerPods(builder=builder, parent=parent, config=config)
        launcher.pod_events = pods if pods.enabled else None
    else:
        require("repo2docker", "repo2docker")
        builder = Repo2dockerBuilder(parent=parent, config=config, engine=engine)
    return Parts(
        backend=PairedBackend(builder, launcher),
        builder=builder,
        launcher=launcher,
        checks=[
            # That of our own JupyterHub costs little, and it may be started again any time.
            HealthCheck("JupyterHub API", hub_check, every=10.0 if launcher.url else 1.0),
            HealthCheck("builder", builder.check, every=30.0),
        ],
        collectors=collectors,
    )


def process_backend(parent: LoggingConfigurable, config: Config) -> Parts:
    """Return a backend that builds here, and starts Jupyter servers as processes of this one."""
    require("local", "filelock", "repo2docker", "uv")
    builder = LocalBuilder(parent=parent, config=config)
    launcher = ProcessLauncher(Path(builder.environments).expanduser(), log=parent.log)
    return Parts(
        backend=PairedBackend(builder, launcher),
        builder=builder,
        checks=[HealthCheck("builder", builder.check, every=30.0)],
    )


def build_launches(
    parent: LoggingConfigurable,
    backend: AnyBackend,
    tracing: Tracing,
    *,
    make_store: Callable[[], ChannelStore] = MemoryChannelStore,
    open_logs: Callable[[], Path] | None = None,
    host: str = "",
) -> LaunchManager:
    """Return the launches of a backend.

    Parameters
    ----------
    parent : LoggingConfigurable
        Has the configuration.
    backend : Backend
    tracing : Tracing
    make_store : callable, optional
        Makes the channel store. The default is in memory. A backend that cannot go on with
        launches after a restart gets one in memory instead of one that keeps launches, unless
        replicas share that.
    open_logs : callable, optional
        Returns the folder for the full logs of builds, with a store that keeps launches.
    host : str
        Where servers are started, for the history; empty: here.

    Raises
    ------
    ConfigError
        If replicas share the store, and the backend cannot go on with launches of another one.
    """
    store = make_store()
    if isinstance(store, DurableStore) and not (store.is_shared or _is_resumable(backend)):
        parent.log.warning("Launches end with this server: its backend has no codec.")
        store = MemoryChannelStore()
    launches = LaunchManager(
        backend=backend,
        channels=store,
        logs=open_logs() if open_logs is not None and isinstance(store, DurableStore) else None,
        host=host,
        traced=tracing.enabled,
        rules=Reasons(parent=parent).rules(),
        parent=parent,
    )
    tracing.attach(launches)
    return launches


def _is_resumable(backend: AnyBackend) -> bool:
    return isinstance(backend, Resumable) and backend.codec is not None


def with_defaults(config: Config, defaults: Mapping[str, Mapping[str, Any]]) -> Config:
    """Return a configuration with other defaults. What is configured keeps its value.

    This is for defaults that depend on how a server runs.

    Parameters
    ----------
    config : Config
    defaults : mapping
        Settings by class and name: ``{"Web": {"trust_proxy": True}}``.
    """
    merged = Config({name: Config(settings) for name, settings in defaults.items()})
    merged.merge(config)
    return merged


def setting(config: Config, cls: type[Configurable], name: str) -> Any:
    """Return the value of a setting, which must be in the configuration."""
    value = config[cls.__name__][name]
    if isinstance(value, DeferredConfigString):
        # From the command line, as a string that the trait parses.
        return value.get_value(cls.class_traits()[name])
    return value


def require(extra: str, *modules: str) -> None:
    """Check that the packages of an extra are installed.

    Raises
    ------
    ConfigError
        If one is not.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"{' and '.join(missing)} is not installed, which this way of running needs. "
            f"Install it with: pip install 'binderprogress[{extra}]'"
        )
