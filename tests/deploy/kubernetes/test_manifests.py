"""The manifests are valid, restricted, and fit each other and the documentation."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from traitlets import HasTraits
from traitlets.config import PyFileConfigLoader

from binderprogress.deploy.composition import CONFIGURABLES
from binderprogress.deploy.jupyterhub_service import JupyterHubService
from binderprogress.deploy.standalone import Standalone

from ...support.kustomize import KUBERNETES, Manifest, only, rendered
from ...support.pod_security import violations
from .conftest import WAYS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/z2jh.md").read_text()
# Of resources that a cluster has only if something else is installed.
EXTENSIONS = {
    "HTTPRoute": ("gateway.networking.k8s.io/v1", "httproutes"),
    "ServiceMonitor": ("monitoring.coreos.com/v1", "servicemonitors"),
}
# What docs/z2jh.md says how to make; z2jh makes "hub".
SECRETS = {"hub", "binderprogress", "binderprogress-registry", "binderprogress-tls"}


def pod_of(manifests: list[Manifest]) -> Any:
    return only(manifests, "Deployment")["spec"]["template"]


def container_of(manifests: list[Manifest]) -> Any:
    (container,) = pod_of(manifests)["spec"]["containers"]
    return container


def test_each_is_valid(manifests: list[Manifest]) -> None:
    version = kubernetes_validate.latest_version()
    for manifest in manifests:
        if manifest["kind"] in EXTENSIONS:
            api_version, name = EXTENSIONS[manifest["kind"]]
            assert manifest["apiVersion"] == api_version
            schema = json.loads((ROOT / f"tests/data/crds/{name}.json").read_text())
            jsonschema.validate(manifest, schema)
        else:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_a_field_that_does_not_exist_is_not_valid() -> None:
    deployment = only(rendered(KUBERNETES / "base"), "Deployment")
    del deployment["spec"]["template"]["spec"]["containers"][0]["lifecycle"]
    deployment["spec"]["template"]["spec"]["containers"][0]["lifeCycle"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="lifeCycle"):
        kubernetes_validate.validate(deployment, kubernetes_validate.latest_version(), strict=True)


def test_the_example_needs_nothing_but_what_the_page_says_before_it_is_applied() -> None:
    example = yaml.safe_load((KUBERNETES / "example/kustomization.yaml").read_text())
    assert example["components"] == []
    kinds = {each["kind"] for each in rendered(KUBERNETES / "example")}
    assert kinds >= {"Deployment", "PersistentVolumeClaim"}


def test_the_page_names_every_component() -> None:
    folders = {path.parent.name for path in KUBERNETES.glob("components/*/kustomization.yaml")}
    assert folders == {name for names in WAYS.values() for name in names}
    for name in folders:
        assert f"`{name}`" in PAGE


def test_the_pod_is_restricted(manifests: list[Manifest]) -> None:
    assert not violations(pod_of(manifests))
    for container in pod_of(manifests)["spec"]["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"]


LAXER: dict[str, tuple[str, Any]] = {
    "host network": ("spec.hostNetwork", True),
    "root": ("spec.securityContext.runAsUser", 0),
    "anyone": ("spec.securityContext.runAsNonRoot", None),
    "seccomp": ("spec.securityContext.seccompProfile", {"type": "Unconfined"}),
    "host path": ("spec.volumes.0", {"name": "config", "hostPath": {"path": "/"}}),
    "privileged": ("spec.containers.0.securityContext.privileged", True),
    "escalation": ("spec.containers.0.securityContext.allowPrivilegeEscalation", None),
    "capabilities": ("spec.containers.0.securityContext.capabilities", {"drop": ["NET_RAW"]}),
    "more": ("spec.containers.0.securityContext.capabilities.add", ["NET_ADMIN"]),
    "host port": ("spec.containers.0.ports.0.hostPort", 80),
    "other host": ("spec.containers.0.livenessProbe.httpGet.host", "169.254.169.254"),
    "AppArmor": ("spec.securityContext.appArmorProfile", {"type": "Unconfined"}),
    "SELinux": ("spec.securityContext.seLinuxOptions", {"type": "spc_t"}),
    "sysctl": ("spec.securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
}


@pytest.mark.parametrize("name", LAXER)
def test_anything_laxer_is_not_restricted(name: str, tmp_path: Path) -> None:
    pod = deepcopy(pod_of(rendered(KUBERNETES / "base")))
    path, value = LAXER[name]
    *folders, last = path.split(".")
    inner: Any = pod
    for folder in folders:
        inner = inner[int(folder)] if folder.isdigit() else inner[folder]
    if value is None:
        del inner[last]
    else:
        inner[int(last) if last.isdigit() else last] = value
    assert violations(pod)


def test_what_the_pod_refers_to_exists(manifests: list[Manifest]) -> None:
    made = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    pod = pod_of(manifests)["spec"]
    assert ("ServiceAccount", pod["serviceAccountName"]) in made
    secrets = set()
    for volume in pod["volumes"]:
        if "configMap" in volume:
            assert ("ConfigMap", volume["configMap"]["name"]) in made
        if "persistentVolumeClaim" in volume:
            assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in made
        if "secret" in volume:
            secrets.add(volume["secret"]["secretName"])
    for variable in container_of(manifests)["env"]:
        if "secretKeyRef" in variable.get("valueFrom", {}):
            secrets.add(variable["valueFrom"]["secretKeyRef"]["name"])
    assert secrets <= SECRETS
    for name in secrets - {"hub"}:
        assert re.search(rf"secret generic {name}\b|secret `{name}`", PAGE), name


def test_everything_is_in_the_namespace_of_the_release(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        if not manifest["kind"].startswith("ClusterRole"):
            assert manifest["metadata"]["namespace"] == "jupyterhub"
    roles = {(each["kind"], each["metadata"]["name"]) for each in manifests}
    bindings = [each for each in manifests if each["kind"].endswith("RoleBinding")]
    assert bindings
    for binding in bindings:
        (subject,) = binding["subjects"]
        assert subject == {
            "kind": "ServiceAccount",
            "name": "binderprogress",
            "namespace": "jupyterhub",
        }
        assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) in roles


def test_what_selects_pods_selects_ours_and_no_others(manifests: list[Manifest]) -> None:
    ours = {"app.kubernetes.io/name": "binderprogress"}
    assert ours.items() <= pod_of(manifests)["metadata"]["labels"].items()
    assert only(manifests, "Deployment")["spec"]["selector"] == {"matchLabels": ours}
    assert only(manifests, "Service")["spec"]["selector"] == ours
    for manifest in manifests:
        if manifest["kind"] == "NetworkPolicy":
            assert manifest["spec"]["podSelector"] == {"matchLabels": ours}
        if manifest["kind"] in {"PodDisruptionBudget", "ServiceMonitor"}:
            assert manifest["spec"]["selector"] == {"matchLabels": ours}
    # Of the operator's objects, by the labels of services.
    assert ours.items() <= only(manifests, "Service")["metadata"]["labels"].items()


def test_launches_can_be_handed_over_before_the_pod_is_killed(manifests: list[Manifest]) -> None:
    stop = container_of(manifests)["lifecycle"]["preStop"]["exec"]["command"]
    assert stop[0] == "sleep"
    assert pod_of(manifests)["spec"]["terminationGracePeriodSeconds"] >= int(stop[1]) + 10 + 5


def test_a_file_of_sqlite_has_one_process(manifests: list[Manifest]) -> None:
    spec = only(manifests, "Deployment")["spec"]
    claims = [each for each in manifests if each["kind"] == "PersistentVolumeClaim"]
    volumes = [each for each in spec["template"]["spec"]["volumes"] if each["name"] == "data"]
    shared = any(each["name"] == "DATABASE_URL" for each in container_of(manifests)["env"])
    if spec["replicas"] == 1:
        assert spec["strategy"] == {"type": "Recreate"}
        assert len(claims) == 1
        assert not shared
    else:
        assert shared
        assert not claims
        assert volumes == [{"name": "data", "emptyDir": {"sizeLimit": "10Gi"}}]
        budget = only(manifests, "PodDisruptionBudget")["spec"]
        assert budget["maxUnavailable"] < spec["replicas"]
        assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


@pytest.fixture
def public(way: str) -> bool:
    return "public" in WAYS[way]


def test_the_command_and_the_probes_fit(manifests: list[Manifest], public: bool) -> None:
    container = container_of(manifests)
    names = {variable["name"] for variable in container["env"]}
    prefix = "/" if public else "/services/binderprogress/"
    assert container["args"][0] == ("serve" if public else "hub-service")
    assert ("JUPYTERHUB_SERVICE_NAME" in names) is not public
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": f"{prefix}versions", "port": "http"}
    for manifest in manifests:
        if manifest["kind"] == "ServiceMonitor":
            (endpoint,) = manifest["spec"]["endpoints"]
            assert endpoint["path"] == f"{prefix}metrics"
            assert ("authorization" in endpoint) is not public
    annotations = pod_of(manifests)["metadata"].get("annotations", {})
    # Scraping needs a token as a service.
    assert annotations.get("prometheus.io/path") == ("/metrics" if public else None)


def test_the_variables_of_a_service_are_those_of_the_documentation() -> None:
    page = (ROOT / "docs/jupyterhub.md").read_text()
    named = set(re.findall(r"(?m)^export (JUPYTERHUB_\w+)=", page))
    env = container_of(rendered(KUBERNETES / "base"))["env"]
    assert {each["name"] for each in env if each["name"].startswith("JUPYTERHUB_")} == named


@pytest.mark.parametrize("file", ["base", "example"])
@pytest.mark.parametrize("service", [False, True])
def test_the_configuration_names_settings_that_exist(
    file: str, service: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db.example.org/one")
    if service:
        monkeypatch.setenv("JUPYTERHUB_SERVICE_NAME", "binderprogress")
    config = PyFileConfigLoader(
        "binderprogress_config.py", path=str(KUBERNETES / file)
    ).load_config()
    classes: dict[str, type[HasTraits]] = {
        each.__name__: each for each in [*CONFIGURABLES, Standalone, JupyterHubService]
    }
    for section, settings in config.items():
        for name in settings:
            assert classes[section].class_traits(config=True).get(name), f"{section}.{name}"
    server = config["JupyterHubService" if service else "Standalone"]
    assert server.engine == "kubernetes"
    assert config.Storage.url == config.History.url == "postgresql://db.example.org/one"
    assert ("HubLauncher" in config) is not service


def test_the_service_account_may_do_what_a_builder_needs_and_no_more() -> None:
    manifests = rendered(KUBERNETES / "base")
    kinds = [each["kind"] for each in manifests]
    assert kinds.count("Role") == kinds.count("RoleBinding") == 1
    assert not {"ClusterRole", "ClusterRoleBinding"} & set(kinds)
    shown = (ROOT / "docs/kubernetes.md").read_text()
    assert "share/binderprogress/kubernetes/base/role.yaml" in shown
