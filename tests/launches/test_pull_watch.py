"""The size and the time of a pull, in the step of a launch."""

from __future__ import annotations

import asyncio
from typing import Any

from binderprogress.backends.base import (
    BackendProfile,
    BuildResult,
    PairedBackend,
    Record,
    RunningServer,
)
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.phases import Phase
from binderprogress.core.specs import parse
from binderprogress.launches import Caller, Launch, LaunchManager

from ..support.asynchronous import asynchronous
from ..support.replay import PlayedBuilder, PlayedLauncher
from .parts import events_of, until


class Builder(PlayedBuilder):
    """Its registry knows how large images are."""

    profile = BackendProfile(
        typical={Phase.BUILDING: 10.0, Phase.PUSHING: 5.0, Phase.LAUNCHING: 5.0}, sizes=True
    )

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.answered = asyncio.Event()
        self.breaks = False

    async def image_size(self, image: str) -> int:
        self.asked.append(image)
        self.answered.set()
        if self.breaks:
            raise RuntimeError("The registry is not there.")
        return 1_200_000_000


def said(message: str) -> Record:
    stamp = f"2026-11-23T04:54:13Z [Normal] {message}"
    raw: dict[str, Any] = {"progress": 50, "message": stamp}
    return Record("jupyterhub", raw)


class Scene:
    def __init__(self) -> None:
        self.builder, self.launcher = Builder(), PlayedLauncher()
        self.manager = LaunchManager(
            channels=MemoryChannelStore(), backend=PairedBackend(self.builder, self.launcher)
        )
        self._count = 0

    async def pull(self, seconds: float, *, size: str = "") -> list[Any]:
        """Launch something whose image is pulled, and return its events."""
        self._count += 1
        launch: Launch = await self.manager.start(parse(f"gh/ada/penguins/{self._count}"), Caller())
        self.builder.put(BuildResult(f"registry.example/x:{self._count}"))
        await until(launch, lambda event: event.phase is Phase.LAUNCHING)
        if self.builder.profile.sizes:
            await self.builder.answered.wait()
        self.launcher.put(said("Successfully assigned ns/jupyter-ada to node-1"))
        self.launcher.put(said('Pulling image "registry.example/x:1"'))
        self.launcher.put(
            said(f'Successfully pulled image "registry.example/x:1" in {seconds}s{size}')
        )
        self.launcher.put(RunningServer("http://127.0.0.1:9/", "token"))
        return await events_of(launch)


def pulling(events: list[Any]) -> Any:
    (event,) = [event for event in events if event.step_key == "pulling"]
    return event


@asynchronous(60)
async def test_the_step_says_how_large_and_how_long() -> None:
    scene = Scene()
    first = pulling(await scene.pull(40.0))
    assert first.step.startswith("Pulling the image (1.2 GB, ~")
    size = " (81s including waiting). Image size: 1200000000 bytes."
    for _ in range(9):
        await scene.pull(80.0, size=size)
    last = pulling(await scene.pull(80.0))
    # The first one, and the first guess, still count a little.
    label, _, seconds = last.step.partition("~")
    assert label == "Pulling the image (1.2 GB, "
    assert 65.0 < float(seconds.removesuffix(" s)")) < 85.0
    assert 65.0 < last.eta < 110.0
    for _ in range(20):
        await scene.pull(240.0)
    assert pulling(await scene.pull(240.0)).step == "Pulling the image (1.2 GB, ~3 min)"
    assert scene.builder.asked[0] == "registry.example/x:1"
    await scene.manager.close()


@asynchronous(60)
async def test_if_the_size_is_not_known_the_step_is_as_always() -> None:
    scene = Scene()
    scene.builder.breaks = True
    assert pulling(await scene.pull(40.0)).step == "Pulling the image"
    scene.builder.profile = BackendProfile(typical={})
    scene.builder.asked.clear()
    assert pulling(await scene.pull(40.0)).step == "Pulling the image"
    assert scene.builder.asked == []
    await scene.manager.close()
