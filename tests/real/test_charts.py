"""Our values in the real charts of z2jh and BinderHub; see README.md for what this needs."""

from __future__ import annotations

import base64
from collections import Counter
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from ..deploy.kubernetes.test_network_policies import SERVER
from ..support.asynchronous import asynchronous
from ..support.cluster import Cluster, Namespace
from ..support.cluster_apply import apply
from ..support.kustomize import KUBERNETES, Manifest, composed, only
from ..support.network_policies import Peer, allowed
from .charts import TAG, binderhub_chart, rendered, service_chart, z2jh_chart


@pytest.fixture(scope="module")
def z2jh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return z2jh_chart(tmp_path_factory.mktemp("z2jh"))


@pytest.fixture
def control_plane(request: pytest.FixtureRequest) -> Cluster:
    """A real one, which does not start where there are no charts."""
    cluster: Cluster = request.getfixturevalue("cluster")
    return cluster


def values(path: str) -> dict[str, Any]:
    text = (KUBERNETES / path).read_text().replace("<tag>", TAG)
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


@pytest.fixture(scope="module", params=["service", "public"])
def release(request: pytest.FixtureRequest, z2jh: Path) -> list[Manifest]:
    return rendered(z2jh, values(f"z2jh/{request.param}.yaml"), "jupyterhub")


def valid(manifests: list[Manifest]) -> bool:
    version = kubernetes_validate.latest_version()
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)
    return len(manifests) > 5


def secret(manifests: list[Manifest], name: str) -> dict[str, str]:
    found = only(manifests, "Secret", name)
    data = {key: base64.b64decode(text).decode() for key, text in found.get("data", {}).items()}
    return data | found.get("stringData", {})


def test_what_z2jh_makes_of_our_values_is_valid(release: list[Manifest]) -> None:
    assert valid(release)


def test_the_token_is_where_our_deployment_reads_it(
    release: list[Manifest], tmp_path: Path
) -> None:
    ours = composed(tmp_path, ["replicas"])
    (container,) = only(ours, "Deployment")["spec"]["template"]["spec"]["containers"]
    (token,) = [each for each in container["env"] if each["name"] == "JUPYTERHUB_API_TOKEN"]
    reference = token["valueFrom"]["secretKeyRef"]
    assert len(secret(release, reference["name"])[reference["key"]]) >= 32
    (address,) = [each for each in container["env"] if each["name"] == "JUPYTERHUB_API_URL"]
    service = only(release, "Service", "hub")
    (port,) = service["spec"]["ports"]
    assert address["value"] == f"http://hub:{port['port']}/hub/api"


