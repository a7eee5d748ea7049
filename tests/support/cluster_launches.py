"""All that a launch on Kubernetes needs, in the network of a real node.

A git server, podman for the steps of builds, a container registry, JupyterHub with KubeSpawner, and
our server: each is the real one.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from binderprogress.deploy.embedded_jupyterhub import free_ports

from ..faults.replica import Replica
from ..podman.podman_support import BASE_IMAGE, Podman, base_tar
from .cluster import Cluster
from .cluster_images import BUILD_IMAGE, build_image, pause_image
from .cluster_node import ADDRESS, ALL_END, Network, running_node
from .cluster_node_stage import stage_image
from .cluster_scene import MANIFESTS
from .gone import gone, within
from .processes import BIN, environment
from .repositories import git

__all__ = ["BINDERHUB_PYTHON", "NAMESPACE", "Launching", "launching"]

NAMESPACE = "default"
"""Of the pods of builds and of servers."""

BINDERHUB_PYTHON = os.environ.get("BINDERPROGRESS_BINDERHUB_PYTHON", "")
"""A Python that has BinderHub and this project; see tests/real/README.md."""

_CONFIGS = Path(__file__).parents[1] / "kubernetes"
_HUB_CONFIG = _CONFIGS / "jupyterhub_config.py"
_BINDERHUB_CONFIG = _CONFIGS / "binderhub_config.py"


class Launching(NamedTuple):
    """What there is.

    Attributes
    ----------
    cluster : Cluster
    files : Path
        The folder of the git server.
    files_url, hub_url, registry : str
        Addresses, that of the registry without its scheme.
    token : str
        Of our server at JupyterHub.
    socket : str
        Of podman's service.
    """

    cluster: Cluster
    files: Path
    files_url: str
    hub_url: str
    registry: str
    token: str
    socket: str
    folder: Path
    net: Network
    port: int

    def publish(self, repository: Path) -> str:
        """Have the git server serve a repository. Return its address."""
        bare = self.files / f"{repository.name}.git"
        git(repository, "clone", "--quiet", "--bare", str(repository), str(bare))
        git(bare, "update-server-info")
        return f"{self.files_url}{bare.name}"

    def server(
        self,
        folder: Path,
        kubeconfig: Path,
        namespace: str,
        *,
        standby: Mapping[str, object] | None = None,
    ) -> Replica:
        """Return our server, which can be started, killed and started again.

        Parameters
        ----------
        folder : Path
            For its files.
        kubeconfig : Path
        namespace : str
            Of the pods of builds.
        standby : mapping, optional
            Settings of `Standby`.
        """
        settings = {
            "Standalone.engine": "kubernetes",
            "Standalone.port": self.port,
            "Storage.url": f"sqlite:///{folder}/launches.sqlite",
            "Storage.log_folder": folder / "logs",
            "HubLauncher.url": self.hub_url,
            "HubLauncher.api_token": self.token,
            "KubernetesBuilder.kubeconfig": kubeconfig,
            "KubernetesBuilder.namespace": namespace,
            "KubernetesBuilder.build_image": BUILD_IMAGE,
            "KubernetesBuilder.image_prefix": f"{self.registry}/launched-",
            "KubernetesBuilder.docker_host": self.socket,
            "KubernetesBuilder.push_secret": "",
            "Registry.url": f"http://{self.registry}",
            "Web.rate_limit": 0,
        }
        config = folder / "binderprogress_config.py"
        # The pod's podman is a client of the one on the node.
        config.write_text(
            'c.KubernetesBuilder.extra_envs = {"CONTAINER_HOST": "unix:///var/run/docker.sock"}\n'
            "c.KubernetesBuilder.repo2docker_extra_args = "
            '["--config=/etc/repo2docker_config.py", "--engine=binderprogress-podman", "--push"]\n'
            + "".join(f"c.Standby.{name} = {value!r}\n" for name, value in (standby or {}).items())
        )
        variables = {**environment(folder / "cache"), "JUPYTER_CONFIG_PATH": str(folder)}
        named = {name: str(value) for name, value in settings.items()}
        return _Inside(self.net, self.port, folder, env=variables, settings=named)

    def binderhub(
        self,
        folder: Path,
        kubeconfig: Path,
        namespace: str,
        *,
        standby: Mapping[str, object] | None = None,
    ) -> Replica:
        """Return a BinderHub with our extension, as `server` does ours."""
        settings = {
            "port": self.port,
            "storage": f"sqlite:///{folder}/launches.sqlite",
            "hub_url": self.hub_url,
            "token": self.token,
            "namespace": namespace,
            "build_image": BUILD_IMAGE,
            "registry": self.registry,
            "socket": self.socket,
            "standby": standby or {},
        }
        variables = {
            **environment(folder / "cache"),
            "KUBECONFIG": str(kubeconfig),
            "TEST_SETTINGS": json.dumps(settings),
        }
        return _BinderHub(self.net, self.port, folder, env=variables, settings={})


class _Inside(Replica):
    """A server in the network of the node."""

    def __init__(
        self,
        net: Network,
        port: int,
        folder: Path,
        *,
        env: Mapping[str, str],
        settings: Mapping[str, str],
    ) -> None:
        super().__init__(folder, "server", env=env, settings=settings, prefix=net.prefix)
        self.port = port
        self.url = f"http://127.0.0.1:{port}/"


class _BinderHub(_Inside):
    """A BinderHub there."""

    def command(self) -> list[str]:
        """Return what starts it."""
        return [BINDERHUB_PYTHON, "-m", "binderhub", "--config", str(_BINDERHUB_CONFIG)]


@contextmanager
def launching(programs: Path, folder: Path) -> Iterator[Launching]:
    """Start everything but our server."""
    names = ("files", "registry", "hub", "hub-api", "proxy", "ours")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    files_url = f"http://{ADDRESS}:{ports['files']}/"
    images = [
        pause_image(folder, programs),
        stage_image(folder, programs, files_url),
        build_image(folder),
    ]
    with ExitStack() as stack:
        cluster, net = stack.enter_context(running_node(programs, folder / "cluster", images))
        stack.enter_context(net.relay(*(ports[name] for name in ("registry", "hub", "ours"))))
        files = folder / "files"
        files.mkdir()
        serve = [sys.executable, "-m", "http.server", f"--bind={ADDRESS}", f"--directory={files}"]
        cluster.run_command("files", [*serve, str(ports["files"])])
        registry = f"127.0.0.1:{ports['registry']}"
        _run_registry(cluster, folder, registry)
        podman = Podman()
        stack.callback(podman.close)
        insecure = folder / "registries.conf"
        insecure.write_text(f'[[registry]]\nlocation = "{registry}"\ninsecure = true\n')
        podman.env["CONTAINERS_REGISTRIES_CONF"] = str(insecure)
        podman.run("import", "--quiet", str(base_tar()), BASE_IMAGE, timeout=240)
        socket = stack.enter_context(podman.service(net.prefix))
        token = secrets.token_hex(16)
        _run_hub(cluster, folder, token=token, ports=ports)
        yield Launching(
            cluster,
            files,
            files_url,
            f"http://127.0.0.1:{ports['hub']}/",
            registry,
            token,
            socket.removeprefix("unix://"),
            folder,
            net,
            ports["ours"],
        )
    left = within(folder)
    assert gone(left), f"{left} are left behind"


def _run_registry(cluster: Cluster, folder: Path, address: str) -> None:
    config = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}},
        "http": {"addr": address},
    }
    path = folder / "registry.json"
    path.write_text(json.dumps(config))
    cluster.run("docker-registry", "serve", str(path))


def _run_hub(cluster: Cluster, folder: Path, *, token: str, ports: Mapping[str, int]) -> None:
    settings: dict[str, Any] = {
        "port": ports["hub"],
        "api_port": ports["hub-api"],
        "proxy_port": ports["proxy"],
        "proxy": str(BIN / "configurable-http-proxy"),
        "token": token,
        "namespace": NAMESPACE,
        "values": str(MANIFESTS / "z2jh" / "public.yaml"),
    }
    variables = {
        "KUBECONFIG": str(cluster.folder / "admin.kubeconfig"),
        "TEST_SETTINGS": json.dumps(settings),
    }
    hub = [str(BIN / "jupyterhub"), "--config", str(_HUB_CONFIG)]
    # It starts its proxy in a session of its own.
    cluster.run_command("jupyterhub", [*ALL_END, "env", *_assigned(variables), *hub])


def _assigned(variables: Mapping[str, str]) -> Sequence[str]:
    return [f"{name}={value}" for name, value in variables.items()]
