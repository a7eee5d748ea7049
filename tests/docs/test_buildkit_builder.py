"""The example of another program in build pods, in `docs/extending.md`, works."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from traitlets import TraitError

from binderprogress.backends.kubernetes.builder import KubernetesBuilder
from binderprogress.errors import ConfigError

from ..support.apiserver import ApiServer, api_server
from ..support.asynchronous import asynchronous
from ..support.cluster_builds import COMMIT, NAME, SeenBuild, builders

EXAMPLES = Path(__file__).parents[2] / "docs/examples"


@asynccontextmanager
async def building(
    folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> AsyncIterator[tuple[ApiServer, SeenBuild]]:
    """Begin a build in a pod that runs the example."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    settings = {"pod_builder": "buildkit_builder.BuildKitBuilder", **settings}
    async with (
        api_server(folder) as (server, kubeconfig),
        builders(kubeconfig, "builds") as made,
    ):
        build = made.build(build_image="moby/buildkit:rootless", **settings)
        await server.created()
        yield server, build


@asynchronous(20)
async def test_buildkit_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"push_secret": "registry", "extra_envs": {"HTTPS_PROXY": "http://proxy:3128"}}
    async with building(tmp_path, monkeypatch, **settings) as (server, build):
        spec = server.pods[NAME]["spec"]
        (container,) = spec["containers"]
        assert container["image"] == "moby/buildkit:rootless"
        assert container["command"] == ["buildctl-daemonless.sh"]
        assert f"--opt=context=https://github.com/user/repo.git#{COMMIT}" in container["args"]
        image = server.pods[NAME]["metadata"]["annotations"]["binderprogress/image"]
        assert f"--output=type=image,name={image},push=true" in container["args"]
        assert {each["name"]: each["value"] for each in container["env"]} == {
            "HTTPS_PROXY": "http://proxy:3128",
            "BUILDKITD_FLAGS": "--oci-worker-no-process-sandbox",
        }
        assert spec["volumes"] == [{"name": "docker-config", "secret": {"secretName": "registry"}}]
        assert container["volumeMounts"] == [
            {
                "name": "docker-config",
                "mountPath": "/home/user/.docker/config.json",
                "subPath": "config.json",
            }
        ]
        server.run(NAME)
        server.write(NAME, "#5 [1/3] FROM docker.io/library/python:3.13", "#6 [2/3] RUN pip list")
        await build.step("Step 2 of 3")
        server.exit(NAME)
        await build.succeeds()
        assert NAME not in server.pods


@pytest.mark.parametrize(
    ("code", "message"),
    [(127, "The build image has no BuildKit."), (1, "The build failed.")],
)
@asynchronous(20)
async def test_an_exit_code_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, message: str
) -> None:
    async with building(tmp_path, monkeypatch) as (server, build):
        server.run(NAME)
        server.exit(NAME, code)
        assert str(await build.fails()) == message


def test_a_class_that_is_no_builder_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"pod_builder is _NoBuilder, which lacks"):
        KubernetesBuilder(image_prefix="r/x-", pod_builder=_NoBuilder)
    with pytest.raises(TraitError, match=r"'no\.Such' could not be imported"):
        KubernetesBuilder(image_prefix="r/x-", pod_builder="no.Such")


class _NoBuilder:
    def __init__(self, *, parent: KubernetesBuilder) -> None:
        pass
