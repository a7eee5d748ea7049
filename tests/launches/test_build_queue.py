"""Builds that wait for others, with real builds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing
from pathlib import Path

import pytest

from binderprogress.backends.base import BuildItems, PairedBackend, ResolvedSpec, WaitForTurn
from binderprogress.backends.jupyterhub.launcher import HubLauncher
from binderprogress.core.events import Event
from binderprogress.core.log.reasons import failure
from binderprogress.core.phases import Phase
from binderprogress.core.specs import parse
from binderprogress.errors import StorageError
from binderprogress.launches import Caller, Launch, LaunchManager

from ..support.durable import DurableMemoryStore, Memory
from ..support.replay import PlayedBuilder
from .lives import Ending, Life, check, seen_of
from .parts import Feed, events_of, gen_test, local, log_of, until

Make = Callable[..., LaunchManager]


async def feeds(stack: AsyncExitStack, folder: Path, count: int) -> list[Feed]:
    return [
        await stack.enter_async_context(Feed(folder / f"repository{number}"))
        for number in range(count)
    ]


async def start(manager: LaunchManager, feed: Feed, user: str) -> Launch:
    return await manager.start(feed.spec, Caller(user=user))


async def queued(launch: Launch, position: int) -> Event:
    return await until(
        launch, lambda event: event.step_key == "queued" and event.step_index == position
    )


async def builds(launch: Launch) -> Event:
    return await until(launch, lambda event: event.phase is Phase.BUILDING)


@gen_test
async def test_builds_wait_for_others_and_say_their_place(
    make_manager: Make, tmp_path: Path, shared: Path
) -> None:
    manager = make_manager(max_builds=1, build_timeout=100.0)
    await events_of(await manager.start(local(shared / "small"), Caller(user="kim")))
    async with AsyncExitStack() as stack:
        first, second, third, fourth = await feeds(stack, tmp_path, 4)
        running = await start(manager, first, "ada")
        build = await first.build()
        more = await start(manager, second, "ada")
        event = await queued(more, 1)
        assert (event.phase, event.step) == (Phase.WAITING, "Number 1 in the queue")
        assert event.message.startswith("Other builds are running. Number 1 in the queue, ")
        last = await start(manager, third, "ada")
        await queued(last, 2)
        # Somebody else has the next turn but one, and who needs the same build, too.
        other = await start(manager, fourth, "grace")
        await queued(other, 2)
        await queued(last, 3)
        joined = await start(manager, third, "alan")
        await queued(joined, 3)
        assert (manager.building, manager.queued) == (1, 3)
        # What exists does not wait.
        await events_of(await manager.start(local(shared / "small"), Caller(user="kim")))
        # It was not her turn that ended, but this build.
        manager.cancel(more)
        await queued(last, 1)
        build.finish()
        build = await third.build()
        await queued(other, 1)
        build.finish()
        await builds(other)
        (await fourth.build()).finish()
        events = await events_of(last)
        log = await log_of(last)
        await events_of(running)
        assert second.waiting == 0
        assert manager.queued == 0
    assert [event.progress for event in events] == sorted(event.progress for event in events)
    positions = [event.step_index for event in events if event.step_key == "queued"]
    assert positions == [2, 3, 1]
    assert "It is the turn of this build.\n" in log
    assert log.count("in the queue") == 3


class InTurn(PlayedBuilder):
    """Its builds go on until a test ends them, once it is their turn."""

    async def build(self, target: ResolvedSpec) -> BuildItems:
        yield WaitForTurn()
        async with aclosing(super().build(target)) as items:
            async for item in items:
                yield item


@gen_test
async def test_a_build_that_waits_is_not_too_slow(make_manager: Make) -> None:
    """Its time begins when it does."""
    manager = make_manager(builder=InTurn(), max_builds=1, build_timeout=1.0)
    launches = []
    for user in ("ada", "grace"):
        spec = parse(f"gh/{user}/penguins/HEAD")
        launches.append(await manager.start(spec, Caller(user=user)))
    await queued(launches[1], 1)
    first, second = [(await events_of(launch))[-1] for launch in launches]
    assert first.reason == second.reason == "build-timeout"
    # The second one waited for the first one to be too slow.
    assert second.elapsed > 1.9


@pytest.mark.long
@gen_test
async def test_without_a_limit_nothing_waits(make_manager: Make, tmp_path: Path) -> None:
    manager = make_manager(max_builds=0)
    async with AsyncExitStack() as stack:
        both = await feeds(stack, tmp_path, 2)
        launches = [await start(manager, feed, "ada") for feed in both]
        for feed in both:
            (await feed.build()).finish()
        events = [event for launch in launches for event in await events_of(launch)]
    assert "queued" not in {event.step_key for event in events}


@pytest.mark.fault(
    part="The server",
    fault="is replaced while builds wait in the queue",
    promise="they keep their places, and none of them counts as begun",
)
@gen_test
async def test_after_a_restart_they_keep_their_places(
    life: Life, restart: Ending, tmp_path: Path
) -> None:
    life.settings["max_builds"] = 1
    await life.begin()
    async with AsyncExitStack() as stack:
        first, second, third = await feeds(stack, tmp_path, 3)
        launches = [await life.start(feed) for feed in (first,)]
        await first.build()
        for position, feed in enumerate((second, third), 1):
            launches.append(await life.start(feed))
            await queued(launches[-1], position)
        # Twice, which would end a build that had begun.
        seen = [await seen_of(launch) for launch in launches]
        await restart(life)
        build = await first.build()
        again = [await life.find(launch) for launch in launches]
        assert second.waiting == third.waiting == 0
        build.finish()
        build = await second.build()
        await queued(again[2], 1)
        build.finish()
        (await third.build()).finish()
        life.servers.start()
        streams = [await events_of(launch) for launch in again]
        after = [await seen_of(launch) for launch in again]
    for stream, before, now in zip(streams, seen, after, strict=True):
        check(stream)
        assert stream[-1].phase is Phase.READY
        assert now[: len(before)] == before
    assert [max(event.attempt for event in stream) for stream in streams] == [2, 1, 1]
    places = [event.step_index for event in streams[2] if event.step_key == "queued"]
    assert places == [2, 1]


@pytest.mark.long
@gen_test
async def test_a_build_that_nobody_waits_for_leaves_the_queue(
    make_manager: Make, tmp_path: Path
) -> None:
    # Long enough that a loaded machine joins each launch before it counts as abandoned.
    manager = make_manager(max_builds=1, abandon_after=2.0)
    async with AsyncExitStack() as stack:
        first, second, third = await feeds(stack, tmp_path, 3)
        running = await start(manager, first, "ada")
        running.join()
        build = await first.build()
        abandoned = await start(manager, second, "ada")
        abandoned.join()
        await queued(abandoned, 1)
        kept = await start(manager, third, "ada")
        kept.join()
        await queued(kept, 2)
        abandoned.leave()
        await queued(kept, 1)
        assert abandoned.last.reason == "abandoned"
        build.finish()
        (await third.build()).finish()
        await asyncio.gather(events_of(running), events_of(kept))
        assert second.waiting == 0
        running.leave()
        kept.leave()


class Stalled(DurableMemoryStore):
    """The ends of builds are not stored until a test lets them."""

    def __init__(self, *, refuses: bool) -> None:
        super().__init__(Memory(), "only")
        self.refuses = refuses
        self.asked = asyncio.Event()
        self.stored = asyncio.Event()

    async def end(self, name: str, state: bytes, *, expires: float) -> None:
        self.asked.set()
        if name.startswith("build.") and not self.stored.is_set():
            if self.refuses:
                raise StorageError("The database does not answer.")
            await self.stored.wait()
        await super().end(name, state, expires=expires)


@pytest.mark.parametrize("refuses", [True, False], ids=["is-away", "is-cancelled"])
@gen_test
async def test_a_build_whose_end_could_not_be_stored_leaves_the_queue_later(
    no_hub: HubLauncher, refuses: bool
) -> None:
    store, builder = Stalled(refuses=refuses), InTurn()
    manager = LaunchManager(
        channels=store, backend=PairedBackend(builder, no_hub), max_builds=1, storage_patience=0.0
    )
    await manager.open()
    try:
        failing = await manager.start(parse("gh/ada/penguins/HEAD"), Caller(user="ada"))
        waiting = await manager.start(parse("gh/grace/penguins/HEAD"), Caller(user="grace"))
        await queued(waiting, 1)
        builder.put(failure("build-failed"))
        await store.asked.wait()
        if not refuses:
            # Nobody waits for the failed build any more.
            manager.cancel(failing)
        await events_of(failing)
        store.stored.set()
        builder.put(failure("build-failed"))
        events = await events_of(waiting)
    finally:
        await manager.close()
    assert events[-1].reason == "build-failed"
    assert not await store.queue.tickets()
