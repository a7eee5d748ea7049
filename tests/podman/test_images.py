"""Images have a budget. Only those that were built here are removed, and none in use."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from binderprogress.backends.repo2docker.images import LABEL, Images

from ..support.asynchronous import asynchronous
from .podman_support import Build, Podman, Repository

pytestmark = pytest.mark.podman

PREFIX = "localhost/binderprogress-prune"


@pytest.fixture
def images(podman: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Images]:
    for name, value in podman.env.items():
        monkeypatch.setenv(name, value)
    yield Images("podman", tmp_path / "used")
    for name in podman.run("images", "--format", "{{.Repository}}:{{.Tag}}").split():
        if name.startswith(PREFIX):
            podman.run("rmi", "--force", name)


def build(podman: Podman, folder: Path, name: str, *, ours: bool = True) -> str:
    """Build an image with a file of 1 MiB."""
    folder = folder / name
    folder.mkdir()
    (folder / "data").write_bytes(os.urandom(2**20))
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY data /data\n")
    label = f"--label={LABEL}=yes" if ours else "--label=other=yes"
    podman.run("build", "--format=docker", label, f"--tag={PREFIX}-{name}:1", str(folder))
    return f"{PREFIX}-{name}:1"


def used_before(images: Images, name: str, *, hours: float) -> None:
    images.use(name)
    then = time.time() - hours * 3600
    os.utime(images._file(name), (then, then))


@pytest.mark.long
@asynchronous(60)
async def test_they_are_listed_and_removed(podman: Podman, images: Images, tmp_path: Path) -> None:
    assert [one.name for one in await images.find() if one.name.startswith(PREFIX)] == []
    old, older, used = (build(podman, tmp_path, name) for name in ("old", "older", "used"))
    new = build(podman, tmp_path, "new")
    other = build(podman, tmp_path, "other", ours=False)
    for hours, name in enumerate((old, older, used), 1):
        used_before(images, name, hours=hours)
    podman.run("create", "--name=uses", used, "/data")
    try:
        found = {one.name: one for one in await images.find()}
        assert [name for name in found if name.startswith(PREFIX)] == [used, older, old, new]
        assert all(2**20 <= found[name].size < 2**21 for name in (old, older, used, new))
        assert [name for name, one in found.items() if one.in_use and name.startswith(PREFIX)] == [
            used
        ]
        total = sum(one.size for one in found.values())
        # One has to go: the least recently used one that is not in use.
        removed = await images.shrink(total - 1)
        assert [one.name for one in removed] == [older]
        assert not podman.exists("image", older)
        assert not await images.remove(found[used], unused_for=0)
        # It was just built, so a launch may be about to start it.
        assert not await images.remove(found[new])
        assert await images.remove(found[new], unused_for=0)
        for name in (old, used, other):
            assert podman.exists("image", name)
    finally:
        podman.run("rm", "--force", "uses")


@asynchronous(60)
async def test_an_engine_that_does_not_work(
    images: Images, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CONTAINERS_STORAGE_CONF", str(tmp_path / "missing" / "storage.conf"))
    (tmp_path / "missing").mkdir()
    (tmp_path / "missing" / "storage.conf").write_text('[storage]\ndriver = "no-such-driver"\n')
    assert await images.find() == []
    assert await images.shrink(0) == []


@pytest.mark.long
@asynchronous(90)
async def test_containers_of_a_killed_build_are_removed(
    podman: Podman, images: Images, tmp_path: Path
) -> None:
    """The server was killed: its supervisor ends the build, and the next start removes the rest."""
    repository = Repository(tmp_path / "slow", last="echo now asleep && sleep 600")
    before = podman.processes()
    build = Build(podman, repository, "binderprogress-killed:1", supervised=True, labelled=True)
    assert any(record["message"] == "now asleep\n" for record in build.records())
    assert len(podman.processes()) > len(before)
    assert await images.remove_stopped_builds() == 0, "it is running"
    assert build.process.stdin is not None
    build.process.stdin.close()
    assert await asyncio.to_thread(build.process.wait, 30) != 0
    assert build.process.stdout is not None
    build.process.stdout.close()
    assert podman.processes() == before
    # Another test may have stopped a build.
    assert await images.remove_stopped_builds() >= 1
    assert await images.remove_stopped_builds() == 0
