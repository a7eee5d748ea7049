"""One resumable event stream from a repository to a running Jupyter server.

The names in ``__all__`` are the public Python API. Everything else is private and may change at any
time. Modules are imported when a name is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .backends.base import (
        Attempt,
        Backend,
        BackendProfile,
        Builder,
        BuildResult,
        Launcher,
        LaunchRequest,
        PairedBackend,
        Record,
        ResolvedSpec,
        RunningServer,
        WaitForTurn,
    )
    from .backends.kubernetes.pod_builder import PodBuild, PodBuilder, PodProgram, PodVolume
    from .channels.base import ChannelStore
    from .channels.memory import MemoryChannelStore
    from .client import AsyncClient, Client, JupyterServer, LaunchHandle, LaunchSnapshot
    from .core.events import Encoded, Event
    from .core.phases import Phase
    from .core.specs import Spec
    from .core.timing.spans import PastLaunch
    from .errors import (
        BadRequestError,
        BinderProgressError,
        ChannelConflictError,
        ChannelNotFoundError,
        ConfigError,
        LaunchFailedError,
        NotFoundError,
        RefusedError,
        ServerStoppingError,
        ServerUnreachableError,
        SpecError,
        StorageError,
        TooManyRequestsError,
    )
    from .history.store import HistoryStore, NoHistory
    from .launches import Caller, LaunchManager
    from .web.access import Access

__all__ = [
    "Access",
    "AsyncClient",
    "Attempt",
    "Backend",
    "BackendProfile",
    "BadRequestError",
    "BinderProgressError",
    "BuildResult",
    "Builder",
    "Caller",
    "ChannelConflictError",
    "ChannelNotFoundError",
    "ChannelStore",
    "Client",
    "ConfigError",
    "Encoded",
    "Event",
    "HistoryStore",
    "JupyterServer",
    "LaunchFailedError",
    "LaunchHandle",
    "LaunchManager",
    "LaunchRequest",
    "LaunchSnapshot",
    "Launcher",
    "MemoryChannelStore",
    "NoHistory",
    "NotFoundError",
    "PairedBackend",
    "PastLaunch",
    "Phase",
    "PodBuild",
    "PodBuilder",
    "PodProgram",
    "PodVolume",
    "Record",
    "RefusedError",
    "ResolvedSpec",
    "RunningServer",
    "ServerStoppingError",
    "ServerUnreachableError",
    "Spec",
    "SpecError",
    "StorageError",
    "TooManyRequestsError",
    "WaitForTurn",
    "__version__",
]

_MODULES = {
    "backends.base": [
        *("Attempt", "Backend", "BackendProfile", "BuildResult", "Builder", "LaunchRequest"),
        *("Launcher", "PairedBackend", "Record", "ResolvedSpec", "RunningServer", "WaitForTurn"),
    ],
    "backends.kubernetes.pod_builder": ["PodBuild", "PodBuilder", "PodProgram", "PodVolume"],
    "channels.base": ["ChannelStore"],
    "channels.memory": ["MemoryChannelStore"],
    "client": ["AsyncClient", "Client", "JupyterServer", "LaunchHandle", "LaunchSnapshot"],
    "core.events": ["Encoded", "Event"],
    "core.phases": ["Phase"],
    "core.specs": ["Spec"],
    "errors": [
        *("BadRequestError", "BinderProgressError", "ConfigError", "LaunchFailedError"),
        *("NotFoundError", "RefusedError", "ServerUnreachableError", "SpecError"),
        *("ServerStoppingError",),
        *("TooManyRequestsError", "StorageError", "ChannelConflictError", "ChannelNotFoundError"),
    ],
    "core.timing.spans": ["PastLaunch"],
    "history.store": ["HistoryStore", "NoHistory"],
    "launches": ["Caller", "LaunchManager"],
    "web.access": ["Access"],
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
