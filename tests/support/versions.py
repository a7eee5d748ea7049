"""A repository whose branch moves, on a server that offers the earlier version."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
from playwright.sync_api import Page

from binderprogress.backends.base import BuildResult, Environment, ResolvedSpec, WaitForTurn
from binderprogress.core.specs import Spec

from .replay import PlayedBuilder, Stage, stage
from .widget import SPEC

__all__ = ["AGE", "OFFERS", "OLD", "Versions", "launch_the_old_version", "versions"]

OLD, NEW = "a" * 40, "b" * 40

OFFERS = {"LaunchManager": {"offer_earlier": True}}
"""The settings of a server that offers earlier versions."""

AGE = 3 * 24 * 3600
"""How old the earlier version is, in seconds."""


class Versions(PlayedBuilder):
    """A repository whose branch moves from one commit to the next."""

    profile = msgspec.structs.replace(PlayedBuilder.profile, finds=True)

    def __init__(self) -> None:
        super().__init__()
        self.head = OLD
        then = time.time() - AGE
        self.found = Environment("image", "podman", built=then, committed=then)

    async def resolve(self, spec: Spec) -> ResolvedSpec:
        return ResolvedSpec(spec, spec.ref if len(spec.ref) == 40 else self.head)

    async def find(self, resolved: ResolvedSpec) -> Environment | None:
        return self.found if resolved.commit == OLD else None

    async def build(self, resolved: ResolvedSpec) -> AsyncGenerator[Any, None]:
        if resolved.commit == OLD:
            yield BuildResult("image", found=True)
            return
        yield WaitForTurn()
        async for item in self._play(BuildResult):
            yield item


def launch_the_old_version(page: Page, play: Stage) -> None:
    """Launch the old version, and move the branch."""
    assert isinstance(play.builder, Versions)
    play.serve()
    started = page.request.post(f"{play.url}api/launches", data={"spec": SPEC}).json()
    events = page.request.get(f"{play.url}api/launches/{started['id']}/events").text()
    assert '"phase":"ready"' in events
    play.builder.head = NEW


@contextmanager
def versions(page: Page) -> Iterator[Stage]:
    """Run a server on which the old version was launched, and the branch has moved since."""
    with stage(builder=Versions(), **OFFERS) as play:
        launch_the_old_version(page, play)
        yield play
