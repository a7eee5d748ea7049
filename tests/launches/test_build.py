"""A build whose process prints as fast as it can."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from pathlib import Path

from binderprogress.backends.base import BackendProfile, BuildResult, Record, ResolvedSpec
from binderprogress.backends.processes.child import Process, check_exit
from binderprogress.channels.base import Meter
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.specs import Spec, parse
from binderprogress.core.timing.priors import Expectation, Place
from binderprogress.launches.build import Build
from binderprogress.launches.build_log import BuildLog
from binderprogress.launches.channel_factory import Channels
from binderprogress.launches.event_writer import Clock, Limits

from ..support.asynchronous import asynchronous

LINES = 100_000


class Shell:
    """A builder that runs a shell command, as the real builders run their program."""

    profile = BackendProfile(typical={})

    def __init__(self, script: str) -> None:
        self._script = script

    async def resolve(self, spec: Spec) -> ResolvedSpec:
        return ResolvedSpec(spec, "0" * 40)

    async def build(self, target: ResolvedSpec) -> AsyncGenerator[Record | BuildResult, None]:
        async with Process(["sh", "-c", self._script]) as process:
            async for line in process.lines():
                yield Record("repo2docker", line)
            check_exit(await process.wait())
        yield BuildResult("image")


@asynchronous(60)
async def test_attack_a_build_that_prints_without_end_does_not_keep_others_waiting(
    tmp_path: Path,
) -> None:
    # A pipe's 64 KiB hold 32,000 lines of `yes`. If they were read at once, the server would block
    # for half a second, again and again.
    builder = Shell(f"yes | head -n {LINES}")
    log = logging.getLogger("test")
    full_log = BuildLog(tmp_path / "log", limit=2**20, meter=Meter(), log=log)
    build = Build(
        await builder.resolve(parse("gh/a/b/HEAD")),
        builder,
        expectation=Expectation(None, Place(), {}),
        clock=Clock(),
        limits=Limits(),
        timeout=50,
        full_log=full_log,
        log=log,
        channels=Channels(MemoryChannelStore()),
    )
    build.start()
    most, before = 0, build.channel.last
    while not build.task.done():
        await asyncio.sleep(0)
        most, before = max(most, build.channel.last - before), build.channel.last
    assert (await build.result()).image == "image"
    assert b"".join(full_log.read()).decode() == "y\n" * LINES
    assert most < 10_000
    build.forget()
