"""Launches whose store is slow, or fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from binderprogress.backends.base import BuildResult, PairedBackend, RunningServer
from binderprogress.channels.base import ChannelStore
from binderprogress.core.log.reader import Record
from binderprogress.core.phases import Phase
from binderprogress.core.specs import parse
from binderprogress.errors import StorageError
from binderprogress.launches import Caller, Fanout, Launch, LaunchManager
from binderprogress.launches import fanout as fanout_module
from binderprogress.launches import slices as slices_module

from ..support.asynchronous import asynchronous
from ..support.channels import FailingChannelStore, SuspendingChannelStore
from ..support.replay import PlayedBuilder, PlayedLauncher
from .parts import WITHIN, events_of, keys, log_of, said, until
from .test_fanout import Kept, Settings, ended, has, join


class Played:
    """A manager whose builds and spawns a test controls, and its store."""

    def __init__(self, store: ChannelStore, **settings: object) -> None:
        self.builder, self.launcher = PlayedBuilder(), PlayedLauncher()
        self.manager = LaunchManager(
            channels=store, backend=PairedBackend(self.builder, self.launcher), **settings
        )

    async def __aenter__(self) -> Played:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.wait_for(self.manager.close(), WITHIN)

    async def start(self, spec: str = "gh/ada/penguins/main") -> Launch:
        return await self.manager.start(parse(spec), Caller())

    def build(self, count: int) -> None:
        for number in range(count):
            line = f'{{"phase": "building", "message": "line {number}\\n"}}\n'
            self.builder.put(Record("repo2docker", line))

    async def over(self, launch: Launch) -> None:
        """Wait until a launch has ended and is cleaned up."""
        async with asyncio.timeout(WITHIN):
            while launch.id in self.manager._running.tasks:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)


# -- viewers with a slow store


@asynchronous(60)
async def test_viewers_get_everything_from_a_store_that_must_be_awaited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slices_module, "SLICE_EVENTS", 10)
    monkeypatch.setattr(fanout_module, "SLICE_EVENTS", 10)
    async with Played(SuspendingChannelStore()) as stage:
        out, launch = Fanout(Settings()), await stage.start()
        live, slow = join(out, launch), join(out, launch)
        stage.build(100)
        await has(live, 100)
        slow.on_write = lambda: setattr(slow, "full", True)
        stage.build(100)
        late = [join(out, launch) for _ in range(5)]
        resumed, gone = join(out, launch, 77), join(out, launch)
        gone.leave()
        stage.builder.put(BuildResult("image"))
        stage.launcher.put(RunningServer("http://127.0.0.1/", "secret"))
        await ended(live)
        slow.on_write = lambda: None
        slow.drain()
        await ended(slow, resumed, *late)
        last = launch.last.id
        assert launch.last.phase is Phase.READY and last > 200
        for viewer in (live, slow, *late):
            assert viewer.numbers == list(range(1, last + 1))
        assert resumed.numbers == list(range(78, last + 1))
        assert gone.numbers == []
        assert not out._audiences


@asynchronous(60)
async def test_viewers_at_the_same_number_share_one_read() -> None:
    class Counting(SuspendingChannelStore):
        """A store that counts its reads."""

        reads = 0

        async def read(self, channel_id: str, after: int, *, limit: int) -> object:
            self.reads += 1
            return await super().read(channel_id, after, limit=limit)

    store = Counting()
    async with Played(store) as stage:
        out, launch = Fanout(Settings()), await stage.start()
        stage.build(100)
        await until(launch, said("line 99"))
        store.reads = 0
        viewers = [join(out, launch) for _ in range(50)]
        for viewer in viewers:
            await has(viewer, launch.end)
        # One read of the head, and one of the build.
        assert store.reads == 2
        stage.manager.cancel(launch)
        await ended(*viewers)


@asynchronous(60)
async def test_viewers_of_what_is_forgotten_meanwhile_are_let_go() -> None:
    async with Played(SuspendingChannelStore(), forget_after=0.0) as stage:
        out, launch = Fanout(Settings()), await stage.start()
        stage.manager.cancel(launch)
        viewers = []
        while not launch.forgotten:
            viewers.append(join(out, launch))
            await asyncio.sleep(0)
        await ended(*viewers)


# -- failures


async def fail_when(stage: Played, store: FailingChannelStore, ready: Callable[[], None]) -> Launch:
    launch = await stage.start()
    stage.build(3)
    await until(launch, said("line 2"))
    store.full = True
    ready()
    return launch


async def check_end(launch: Launch) -> None:
    """Watch a launch to its end. It must have exactly one."""
    events = await events_of(launch)
    assert keys(events) == list(range(1, len(events) + 1))
    assert [event.phase for event in events if event.terminal] == [Phase.FAILED]
    assert events[-1].reason == "store-failed"
    assert events[-1].message == "The server could not store this launch.\n"
    assert "contact the administrator" in events[-1].advice
    assert (await log_of(launch)).endswith(events[-1].message)
    assert launch.state().phase is Phase.FAILED


@pytest.mark.fault(
    part="The launches' database",
    fault="fails when a launch starts",
    promise="it is not started, and whoever wanted it is told",
)
@asynchronous(60)
async def test_a_launch_that_cannot_be_stored_is_not_started() -> None:
    store = FailingChannelStore()
    store.full = True
    async with Played(store) as stage:
        with pytest.raises(StorageError, match="cannot store launches at the moment") as error:
            await stage.start()
        assert (error.value.status, error.value.retry_after) == (503, 60.0)
        assert stage.manager.running == 0 and not stage.manager.under_way()
        assert stage.manager.budgets.memory.meter.used == 0
        # The manager recovers without a restart.
        store.full = False
        launch = await stage.start()
        stage.manager.cancel(launch)
        assert (await events_of(launch))[-1].phase is Phase.CANCELLED


@asynchronous(60)
async def test_a_build_whose_events_cannot_be_stored_ends_all_its_launches(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = FailingChannelStore()
    async with Played(store) as stage:
        first, second = await stage.start(), await stage.start()
        stage.build(3)
        await until(second, said("line 2"))
        store.full = True
        with caplog.at_level(logging.ERROR):
            stage.build(1)
            for launch in (first, second):
                await check_end(launch)
                await stage.over(launch)
        assert "No space left on device" in caplog.text
        assert (stage.manager.running, stage.manager.building) == (0, 0)
        assert stage.manager.ended[Phase.FAILED] == 2
        store.full = False
        # A new launch starts a new build.
        third = await stage.start()
        assert third.build is None or third.build is not first.build
        stage.manager.cancel(third)


@asynchronous(60)
async def test_a_build_whose_end_cannot_be_stored_is_let_go() -> None:
    abandoned: list[str] = []

    class Result(BuildResult, frozen=True):
        """A result that must be abandoned if it is not used."""

        def abandon(self) -> None:
            abandoned.append(self.image)

    store = FailingChannelStore()
    async with Played(store) as stage:
        launch = await fail_when(stage, store, lambda: stage.builder.put(Result("image")))
        await check_end(launch)
        await stage.over(launch)
        assert abandoned == ["image"]
        assert stage.launcher.requests == []


@asynchronous(60)
async def test_a_spawn_whose_events_cannot_be_stored_is_stopped() -> None:
    store = FailingChannelStore()
    async with Played(store) as stage:
        launch = await stage.start()
        stage.builder.put(BuildResult("image"))
        await until(launch, lambda event: event.phase is Phase.LAUNCHING)
        store.full = True
        stage.launcher.put(Record("jupyterhub", {"progress": 50, "message": "Pulling"}))
        await check_end(launch)
        await stage.over(launch)
        assert stage.launcher.stopped == stage.launcher.requests != []


@asynchronous(60)
async def test_a_server_whose_address_cannot_be_stored_is_stopped() -> None:
    # No viewer would get its address.
    store = FailingChannelStore()
    async with Played(store) as stage:
        launch = await stage.start()
        stage.builder.put(BuildResult("image"))
        await until(launch, lambda event: event.phase is Phase.LAUNCHING)
        store.full = True
        stage.launcher.put(RunningServer("http://127.0.0.1/", "secret"))
        await check_end(launch)
        await stage.over(launch)
        assert stage.launcher.stopped == stage.launcher.requests != []
        assert not any(b"secret" in encoded.sse for encoded in await launch.read(0))


@asynchronous(60)
async def test_a_launch_whose_cancellation_cannot_be_stored_ends() -> None:
    store = FailingChannelStore()
    async with Played(store) as stage:
        launch = await stage.start()
        stage.build(1)
        await until(launch, said("line 0"))
        store.full = True
        stage.manager.cancel(launch)
        await check_end(launch)
        await stage.over(launch)
        assert stage.manager.building == 0


@pytest.mark.fault(
    part="The launches' database",
    fault="cannot be read for a while",
    promise="viewers wait",
)
@asynchronous(60)
async def test_a_viewer_waits_until_the_store_can_be_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(slices_module, "_RETRY", 0.01)

    class Unreadable(SuspendingChannelStore):
        """A store of which three reads fail."""

        errors = 3

        async def read(self, channel_id: str, after: int, *, limit: int) -> object:
            if self.errors:
                self.errors -= 1
                raise StorageError("The database does not answer.")
            return await super().read(channel_id, after, limit=limit)

    store = Unreadable()
    async with Played(store) as stage:
        out, launch = Fanout(Settings()), await stage.start()
        viewer: Kept = join(out, launch)
        await has(viewer, 1)
        assert store.errors == 0
        stage.manager.cancel(launch)
        await ended(viewer)
        assert viewer.numbers == list(range(1, launch.last.id + 1))
