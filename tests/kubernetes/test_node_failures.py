"""Builds that fail on a real node: each ends with its sentence, and leaves nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from ..support.asynchronous import asynchronous
from ..support.cluster_builds import NAME, SeenBuild
from ..support.cluster_launches import Launching
from ..support.cluster_node_stage import STAGE_IMAGE, NodeStage

pytestmark = [pytest.mark.kubernetes, pytest.mark.podman, pytest.mark.timeout(900)]

GROWS = "x=0123456789abcdef; while :; do x=$x$x; done"


@asynccontextmanager
async def building(node: Launching, **settings: Any) -> AsyncIterator[tuple[NodeStage, SeenBuild]]:
    """Begin a build, whose container does what the test says."""
    async with NodeStage.open_node(node.cluster, node.files) as stage:
        build = stage.there.builders.build(**{"build_image": STAGE_IMAGE, **settings})
        yield stage, build
        await stage.there.namespace.empty()


@pytest.mark.parametrize(
    "command",
    [GROWS, f"({GROWS}); echo it goes on; exit 0"],
    ids=["the first process", "a child, and the first process exits with 0"],
)
@asynchronous(60)
async def test_a_build_that_needs_too_much_memory(node: Launching, command: str) -> None:
    async with building(node, resources={"limits": {"memory": "32Mi"}}) as (stage, build):
        await stage.run(NAME)
        stage.do(NAME, command)
        error = await build.fails()
        assert error.reason == "out-of-memory"
        assert str(error) == "There was not enough memory."


@asynchronous(60)
async def test_a_build_whose_deadline_passes(node: Launching) -> None:
    async with building(node, active_deadline=5) as (stage, build):
        await stage.run(NAME)
        await stage.write(NAME, "one")
        error = await build.fails()
        assert build.lines == ["one"]
        assert error.reason == "build-timeout"
        assert str(error) == "The build took too long."


@pytest.mark.parametrize(
    ("image", "reason", "sentence"),
    [
        (
            "{registry}/no/such:1",
            "image-pull-failed",
            "The image {registry}/no/such:1 could not be found or pulled.",
        ),
        (
            "10.99.0.1:9/nowhere:1",
            "image-pull-failed",
            "The image 10.99.0.1:9/nowhere:1 could not be pulled: its registry does not answer.",
        ),
        (
            "Not/Valid:1",
            "image-name-invalid",
            "Not/Valid:1 is not a valid name of an image.",
        ),
    ],
    ids=["no image", "no registry", "no name"],
)
@asynchronous(60)
async def test_an_image_of_builds_that_cannot_be_pulled(
    node: Launching, image: str, reason: str, sentence: str
) -> None:
    settings = {"build_image": image.format(registry=node.registry), "start_timeout": 3.0}
    async with building(node, **settings) as (_, build):
        error = await build.fails()
        assert (error.reason, str(error)) == (reason, sentence.format(registry=node.registry))
