"""The same stage for tests of what we need from an API server: the double, and a real one.

A test plays the kubelet through `Stage`, whatever is behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from .apiserver import NAMESPACE, ApiServer, api_server
from .cluster import Cluster
from .cluster_scene import Scene, scene

__all__ = ["DoubleStage", "RealStage", "Stage"]


class Stage(Protocol):
    """What happens to pods.

    Attributes
    ----------
    kubeconfig : Path
        With the rights that a server has.
    namespace : str
    """

    kubeconfig: Path
    namespace: str

    async def bind(self, name: str) -> None:
        """Have a node take a pod, whose container is not started yet."""

    async def run(self, name: str) -> None:
        """Have a node take a pod and start its container."""

    async def say(self, name: str, reason: str, message: str) -> None:
        """Record an event about a pod."""

    async def write(self, name: str, *lines: str) -> None:
        """Have the container print lines."""

    async def write_raw(self, name: str, text: bytes) -> None:
        """Have a text in the log that need not be a line."""

    async def exit(self, name: str, code: int) -> None:
        """Have the container end."""

    async def hold(self) -> None:
        """Have containers go on when their pods are deleted."""

    async def release(self, name: str) -> None:
        """Let such a container end."""

    async def lose(self) -> None:
        """Have nodes not answer for their logs."""

    async def compact(self) -> None:
        """Have old versions forgotten."""


class DoubleStage:
    """The double; see `apiserver`."""

    def __init__(self, server: ApiServer, kubeconfig: Path) -> None:
        self.kubeconfig, self.namespace = kubeconfig, NAMESPACE
        self._server = server

    @staticmethod
    @asynccontextmanager
    async def open(folder: Path) -> AsyncIterator[DoubleStage]:
        """Set it up."""
        async with api_server(folder) as (server, config):
            yield DoubleStage(server, config)

    async def bind(self, name: str) -> None:
        self._server.bind(name)

    async def run(self, name: str) -> None:
        self._server.run(name)

    async def say(self, name: str, reason: str, message: str) -> None:
        self._server.say(name, reason, message)

    async def write(self, name: str, *lines: str) -> None:
        self._server.write(name, *lines)

    async def write_raw(self, name: str, text: bytes) -> None:
        self._server.write_raw(name, text)

    async def exit(self, name: str, code: int) -> None:
        self._server.exit(name, code)

    async def hold(self) -> None:
        self._server.holds_deleted = True

    async def release(self, name: str) -> None:
        self._server.remove(name)

    async def lose(self) -> None:
        self._server.log_status = 500

    async def compact(self) -> None:
        self._server.compact()


class RealStage:
    """A real control plane with nodes that the test plays.

    Parameters
    ----------
    there : Scene
    """

    def __init__(self, there: Scene) -> None:
        self.kubeconfig, self.namespace = there.builders.kubeconfig, there.namespace.name
        self.there = there

    @staticmethod
    @asynccontextmanager
    async def open(cluster: Cluster) -> AsyncIterator[RealStage]:
        """Set it up."""
        async with scene(cluster) as there:
            await there.kubelet.add_node("node-1")
            yield RealStage(there)

    async def bind(self, name: str) -> None:
        await self.there.kubelet.bound(name)

    async def run(self, name: str) -> None:
        await self.there.kubelet.run(name)

    async def say(self, name: str, reason: str, message: str) -> None:
        await self.there.kubelet.say(name, reason, message)

    async def write(self, name: str, *lines: str) -> None:
        self.there.kubelet.write(name, *lines)

    async def write_raw(self, name: str, text: bytes) -> None:
        self.there.kubelet.write_raw(name, text)

    async def exit(self, name: str, code: int) -> None:
        await self.there.kubelet.exit(name, code)

    async def hold(self) -> None:
        self.there.kubelet.holds_deleted = True

    async def release(self, name: str) -> None:
        await self.there.kubelet.release(await self._pod(name))

    async def lose(self) -> None:
        self.there.kubelet.log_status = 500

    async def compact(self) -> None:
        await asyncio.to_thread(self.there.cluster.compact)

    async def _pod(self, name: str) -> dict[str, Any]:
        admin = self.there.namespace.admin
        return await admin.request("GET", f"{self.there.namespace.path}/pods/{name}")
