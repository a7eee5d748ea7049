"""``binderprogress hub-service``."""

from __future__ import annotations

from ..ext.hubservice import HubService
from ..ext.standalone import CONFIGURABLES
from .base import Command
from .serve import ServeApp

__all__ = ["HubServiceApp"]


class HubServiceApp(ServeApp):
    """Run the server as a service of a JupyterHub, which starts it by this command.

    It reads the variables that the Hub sets for its services: JUPYTERHUB_SERVICE_PREFIX and others.
    """

    name = "hub-service"
    description = __doc__ or ""
    classes = [HubService, *CONFIGURABLES]  # noqa: RUF012 - traitlets' way
    aliases = {  # noqa: RUF012 - traitlets' way
        **Command.aliases,
        "ip": "HubService.ip",
        "port": "HubService.port",
        "engine": "HubService.engine",
        "upstream": "Upstreams.urls",
    }
    server_class = HubService
