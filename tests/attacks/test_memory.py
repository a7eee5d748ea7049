"""Somebody fills the server's memory: with launches that are over or run, or with readers."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterable

import pytest

from binderprogress.errors import NotFoundError, TooManyRequestsError
from binderprogress.launches import Fanout, Launch

from ..launches.parts import WITHIN
from ..launches.test_fanout import Kept, Numbers, Settings
from ..support.asynchronous import asynchronous
from .printing import lines, logged, reached, serving, spec

MIB = 2**20
LINES = 10_000


def traced() -> int:
    """Return how many bytes of memory this process has asked for, and not given back."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def tracing() -> Iterable[None]:
    gc.collect()
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.long
@pytest.mark.usefixtures("tracing")
@asynchronous(170)
async def test_attack_launch_after_launch_with_a_long_log() -> None:
    """A repository's author, or anybody with a link, launches repositories that print a lot.

    They ask for all of them all the time, so that none is forgotten. Before, each took 12 MB for an
    hour after the last question.
    """
    budget = 6 * MIB
    async with serving(memory_budget=budget) as server:
        before = traced()
        launches: list[Launch] = []
        for number in range(10):
            launches.append(await server.run(number, lines(LINES // 5)))
            for launch in launches:
                try:
                    server.manager.get(launch.id).state()
                except NotFoundError:
                    assert launch is not launches[-1]
            counted = server.manager.budgets.memory.meter.used
            assert counted <= budget
            # What is counted is what there is, and some more for the code that runs.
            assert traced() - before < budget + MIB
        # The newest is there, whole; the oldest went.
        newest = server.manager.get(launches[-1].id)
        assert newest.last.id > LINES // 5
        assert len(await newest.read(0, limit=LINES)) == newest.last.id
        with pytest.raises(NotFoundError):
            server.manager.get(launches[0].id)


@asynchronous(60)
async def test_attack_polling_does_not_keep_what_is_over() -> None:
    """Whoever has launched asks for it again and again, as for thousands of others."""
    async with serving(forget_after=2.0) as server:
        launch = await server.run("polled", lines(10))
        server.manager.get(launch.id)
        # It is there, and may be looked at …
        with pytest.raises(NotFoundError):
            async with asyncio.timeout(WITHIN):
                while True:
                    server.manager.get(launch.id)
                    await asyncio.sleep(0.05)


@asynchronous(120)
async def test_attack_others_logs_take_no_running_launch_with_them() -> None:
    """Somebody fills the memory; a launch that runs meanwhile keeps all that its viewers read."""
    async with serving(memory_budget=4 * MIB) as server:
        running = await server.start("innocent")
        server.builder.print(running.spec, lines(100, "innocent"))
        await reached(running, wanted=lambda launch: launch.last.id >= 100)
        for number in range(3):
            await server.run(number, lines(LINES))
        assert server.manager.get(running.id) is running
        server.builder.print(running.spec, lines(100, "later"))
        server.builder.end(running.spec)
        await server.over(running)
        text = "".join(encoded.event.message for encoded in await running.read(0, limit=LINES))
        assert text.count("innocent") > text.count("later") >= 100
        assert "no room" not in text


@pytest.mark.fault(
    part="Builds",
    fault="flood their logs",
    promise=(
        "memory stays within its budget, the streams say that they are cut, and short logs go on"
    ),
)
@asynchronous(120)
async def test_attack_builds_that_print_side_by_side() -> None:
    """Running builds alone are more than the budget: nobody's launch is forgotten for them.

    Their streams are cut, the longest first, and say so; builds go on, and the full log has it all.
    As long as there is no room, no more launches are started.
    """
    budget = 4 * MIB
    async with serving(memory_budget=budget) as server:
        small = await server.start("small")
        server.builder.print(small.spec, lines(50, "small"))
        large = [await server.start(number) for number in range(4)]
        for number in range(10):
            for launch in large:
                server.builder.print(
                    launch.spec, [*lines(LINES // 10), f"round {number} is over\n"]
                )
            over = f"round {number} is over".encode()
            await reached(*large, wanted=lambda one, over=over: logged(one, over))
        meter = server.manager.budgets.memory.meter
        # They are cut at their share; what tells that they are is a bit more.
        assert meter.used < budget + MIB // 16
        for launch in large:
            text = "".join(encoded.event.message for encoded in await launch.read(0, limit=LINES))
            assert text.count("[This server has no room for more of this log; ") == 1
        # A log that is short goes on.
        server.builder.print(small.spec, lines(50, "small"))
        await reached(small, wanted=lambda launch: launch.last.id >= 100)
        # Until the large ones are full to the last byte, and have to go.
        assert meter.used < budget
        for launch in [*large, small]:
            server.builder.end(launch.spec)
        await server.over(*large, small)


@asynchronous(120)
async def test_attack_launches_that_are_refused_while_the_memory_is_full() -> None:
    """Launches take all that there is room for; another one would take what is not there."""
    async with serving(memory_budget=MIB) as server:
        launches = []
        with pytest.raises(TooManyRequestsError, match="memory is full") as refused:
            for number in range(150):
                launches.append(await server.start(number))  # noqa: PERF401 - until it raises
        assert refused.value.retry_after >= 1
        assert server.manager.budgets.memory.meter.used <= MIB
        for launch in launches[:5]:
            server.manager.cancel(launch)
        await server.over(*launches[:5])
        # It is over, and makes room.
        await server.start("another")
        assert launches[0].forgotten


@asynchronous(120)
async def test_attack_a_few_builds_with_long_logs_keep_nobody_else_out() -> None:
    """One client prints as much as it may, in as many builds as it may: others can still launch."""
    async with serving(memory_budget=4 * MIB) as server:
        for number in range(30):
            launch = await server.start(number)
            server.builder.print(launch.spec, [*lines(LINES // 4), "the last line\n"])
            await reached(launch, wanted=lambda one: logged(one, b"last line"))
        assert not server.manager.budgets.memory.is_over
        other = await server.start("innocent")
        server.builder.print(other.spec, lines(5))
        await reached(other, wanted=lambda one: one.last.id > 5)


@asynchronous(120)
async def test_attack_nothing_but_steps_when_the_memory_is_full() -> None:
    """A log whose lines are left out goes on in steps: none of them is told any more, either."""
    async with serving(memory_budget=MIB) as server:
        launch = await server.start("steps")
        server.builder.print(launch.spec, lines(LINES))
        await reached(launch, wanted=lambda one: one.writers and one.writers[0].is_cut)
        assert launch.build is not None
        await launch.build.channel.flush()
        last = launch.last.id
        steps = (f"Step {1 + number % 9999}/9999 : RUN {number}\n" for number in range(LINES))
        server.builder.print(launch.spec, steps)
        server.builder.end(launch.spec)
        await server.over(launch)
        # One says that lines are left out, one that it failed.
        assert launch.last.id <= last + 2 or launch.forgotten


@pytest.mark.usefixtures("tracing")
@asynchronous(120)
async def test_attack_the_longest_lines_in_the_part_that_is_searched_for_reasons() -> None:
    """400 lines are kept to find out why a build failed: of the longest, 6 MB for each build."""
    async with serving(max_log=10_000) as server:
        before = traced()
        launch = await server.start("long")
        server.builder.print(launch.spec, lines(500, "\U0001f40d" * 4096))
        server.builder.print(launch.spec, ["the last line\n"])
        await reached(launch, wanted=lambda one: logged(one, b"last line"))
        assert traced() - before < MIB
        server.builder.end(launch.spec)
        await server.over(launch)


@asynchronous(60)
async def test_attack_readers_that_hold_what_is_forgotten() -> None:
    """Somebody opens streams of launches that are over and reads nothing, or a bit a minute."""
    async with serving(memory_budget=4 * MIB) as server:
        launch = await server.run("held", lines(LINES // 8))
        out = Fanout(Settings())
        slow = Kept()
        written = asyncio.Event()
        slow.on_write = lambda: (setattr(slow, "full", True), written.set())
        out.join(slow, launch, 0, Numbers())
        await asyncio.wait_for(written.wait(), WITHIN)
        held = server.manager.budgets.memory.meter.used
        for number in range(10):
            await server.run(number, lines(LINES // 8))
        assert launch.forgotten
        assert server.manager.budgets.memory.meter.used <= 4 * MIB
        assert held > MIB // 4
        assert not await launch.read(0)
        # When it reads on, its connection is closed: there is nothing more.
        slow.full = False
        slow.drained()
        await asyncio.wait_for(slow.ended.wait(), WITHIN)
        assert slow.dropped
        assert len(slow.writes) == 1


@asynchronous(60)
async def test_attack_a_launch_that_does_not_even_begin_takes_memory_too() -> None:
    """Thousands of launches without a log: what each takes is counted, however little it is."""
    async with serving(memory_budget=MIB) as server:
        for number in range(200):
            launch = await server.start(number)
            server.manager.cancel(launch)
            await server.over(launch)
        assert server.manager.budgets.memory.meter.used <= MIB
        assert len(server.manager.budgets) < 100
        assert spec(0) not in {one.spec for one in server.manager._directory._launches.values()}
