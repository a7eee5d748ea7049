"""Configuration of a JupyterHub with KubeSpawner, for `test_kubespawner.py`.

The repository of a launch names a kind of failure, and a hook changes the pod so that it fails in
this way.
"""

from __future__ import annotations

import os
from typing import Any

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821 - traitlets defines it

c.JupyterHub.bind_url = os.environ["BIND_URL"]
c.JupyterHub.hub_bind_url = os.environ["HUB_URL"]
c.ConfigurableHTTPProxy.api_url = os.environ["PROXY_API_URL"]
c.ConfigurableHTTPProxy.command = [os.environ["PROXY"]]
c.JupyterHub.db_url = "sqlite://"
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
c.JupyterHub.authenticator_class = "null"
c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.JupyterHub.allow_named_servers = True
c.JupyterHub.cleanup_servers = True
c.JupyterHub.services = [{"name": "launcher", "api_token": os.environ["TOKEN"]}]
c.JupyterHub.load_roles = [
    {
        "name": "launcher",
        "services": ["launcher"],
        "scopes": ["admin:users", "admin:servers", "read:servers"],
    }
]
c.KubeSpawner.namespace = os.environ["NAMESPACE"]
c.KubeSpawner.image_pull_policy = "IfNotPresent"
c.KubeSpawner.start_timeout = int(os.environ["START_TIMEOUT"])
c.Spawner.http_timeout = 5
c.KubeSpawner.extra_pod_config = {"terminationGracePeriodSeconds": 1}

_IMAGE = os.environ["IMAGE"]
_SLEEP = ["sh", "-c", "sleep 600"]
_KINDS: dict[str, dict[str, Any]] = {
    "no-image": {"image": "localhost/kim/nosuch:1"},
    "bad-image-name": {"image": "Kim/Lab:1"},
    "gpu": {"extra_resource_limits": {"nvidia.com/gpu": "1"}},
    "cpu": {"cpu_guarantee": 1000.0, "cpu_limit": 1000.0},
    "selector": {"node_selector": {"kim.example.org/pool": "users"}},
    "secret": {
        "volumes": [{"name": "etc-kim", "secret": {"secretName": "kim-nosuch"}}],
        "volume_mounts": [{"name": "etc-kim", "mountPath": "/etc/kim"}],
    },
    "claim": {
        "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "claim-kim"}}],
        "volume_mounts": [{"name": "home", "mountPath": "/home/kim"}],
    },
    "config-map": {
        "extra_container_config": {"envFrom": [{"configMapRef": {"name": "kim-settings"}}]}
    },
    "crash": {"cmd": ["sh", "-c", "exit 3"]},
    "silent": {},
    "quota": {"cpu_guarantee": 1.0, "cpu_limit": 64.0},
    "service-account": {"service_account": "nosuch"},
}


def _prepare(spawner: Any) -> None:
    kind = spawner.user_options["repo_url"].rpartition("/")[2]
    spawner.image, spawner.cmd = _IMAGE, _SLEEP
    for name, value in _KINDS[kind].items():
        setattr(spawner, name, value)


c.Spawner.pre_spawn_hook = _prepare
