"""A JupyterHub on Kubernetes as z2jh runs it, with the spawner of our values for it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821 - traitlets defines it
settings = json.loads(os.environ["TEST_SETTINGS"])

c.JupyterHub.bind_url = f"http://127.0.0.1:{settings['port']}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{settings['api_port']}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{settings['proxy_port']}"
c.ConfigurableHTTPProxy.command = [settings["proxy"]]
c.JupyterHub.db_url = "sqlite://"
c.JupyterHub.authenticator_class = "null"
c.JupyterHub.services = [{"name": "binderprogress", "api_token": settings["token"]}]
values = yaml.safe_load(Path(settings["values"]).read_text())
c.JupyterHub.tornado_settings = values["hub"]["config"]["JupyterHub"]["tornado_settings"]
c.JupyterHub.load_roles = [
    {"name": f"{name}-launcher", **role} for name, role in values["hub"]["loadRoles"].items()
]
# It defines the spawner.
exec(values["hub"]["extraConfig"]["binderprogress"])  # noqa: S102 - our own file
c.KubeSpawner.cmd = values["singleuser"]["cmd"]
c.KubeSpawner.namespace = settings["namespace"]
c.KubeSpawner.http_timeout = c.KubeSpawner.start_timeout = 240
c.KubeSpawner.extra_pod_config = {"terminationGracePeriodSeconds": 1}
c.KubeSpawner.uid, c.KubeSpawner.working_dir = 1000, "/home/jovyan"
c.KubeSpawner.environment = {"HOME": "/home/jovyan"}
