"""The files of the example with several replicas are valid, and fit each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from traitlets import HasTraits
from traitlets.config import PyFileConfigLoader

from binderprogress.deploy.composition import CONFIGURABLES
from binderprogress.deploy.standalone import Standalone

from ..support.nginx import EXAMPLE as NGINX

FOLDER = NGINX.parent
REPLICAS = {"one", "two"}


@pytest.fixture
def compose() -> dict[str, Any]:
    """The Compose file, with its anchors resolved."""
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return loaded


def test_the_compose_file_is_valid(compose: dict[str, Any]) -> None:
    # The parser does not resolve merge keys.
    parsed = PyCompose.from_yaml(yaml.safe_dump(compose))
    parsed.validate()
    assert set(parsed.service_names()) == {*REPLICAS, "proxy", "database"}


def test_both_replicas_are_the_same(compose: dict[str, Any]) -> None:
    one, two = ({**compose["services"][name]} for name in sorted(REPLICAS))
    for service in (one, two):
        del service["hostname"], service["networks"]
    assert one == two


def test_docker_waits_until_a_replica_has_drained(compose: dict[str, Any]) -> None:
    for name in REPLICAS:
        seconds = compose["services"][name]["stop_grace_period"].removesuffix("s")
        assert int(seconds) > 10


def test_what_is_mounted_exists(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (FOLDER / source).is_file() if "/" in source else source in compose["volumes"]


def test_nginx_asks_both_replicas(compose: dict[str, Any]) -> None:
    servers = re.findall(r"server (\w+):8585", NGINX.read_text())
    assert set(servers) == REPLICAS
    (port,) = compose["services"]["proxy"]["ports"]
    assert port.endswith(":80")
    assert "listen 80;" in NGINX.read_text()


def test_the_configuration_names_settings_that_exist(
    compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in REPLICAS:
        for variable, value in compose["services"][name]["environment"].items():
            monkeypatch.setenv(variable, value)
    config = PyFileConfigLoader("binderprogress_config.py", path=str(FOLDER)).load_config()
    classes: dict[str, type[HasTraits]] = {
        each.__name__: each for each in [*CONFIGURABLES, Standalone]
    }
    assert config.Upstreams.urls
    assert config.Storage.url.startswith("postgresql://")
    for section, settings in config.items():
        for name in settings:
            assert classes[section].class_traits(config=True).get(name), f"{section}.{name}"


def test_the_page_shows_all_files() -> None:
    page = (Path(__file__).parents[2] / "docs/replicas.md").read_text()
    shown = set(re.findall(r"literalinclude\} examples/replicas/(\S+)", page))
    assert shown == {file.name for file in FOLDER.iterdir() if file.is_file()}
