"""The stage of `cluster_stages` on a real node: containers do what a test says."""

from __future__ import annotations

import asyncio
import shlex
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from .cluster import Cluster
from .cluster_scene import Scene, scene
from .cluster_stages import RealStage
from .container_images import busybox_image

__all__ = ["STAGE_IMAGE", "NodeStage", "stage_image"]

STAGE_IMAGE = "quay.io/x:1"

# It fetches what to do, one command after the other. Its log has nothing else.
_ACTOR = """\
#!/bin/sh
number=1
while :; do
  until wget -q -O /tmp/command "{url}$HOSTNAME.$number" 2>/dev/null; do sleep 0.1; done
  . /tmp/command
  number=$((number + 1))
done
"""


def stage_image(folder: Path, programs: Path, url: str) -> Path:
    """Write the image of the containers, which get their commands below a URL."""
    archive = folder / "stage.tar"
    files = {"bin/jupyter-repo2docker": _ACTOR.format(url=f"{url}stage/")}
    busybox = programs / "bin" / "busybox"
    busybox_image(archive, STAGE_IMAGE, busybox, command=["jupyter-repo2docker"], files=files)
    return archive


class NodeStage(RealStage):
    """A real kubelet.

    Parameters
    ----------
    there : Scene
        Without nodes of its own.
    files : Path
        The folder of the commands.
    """

    def __init__(self, there: Scene, files: Path) -> None:
        super().__init__(there)
        self._files = files
        self._number = 0

    @staticmethod
    @asynccontextmanager
    async def open_node(cluster: Cluster, files: Path) -> AsyncIterator[NodeStage]:
        """Set it up."""
        stage_files = files / "stage"
        await asyncio.to_thread(_empty, stage_files)
        async with scene(cluster) as there:
            yield NodeStage(there, stage_files)

    async def bind(self, name: str) -> None:
        pytest.skip("its container starts at once")

    async def run(self, name: str) -> None:
        await self._phase(name, "Running")

    async def write(self, name: str, *lines: str) -> None:
        self.do(name, f"printf '%s\\n' {shlex.join(lines)}")
        path = f"{self.there.namespace.path}/pods/{name}/log"
        while not (await self.there.namespace.admin.text(path)).endswith(f"{lines[-1]}\n"):
            pass  # it is asked again as soon as it has answered

    async def write_raw(self, name: str, text: bytes) -> None:
        pytest.skip("a container does not write that")

    async def exit(self, name: str, code: int) -> None:
        self.do(name, f"exit {code}")
        await self._phase(name, "Failed" if code else "Succeeded")

    async def hold(self) -> None:
        """Do nothing: the first process of a container ignores SIGTERM by itself."""

    async def release(self, name: str) -> None:
        self.do(name, "exit 0")
        await self.there.namespace.empty()

    async def lose(self) -> None:
        pytest.skip("others need the node")

    def do(self, name: str, command: str) -> None:
        """Have a container run a command."""
        self._number += 1
        path = self._files / f"{name}.{self._number}"
        new = path.with_suffix(".new")
        new.write_text(f"{command}\n")
        new.rename(path)

    async def _phase(self, name: str, phase: str) -> None:
        await self.there.namespace.until(
            lambda _, found: (
                found["metadata"]["name"] == name and found["status"].get("phase") == phase
            )
        )


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
