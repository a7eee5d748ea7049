"""A BinderHub on Kubernetes as its chart runs it, with our extension."""

from __future__ import annotations

import json
import os
from typing import Any

from binderprogress.ext.binderhub import install

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821 - traitlets defines it
settings = json.loads(os.environ["TEST_SETTINGS"])

install(c)
c.Storage.url = settings["storage"]
c.Standby.update(settings["standby"])
c.BinderHub.port = settings["port"]
c.BinderHub.hub_url = settings["hub_url"]
c.BinderHub.hub_api_token = settings["token"]
c.BinderHub.image_prefix = f"{settings['registry']}/binderhub-"
c.BinderHub.build_namespace = settings["namespace"]
c.DockerRegistry.url = f"http://{settings['registry']}"
c.GitRepoProvider.allowed_protocols = {"http"}
c.RateLimiter.limit = 0

# Its default build class.
c.KubernetesBuildExecutor.namespace = settings["namespace"]
c.KubernetesBuildExecutor.build_image = settings["build_image"]
c.KubernetesBuildExecutor.docker_host = settings["socket"]
c.BinderHub.push_secret = c.KubernetesBuildExecutor.push_secret = ""
# The pod's podman is a client of the one on the node.
c.KubernetesBuildExecutor.extra_envs = {"CONTAINER_HOST": "unix:///var/run/docker.sock"}
c.KubernetesBuildExecutor.repo2docker_extra_args = [
    "--config=/etc/repo2docker_config.py",
    "--engine=binderprogress-podman",
    "--push",
]
