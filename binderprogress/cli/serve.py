"""``binderprogress serve``."""

from __future__ import annotations

from ..deploy.application import Command, ServerCommand
from ..deploy.standalone import CONFIGURABLES, Standalone

__all__ = ["ServeApp"]


class ServeApp(ServerCommand):
    """Run the server.

    It launches on the JupyterHub in c.HubLauncher.url, or on upstream BinderHubs (--upstream).
    Without either, it starts a JupyterHub on this machine.
    """

    name = "serve"
    classes = [Standalone, *CONFIGURABLES]  # noqa: RUF012 - traitlets' way
    aliases = {  # noqa: RUF012 - traitlets' way
        **Command.aliases,
        "ip": "Standalone.ip",
        "port": "Standalone.port",
        "engine": "Standalone.engine",
        "hub": "HubLauncher.url",
        "upstream": "Upstreams.urls",
    }
    flags = {  # noqa: RUF012 - traitlets' way
        **Command.flags,
        "end-launches": (
            {"Standalone": {"end_launches": True}},
            "On SIGTERM, end launches and the JupyterHub that was started, as on Ctrl-C.",
        ),
    }
    server_class = Standalone
