"""Builds in pods, with what a viewer sees of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from binderprogress.backends.base import BuildResult, Record, ResolvedSpec
from binderprogress.backends.kubernetes.builder import KubernetesBuilder
from binderprogress.core import specs
from binderprogress.core.kubernetes.names import build_name
from binderprogress.core.log.reader import Normalizer
from binderprogress.errors import LaunchFailedError

__all__ = ["COMMIT", "NAME", "RESOLVED", "Builders", "SeenBuild", "builders"]

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RESOLVED = ResolvedSpec(specs.parse("gh/user/repo/HEAD"), COMMIT)
NAME = build_name(RESOLVED.spec, COMMIT)


class SeenBuild:
    """A build that goes on in the background, and the notes that the reader makes of it.

    Attributes
    ----------
    lines : list of str
        What the build has printed.
    messages : list of str
        All that a viewer sees in the log, also what Kubernetes says.
    steps : list of str
        The labels of the steps, each once.
    result : BuildResult or None
    """

    def __init__(self, builder: KubernetesBuilder, resolved: ResolvedSpec) -> None:
        self.lines: list[str] = []
        self.messages: list[str] = []
        self.steps: list[str] = []
        self.result: BuildResult | None = None
        self._more = asyncio.Event()
        self.task = asyncio.create_task(self._read(builder, resolved))
        self.task.add_done_callback(lambda _: self._more.set())

    async def _read(self, builder: KubernetesBuilder, resolved: ResolvedSpec) -> None:
        reader = Normalizer()
        async with aclosing(builder.build(resolved)) as items:
            async for item in items:
                if isinstance(item, BuildResult):
                    self.result = item
                elif isinstance(item, Record) and (note := reader.read(item)):
                    self.messages.append(note.message.strip())
                    if isinstance(item.raw, str):
                        self.lines.append(note.message.strip())
                    if note.step and note.step.label not in self.steps[-1:]:
                        self.steps.append(note.step.label)
                self._more.set()

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until something is true of it; fails if it ends before."""
        while not condition():
            if self.task.done():
                # Raises what it has failed with.
                self.task.result()
                raise AssertionError(f"it has ended: {self.messages}")
            self._more.clear()
            await self._more.wait()

    async def says(self, text: str) -> None:
        """Wait until a viewer sees a text in the log."""
        await self.until(lambda: any(text in message for message in self.messages))

    async def step(self, label: str) -> None:
        """Wait for a step."""
        await self.until(lambda: label in self.steps)

    async def fails(self) -> LaunchFailedError:
        """Wait until it has failed, and return why."""
        with pytest.raises(LaunchFailedError) as caught:
            await self.task
        return caught.value

    async def succeeds(self) -> None:
        """Wait until there is an image."""
        await self.task
        assert self.result is not None


class Builders:
    """Makes builders. Each is that of another server."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.kubeconfig, self.namespace = kubeconfig, namespace
        self._made: list[KubernetesBuilder] = []

    def builder(self, **settings: Any) -> KubernetesBuilder:
        """Make one, with these settings."""
        defaults = {
            "kubeconfig": str(self.kubeconfig),
            "namespace": self.namespace,
            # Nothing listens there: no image exists.
            "image_prefix": "127.0.0.1:9/x-",
            "docker_host": "",
            "push_secret": "",
        }
        builder = KubernetesBuilder(**{**defaults, **settings})
        self._made.append(builder)
        return builder

    def build(self, resolved: ResolvedSpec = RESOLVED, **settings: Any) -> SeenBuild:
        """Begin a build with a builder of its own."""
        return SeenBuild(self.builder(**settings), resolved)

    async def close(self) -> None:
        """Close all of them."""
        for builder in self._made:
            await builder.close()


@asynccontextmanager
async def builders(kubeconfig: Path, namespace: str) -> AsyncIterator[Builders]:
    """Make builders, and close them in the end."""
    made = Builders(kubeconfig, namespace)
    try:
        yield made
    finally:
        await made.close()
