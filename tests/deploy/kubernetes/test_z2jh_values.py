"""The values for z2jh: their roles are those of the documentation, and launches run their image."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import yaml
from jupyterhub.objects import Server
from kubernetes_asyncio.config import kube_config
from kubespawner import KubeSpawner
from tornado.web import HTTPError
from traitlets.config import Config

from ...support.hubservice import documented
from ...support.kustomize import KUBERNETES

IMAGE = "registry.example.org/binder-ada-2dpenguins-abc123:0123456789abcdef"


KUBECONFIG = {
    "current-context": "none",
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "none"}}],
    "clusters": [{"name": "none", "cluster": {"server": "http://127.0.0.1:1"}}],
    "users": [{"name": "none", "user": {}}],
}


@pytest.fixture(autouse=True)
def no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that does not answer. Without the address of one, there is no spawner."""
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(KUBECONFIG))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(file))


def values(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((KUBERNETES / f"z2jh/{name}.yaml").read_text())
    return loaded


def spawner(name: str, **options: Any) -> Any:
    """Make the spawner that `extraConfig` defines. It only notes that it would start a pod."""
    config = Config()
    (code,) = values(name)["hub"]["extraConfig"].values()
    exec(code, {"c": config})  # noqa: S102 - our own file
    spawner_class = config.JupyterHub.spawner_class
    assert issubclass(spawner_class, KubeSpawner)

    class Recorder(spawner_class):  # type: ignore[misc, valid-type] # made above
        started = False

        async def _start(self) -> None:
            self.started = True

    async def make() -> Any:
        # It needs a running event loop.
        return Recorder(_mock=True)

    made = asyncio.run(make())
    made.user_options = options
    return made


def start(made: Any) -> str | None:
    """Start it; return the image of its pod."""
    asyncio.run(made.start())
    return str(made.image) if made.started else None


@pytest.mark.parametrize(
    ("name", "heading"), [("service", "Named servers"), ("public", "Temporary users")]
)
def test_roles_are_those_that_are_tested_with_a_real_hub(name: str, heading: str) -> None:
    config = documented(heading)
    roles = values(name)["hub"]["loadRoles"]
    (own,) = [role for role in config["load_roles"] if role["name"] == "binderprogress"]
    assert sorted(roles["binderprogress"]["scopes"]) == [
        scope.partition("!")[0] for scope in sorted(own["scopes"])
    ]
    (access,) = [role for role in config["load_roles"] if role["name"] == "launchers"]
    if name == "service":
        assert {"self", *access["scopes"]} == set(roles["user"]["scopes"])
        service = values(name)["hub"]["services"]["binderprogress"]
        assert service["oauth_no_confirm"] is config["services"][0]["oauth_no_confirm"]
        assert values(name)["hub"]["allowNamedServers"] is config["allow_named_servers"]


def test_the_address_is_that_of_the_service() -> None:
    service = yaml.safe_load((KUBERNETES / "base/service.yaml").read_text())
    (port,) = service["spec"]["ports"]
    url = values("service")["hub"]["services"]["binderprogress"]["url"]
    assert url == f"http://{service['metadata']['name']}:{port['port']}"


@pytest.mark.parametrize("name", ["service", "public"])
def test_the_image_of_a_launch_is_run(name: str) -> None:
    assert start(spawner(name, image=IMAGE, token="secret")) == IMAGE


def test_other_servers_have_their_own_image() -> None:
    made = spawner("service")
    made.image = "quay.io/jupyterhub/k8s-singleuser-sample:4"
    assert start(made) == "quay.io/jupyterhub/k8s-singleuser-sample:4"


@pytest.mark.parametrize(
    "image",
    [
        "docker.io/attacker/miner:1",
        f"docker.io/{IMAGE}",
        f"{IMAGE}\nx",
        "registry.example.org/other:1",
        "registryXexample.org/binder-a:1",
        "",
        ["x"],
    ],
)
def test_attack_an_image_of_another_registry(image: Any) -> None:
    made = spawner("service", image=image)
    with pytest.raises(HTTPError, match="not allowed"):
        start(made)
    assert not made.started


@pytest.mark.parametrize("options", [{"image": IMAGE}, {"image": IMAGE, "token": ""}, {}])
def test_attack_a_server_without_a_token(options: dict[str, Any]) -> None:
    made = spawner("public", **options)
    with pytest.raises(HTTPError, match="required"):
        start(made)
    assert not made.started


def test_the_token_of_a_launch_opens_its_server() -> None:
    made = spawner("public", image=IMAGE, token="secret")
    made.server = Server(base_url="/user/ada/")
    made.args = ["--more"]
    assert "--ServerApp.base_url=/user/ada/" in made.get_args()
    assert "--IdentityProvider.token=secret" in made.get_args()
    assert made.get_args()[-1] == "--more"
    assert values("public")["singleuser"]["cmd"] == ["jupyter-lab"]
