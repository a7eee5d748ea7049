"""A real BinderHub that builds on this machine, and a real JupyterHub, with a podman of their own.

It is what BinderHub's developers run without Kubernetes: its `LocalRepo2dockerBuild` builds, and
DockerSpawner with BinderHub's own mixin starts what was built. What differs is said where it does.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from ..podman import podman_support
from ..podman.podman_support import Podman
from .servers import events, free_ports, program

TOKEN = "the-binders-own-token"
ADMIN = "the-token-of-the-test"

PROXY = Path(__file__).parents[2] / "js/node_modules/.bin"
"""Where configurable-http-proxy is."""

HUB_EVENT = {
    "progress": 30,
    "message": "Created container <notebook>",
    "html_message": "Created container <code>notebook</code>",
    "raw_event": {"reason": "Created", "involvedObject": {"kind": "Pod"}, "count": 1},
}
"""What the Hub tells while a server starts."""

HUB_CONFIG = """
from binderhub.binderspawner_mixin import BinderSpawnerMixin
from dockerspawner import DockerSpawner
from jupyterhub.utils import random_port

class LocalContainerSpawner(BinderSpawnerMixin, DockerSpawner):
    # Containers have no network of their own where this is tested: each listens on a port of the
    # machine's.
    def start(self):
        self.port = random_port()
        return super().start()

    async def get_ip_and_port(self):
        return "127.0.0.1", self.port

    async def progress(self):
        # DockerSpawner has little to tell; this is what KubeSpawner does of a pod's events.
        yield {event!r}
        async for event in super().progress():
            yield event

    def get_args(self):
        return [word.replace("0.0.0.0", "127.0.0.1") for word in super().get_args()]

c.JupyterHub.spawner_class = LocalContainerSpawner
c.LocalContainerSpawner.cmd = "jupyter-lab"
c.DockerSpawner.allowed_images = "*"
c.DockerSpawner.network_name = "host"
c.DockerSpawner.pull_policy = "never"
c.DockerSpawner.remove = True
c.DockerSpawner.use_internal_ip = True
c.Spawner.http_timeout = 60
c.JupyterHub.authenticator_class = "null"
c.JupyterHub.cleanup_servers = True
c.JupyterHub.bind_url = "http://127.0.0.1:{port}/"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub_port}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.JupyterHub.db_url = "sqlite:///:memory:"
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0}}
c.JupyterHub.services = [
    {{"name": "binder", "api_token": {token!r}}},
    {{"name": "test", "admin": True, "api_token": {admin!r}}},
]
# What BinderHub's chart gives it.
c.JupyterHub.load_roles = [
    {{"name": "binder", "services": ["binder"], "scopes": ["servers", "admin:users"]}},
]
"""

BINDER_CONFIG = """
from binderhub.build_local import LocalRepo2dockerBuild
from binderhub.quota import LaunchQuota

c.BinderHub.build_class = LocalRepo2dockerBuild
c.LocalRepo2dockerBuild.repo2docker_extra_args = [
    "--config", {repo2docker!r},
    # repo2docker's own engine needs docker's buildx, or podman 5.
    "--engine", "binderprogress-podman",
]
c.BinderHub.use_registry = False
c.BinderHub.builder_required = False
c.BinderHub.launch_quota_class = LaunchQuota
c.GitRepoProvider.allowed_protocols = {{"file", "http"}}
c.BinderHub.hub_api_token = {token!r}
c.BinderHub.hub_url = "http://127.0.0.1:{hub}/"
c.BinderHub.port = {port}
c.RateLimiter.limit = 0
"""

REPO2DOCKER_CONFIG = """
from repo2docker.contentproviders import Git

# The others ask the internet whether an address is theirs.
c.Repo2Docker.content_providers = [Git]
"""


def why_not() -> str | None:
    """Say why there is no real BinderHub on podman here; None if there can be."""
    for module in ("binderhub.build_local", "dockerspawner", "repo2docker"):
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            found = None
        if found is None:
            return f"{module} is not installed; see tests/real/README.md"
    if shutil.which("configurable-http-proxy", path=_path()) is None:
        return "configurable-http-proxy is not installed"
    return podman_support.why_not()


def spec_of(url: str) -> str:
    """What BinderHub calls a git repository."""
    return f"git/{quote(url, safe='')}/HEAD"


def _path() -> str:
    return os.pathsep.join([str(Path(sys.executable).parent), str(PROXY), os.environ["PATH"]])


class LocalHub:
    """The JupyterHub, as a person with all rights sees it.

    Attributes
    ----------
    port : int
    env : dict of str to str
        What programs need to use the same podman.
    """

    def __init__(self, port: int, env: dict[str, str]) -> None:
        self.port = port
        self.env = env

    def api(self, method: str, path: str) -> Any:
        url = f"http://127.0.0.1:{self.port}/hub/api/{path}"
        headers = {"Authorization": f"token {ADMIN}"}
        answer = requests.request(method, url, headers=headers, timeout=30)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def users(self) -> set[str]:
        return {user["name"] for user in self.api("GET", "users")}

    def clear(self) -> None:
        """Stop all servers, and remove their users."""
        for user in self.users():
            self.api("DELETE", f"users/{user}")


class LocalBinder:
    """The BinderHub.

    Attributes
    ----------
    url : str
    pid : int
    """

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self.pid = 0
        self._log = log

    def builds(self) -> list[str]:
        """The lines of its log that tell of a build: its local build class writes one for each."""
        return re.findall(r"Starting build: .*", self._log.read_text())

    def servers(self) -> list[str]:
        """The lines of its log that tell of a server that it asked the Hub for."""
        return re.findall(r"Starting server for user .*", self._log.read_text())

    def build(self, spec: str) -> list[dict[str, Any]]:
        """Read its own endpoint to the end of the launch."""
        told = []
        for event in events(f"{self.url}build/{spec}"):
            told.append(event)
            if event.get("phase") in {"ready", "failed"}:
                break
        return told


@contextmanager
def jupyterhub(folder: Path, podman: Podman, docker_host: str) -> Iterator[LocalHub]:
    port, hub_port, proxy_port = free_ports(3)
    config = folder / "jupyterhub_config.py"
    ports = {"port": port, "hub_port": hub_port, "proxy_port": proxy_port}
    config.write_text(HUB_CONFIG.format(token=TOKEN, admin=ADMIN, event=HUB_EVENT, **ports))
    env = {**podman.env, "DOCKER_HOST": docker_host, "PATH": _path()}
    command = [sys.executable, "-m", "jupyterhub", "-f", str(config)]
    with program(command, f"http://127.0.0.1:{port}/hub/api/health", folder, env):
        yield LocalHub(port, env)


@contextmanager
def binderhub(folder: Path, hub: LocalHub, *, module: str = "binderhub") -> Iterator[LocalBinder]:
    """Run BinderHub, or what is given to run in its place."""
    (port,) = free_ports(1)
    repo2docker = folder / "repo2docker_config.py"
    repo2docker.write_text(REPO2DOCKER_CONFIG)
    config = folder / "binderhub_config.py"
    config.write_text(
        BINDER_CONFIG.format(token=TOKEN, hub=hub.port, port=port, repo2docker=str(repo2docker))
    )
    made = LocalBinder(f"http://127.0.0.1:{port}/", folder / "binderhub_config.log")
    command = [sys.executable, "-m", module, "-f", str(config)]
    with program(command, f"{made.url}versions", folder, hub.env) as process:
        made.pid = process.pid
        yield made
