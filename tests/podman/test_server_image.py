"""The image of the server starts as the manifests start it."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import requests

from binderprogress._version import __version__
from binderprogress.deploy.embedded_jupyterhub import free_ports

from ..support.kustomize import KUBERNETES, composed, only
from .podman_support import Podman
from .server_image import IMAGE, build

pytestmark = [
    pytest.mark.podman,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        not os.environ.get("BINDERPROGRESS_TEST_IMAGE"),
        reason="it takes minutes; `make test-image` runs it",
    ),
]


@pytest.fixture(scope="module")
def image(podman: Podman, tmp_path_factory: pytest.TempPathFactory) -> str:
    build(podman, tmp_path_factory.mktemp("context"))
    return IMAGE


@pytest.fixture(scope="module", params=["service", "public"])
def manifest(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    components = ["public"] if request.param == "public" else []
    made = composed(tmp_path_factory.mktemp(request.param), components)
    found: dict[str, Any] = only(made, "Deployment")
    return found


class Container(NamedTuple):
    """How podman starts what the manifests describe."""

    options: list[str]
    command: list[str]
    url: str


@pytest.fixture(scope="module")
def container(manifest: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Container:
    """What podman is told of the pod: its user, its rights, its variables and its volumes."""
    spec = manifest["spec"]["template"]["spec"]
    (described,) = spec["containers"]
    pod, own = spec["securityContext"], described["securityContext"]
    assert own["readOnlyRootFilesystem"]
    assert own["allowPrivilegeEscalation"] is False
    user = f"{pod['runAsUser']}:{pod['runAsGroup']}"
    given = [f"--user={user}", "--read-only", "--read-only-tmpfs=false"]
    given += ["--security-opt=no-new-privileges", "--group-add", str(pod["fsGroup"])]
    given += [f"--cap-drop={name}" for name in own["capabilities"]["drop"]]
    values = {each["name"]: each.get("value", "jupyterhub") for each in described["env"]}
    folder = tmp_path_factory.mktemp("volumes")
    for mount in described["volumeMounts"]:
        source = folder / mount["name"]
        source.mkdir()
        # As the kubelet makes an `emptyDir` for `fsGroup`.
        os.chown(source, 0, pod["fsGroup"])
        source.chmod(0o2775)
        mode = ":ro" if mount.get("readOnly") else ""
        given.append(f"--volume={source}:{mount['mountPath']}{mode}")
    config = (KUBERNETES / "base/binderprogress_config.py").read_text()
    (folder / "config/binderprogress_config.py").write_text(config)
    (port,) = free_ports(1)
    # There are no networks of their own for containers here, no JupyterHub, and no cluster.
    url = f"http://127.0.0.1:{port}"
    values["JUPYTERHUB_API_URL"] = "http://127.0.0.1:1/hub/api"
    command = list(described["args"])
    if "JUPYTERHUB_SERVICE_URL" in values:
        values["JUPYTERHUB_SERVICE_URL"] = url
    else:
        command += ["--ip=127.0.0.1", f"--port={port}"]
    given += [f"--env={name}={value}" for name, value in values.items()]
    return Container(given, command, url)


@contextlib.contextmanager
def running(podman: Podman, container: Container) -> Iterator[str]:
    """Run the server in a container; gives its name, and stops it."""
    name = podman.run("run", "--detach", *container.options, IMAGE, *container.command).strip()
    try:
        yield name
    finally:
        podman.run("rm", "--force", "--time=0", name)


def answer(url: str, podman: Podman, name: str) -> requests.Response:
    """Ask until it answers, as a probe does."""
    until = time.monotonic() + 120
    while True:
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(url, timeout=30)
        log = podman.run("logs", name)
        assert podman.run("inspect", "--format={{.State.Running}}", name) == "true\n", log
        assert time.monotonic() < until, log
        time.sleep(0.2)


def test_the_server_answers_and_stops(
    podman: Podman, image: str, manifest: dict[str, Any], container: Container
) -> None:
    (described,) = manifest["spec"]["template"]["spec"]["containers"]
    path = described["readinessProbe"]["httpGet"]["path"]
    with running(podman, container) as name:
        versions = answer(f"{container.url}{path}", podman, name)
        assert (versions.status_code, versions.json()["binderprogress"]) == (200, __version__)
        health = requests.get(container.url + path.replace("versions", "health"), timeout=60)
        checks = {check["service"]: check["ok"] for check in health.json()["checks"]}
        # Neither JupyterHub nor the cluster is there.
        assert checks == {"launches": True, "JupyterHub API": False, "builder": False}
        assert "in memory" not in podman.run("logs", name)
        began = time.monotonic()
        podman.run("stop", "--time=60", name)
        assert time.monotonic() - began < 30
        state = json.loads(podman.run("inspect", name))[0]["State"]
        assert state["ExitCode"] == 0, podman.run("logs", name)


def test_every_hook_of_the_manifest_runs(
    podman: Podman, image: str, manifest: dict[str, Any], container: Container
) -> None:
    (described,) = manifest["spec"]["template"]["spec"]["containers"]
    command = described["lifecycle"]["preStop"]["exec"]["command"]
    podman.run("run", "--rm", *container.options, f"--entrypoint={command[0]}", IMAGE, "0")


@pytest.mark.long
def test_the_image_has_what_it_needs_and_no_more(podman: Podman, image: str) -> None:
    config = json.loads(podman.run("image", "inspect", image))[0]["Config"]
    # Kubernetes checks `runAsNonRoot` by the number.
    assert config["User"] == "1000:1000"
    unwanted = "cc gcc g++ make pip uv npm curl"
    script = f"for name in {unwanted}; do command -v $name && exit 1; done; git --version"
    assert "git version" in podman.run("run", "--rm", "--entrypoint=sh", image, "-c", script)
    # Nothing that a server needs writes to the image, and all bytecode is there.
    compiled = "import binderprogress.web.app as m; print(m.__spec__.cached)"
    path = podman.run("run", "--rm", "--read-only", "--entrypoint=python", image, "-c", compiled)
    podman.run("run", "--rm", "--entrypoint=test", image, "-f", path.strip())