def test_the_network_policies_of_both_let_them_talk(
    release: list[Manifest], tmp_path: Path
) -> None:
    policies = [
        each
        for each in [*release, *composed(tmp_path, ["replicas"])]
        if each["kind"] == "NetworkPolicy"
    ]

    def peer(name: str) -> Peer:
        template = only(release, "Deployment", name)["spec"]["template"]
        (container,) = template["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        return Peer(template["metadata"]["labels"], ports=ports)

    hub, proxy = peer("hub"), peer("proxy")
    user = Peer({"app": "jupyterhub", "component": "singleuser-server", "release": "jupyterhub"})
    assert allowed(policies, SERVER, hub, hub.ports["http"])
    assert allowed(policies, proxy, SERVER, 8585)
    assert allowed(policies, hub, SERVER, 8585)
    assert not allowed(policies, user, SERVER, 8585)
    # z2jh lets nobody in without the label.
    stranger = SERVER._replace(labels={"app.kubernetes.io/name": "binderprogress"})
    assert not allowed(policies, stranger, hub, hub.ports["http"])


@pytest.mark.kubernetes
@asynchronous(120)
async def test_a_real_cluster_takes_the_hub_and_our_server(
    release: list[Manifest], tmp_path: Path, control_plane: Cluster
) -> None:
    ours = composed(tmp_path, ["replicas"])
    async with control_plane.admin() as admin, admin.namespace() as namespace:
        await apply(admin, namespace, [*release, *ours])
        await pods(namespace, {"hub": 1, "proxy": 1, "binderprogress": 2})


async def pods(namespace: Namespace, wanted: dict[str, int]) -> None:
    """Wait until the controllers have made pods, by their name without what makes it unique."""
    names: set[str] = set()

    def is_all(_: str, pod: dict[str, Any]) -> bool:
        names.add(pod["metadata"]["name"])
        made = Counter(name.rsplit("-", 2)[0] for name in names)
        return all(made[name] == number for name, number in wanted.items())

    await namespace.until(is_all)


@pytest.mark.kubernetes
@asynchronous(120)
async def test_a_real_cluster_takes_binderhub(
    binderhub: list[Manifest], control_plane: Cluster
) -> None:
    async with control_plane.admin() as admin, admin.namespace() as namespace:
        await apply(admin, namespace, binderhub)
        await pods(namespace, {"hub": 1, "proxy": 1, "binder": 1})


@pytest.fixture(scope="module")
def binderhub(z2jh: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    chart = binderhub_chart(tmp_path_factory.mktemp("binderhub"), z2jh)
    return rendered(chart, values("binderhub/values.yaml"), "binder")


def test_what_binderhubs_chart_makes_of_our_values_is_valid(binderhub: list[Manifest]) -> None:
    assert valid(binderhub)


def test_binderhub_finds_what_the_init_container_has_installed(binderhub: list[Manifest]) -> None:
    pod = only(binderhub, "Deployment", "binder")["spec"]["template"]["spec"]
    (init,) = pod["initContainers"]
    (container,) = pod["containers"]
    # The same image has the same Python.
    assert init["image"] == container["image"]
    (mount,) = init["volumeMounts"]
    (target,) = [each for each in init["command"] if each.startswith("--target=")]
    assert target == f"--target={mount['mountPath']}"
    assert {"name": mount["name"], "emptyDir": {}} in pod["volumes"]
    assert {**mount, "readOnly": True} in container["volumeMounts"]
    assert {"name": "PYTHONPATH", "value": mount["mountPath"]} in container["env"]
    ends = "TRAITLETS_APPLICATION_RAISE_CONFIG_FILE_ERROR"
    assert {"name": ends, "value": "1"} in container["env"]


def test_binderhubs_configuration_installs_it(binderhub: list[Manifest]) -> None:
    files = secret(binderhub, "binder-secret")
    given = yaml.safe_load(files["values.yaml"])["extraConfig"]["binderprogress"]
    assert given == values("binderhub/values.yaml")["extraConfig"]["binderprogress"]
    # This is what runs it.
    assert "extraConfig" in files["binderhub_config.py"]


@pytest.fixture(scope="module")
def binderhub_service(tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    chart = service_chart(tmp_path_factory.mktemp("binderhub-service"))
    return rendered(chart, values("binderhub/service-values.yaml"), "builds")


def test_what_binderhub_service_makes_of_our_values_is_valid(
    binderhub_service: list[Manifest],
) -> None:
    assert valid(binderhub_service)
    (container,) = only(binderhub_service, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example.org/binderhub-service-progress:1"
    writable = {each["mountPath"] for each in container["volumeMounts"] if not each.get("readOnly")}
    (data,) = [each["value"] for each in container["env"] if each["name"] == "XDG_DATA_HOME"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert data in writable
    files = secret(binderhub_service, only(binderhub_service, "Deployment")["metadata"]["name"])
    code = yaml.safe_load(files["chart-config.yaml"])["extraConfig"]["binderprogress"]
    assert "install(c)" in code


@pytest.mark.kubernetes
@asynchronous(120)
async def test_a_real_cluster_takes_binderhub_service(
    binderhub_service: list[Manifest], control_plane: Cluster
) -> None:
    name = only(binderhub_service, "Deployment")["metadata"]["name"]
    async with control_plane.admin() as admin, admin.namespace() as namespace:
        await apply(admin, namespace, binderhub_service)
        await pods(namespace, {name: 1})
