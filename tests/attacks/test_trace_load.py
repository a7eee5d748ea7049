"""Many launches share one long build: what is made out of its log must not keep others waiting.

What one turn of the loop does is counted in calls of functions, which are the same on a slow and on
a busy machine. A hundred launches that each read the log again are ten million.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import pytest

from binderprogress.core.phases import Phase
from binderprogress.core.timing.breakdown import Trace
from binderprogress.core.timing.spans import MOST_SPANS, spans
from binderprogress.launches import Launch

from ..support.asynchronous import asynchronous
from .printing import Server, lines, reached, serving

LAUNCHES = 100
LINES = 100_000
STALL = 100_000
"""Calls that one turn of the loop may make: some 20 ms."""


class Heart:
    """Beats once in each turn of the loop, and counts the calls of the longest."""

    def __init__(self) -> None:
        self.longest = 0
        self._calls = 0
        self._handle: asyncio.Handle | None = None

    def start(self) -> None:
        # For this thread only: what runs in others makes nobody wait.
        sys.setprofile(self._count)
        self.beat()

    def beat(self) -> None:
        self.longest = max(self.longest, self._calls)
        self._calls = 0
        self._handle = asyncio.get_running_loop().call_soon(self.beat)

    def stop(self) -> None:
        sys.setprofile(None)
        self.longest = max(self.longest, self._calls)
        assert self._handle is not None
        self._handle.cancel()

    def _count(self, _frame: FrameType, event: str, _argument: object) -> None:
        if event in ("call", "c_call"):
            self._calls += 1


@contextmanager
def beating() -> Iterator[Heart]:
    heart = Heart()
    heart.start()
    try:
        yield heart
    finally:
        heart.stop()


async def ended(server: Server, log: list[str]) -> tuple[list[Launch], list[Trace], int]:
    """Let a hundred launches share a build with this log; return the longest turn of its end."""
    traces: list[Trace] = []
    server.manager.over.append(lambda _, trace: traces.append(trace))
    launches = [await server.start("shared") for _ in range(LAUNCHES)]
    server.builder.print(launches[0].spec, log)
    server.builder.print(launches[0].spec, ["the last line\n"])
    await reached(launches[0], wanted=printed)
    with beating() as heart:
        server.builder.end(launches[0].spec)
        while len(traces) < LAUNCHES:  # noqa: ASYNC110 - the loop's turns are what is looked at
            await asyncio.sleep(0)
    return launches, traces, heart.longest


async def printed(launch: Launch) -> bool:
    """Whether the build has printed all: then nothing but its end is to come."""
    if launch.build is None:
        return False
    last = await launch.build.channel.read(launch.build.channel.last - 2, limit=2)
    return any(b"the last line" in encoded.sse or b"left out" in encoded.sse for encoded in last)


@pytest.mark.long
@asynchronous(170)
async def test_attack_a_hundred_launches_share_a_long_build() -> None:
    """A class clicks on a repository whose log has 100,000 lines.

    Before, all of it was read again at the end of each launch: 9.5 s in which nobody else was
    answered.
    """
    async with serving(max_lines=2 * LINES) as server:
        launches, traces, longest = await ended(server, list(lines(LINES, "x")))
        assert longest < STALL
        # It is the same as what is made out of all events.
        events = [encoded.event for encoded in await launches[0].read(0, limit=2 * LINES)]
        assert len(events) > LINES
        whole = spans(events, began=launches[0].created)
        trace = next(trace for trace in traces if trace.id == launches[0].id)
        assert [(span.phase, span.step, span.start, span.end) for span in trace.spans] == [
            (span.phase, span.step, span.start, span.end) for span in whole
        ]
        # Who asks for the trace makes nobody wait, either.
        with beating() as heart:
            for launch in launches:
                assert launch.trace().phase is Phase.FAILED
                await asyncio.sleep(0)
        assert heart.longest < STALL
        # All of them together take less than reading the log once did, a hundred times.
        began = time.thread_time()
        for launch in launches:
            launch.trace()
        assert time.thread_time() - began < 1.0


@asynchronous(170)
async def test_attack_a_hundred_launches_share_a_log_that_is_nothing_but_steps() -> None:
    """A repository's author prints ever new steps, of which much more is to be made out."""
    steps = [
        text
        for number in range(LINES // 10)
        for text in (f"Step 1/2 : RUN {number}\n", "COMMIT something\n")
    ]
    async with serving() as server:
        launches, traces, longest = await ended(server, steps)
        assert longest < STALL
        assert all(len(trace.spans) <= MOST_SPANS for trace in traces)
        assert len(traces[-1].spans) > MOST_SPANS // 2
        assert launches[0].build is not None
        assert len(launches[0].build.writer.changes) <= 2 * MOST_SPANS + 10


@asynchronous(120)
async def test_attack_the_server_stops_while_launches_are_noted_down() -> None:
    """All end at once because the server stops: each is noted down all the same."""
    noted: list[str] = []
    async with serving() as server:
        server.manager.over.append(lambda launch, _: noted.append(launch.id))
        launches = [await server.start("shared") for _ in range(LAUNCHES)]
        server.builder.print(launches[0].spec, lines(100))
        await reached(*launches, wanted=lambda one: one.last.id > 100)
        await server.manager.close()
        assert sorted(noted) == sorted(launch.id for launch in launches)
