"""Launches that any of several replicas shows and cancels, whichever of them runs it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from binderprogress.backends.base import PairedBackend
from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.channels.durable import Lease
from binderprogress.core.events import Encoded
from binderprogress.core.phases import Phase
from binderprogress.core.specs import parse
from binderprogress.errors import LeaseTakenError, NotFoundError
from binderprogress.launches import Launch, LaunchManager
from binderprogress.launches import successor as successor_module
from binderprogress.launches.launch_log import log_of
from binderprogress.launches.stored import StoredLaunch, encode

from ..support.durable import DurableMemoryStore, Memory
from .lives import CALLER, Servers, check, kill, seen_of
from .parts import WITHIN, Feed, events_of, gen_test, keys, said, until, unwatched, watching

ABANDON = 1.0
"""Seconds without viewers."""


class Replica:
    """A server of several that share a store, a Hub and nothing else."""

    def __init__(self, manager: LaunchManager, store: DurableMemoryStore) -> None:
        self.manager = manager
        self.store = store

    async def start(self, feed: Feed) -> Launch:
        return await self.manager.start(feed.spec, CALLER)

    async def find(self, launch: Launch) -> Launch:
        return await self.manager.find(launch.id, user="ada")

    async def kill(self) -> None:
        """End as by SIGKILL: nothing more is stored, and its children die."""
        await kill(self.manager, self.store)
        await self.manager._successor.stop()


async def is_ready(launch: Launch) -> bool:
    """Whether a launch got its server in the end, without anything that must not be seen."""
    events = await events_of(launch)
    check(events)
    return events[-1].phase is Phase.READY


class Replicas:
    """Several servers."""

    def __init__(self, builder: LocalBuilder, folder: Path) -> None:
        self.memory = Memory()
        self.servers = Servers()
        self._builder = builder
        self._folder = folder
        self._all: list[Replica] = []

    async def begin(self, *, abandon_after: float = 600.0) -> Replica:
        name = f"replica-{len(self._all)}"
        logs = self._folder / name
        logs.mkdir()
        store = DurableMemoryStore(self.memory, name)
        manager = LaunchManager(
            channels=store,
            backend=PairedBackend(self._builder, self.servers),
            logs=logs,
            abandon_after=abandon_after,
        )
        await manager.open()
        replica = Replica(manager, store)
        self._all.append(replica)
        return replica

    async def close(self) -> None:
        for replica in self._all:
            if not replica.store.is_dead:
                await replica.manager.close()


@pytest.fixture
def replicas(
    io_loop: IOLoop,
    builder: LocalBuilder,
    temporary: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Replicas]:
    # A replica that was killed is noticed at once.
    monkeypatch.setattr(successor_module, "_LOOK", 0.05)
    replicas = Replicas(builder, tmp_path)
    yield replicas
    io_loop.run_sync(replicas.close, timeout=WITHIN)


@asynccontextmanager
async def viewer(launch: Launch) -> AsyncIterator[asyncio.Task[list[bytes]]]:
    """Watch a launch to its end, as it comes. The task returns its events."""

    async def watch() -> list[bytes]:
        seen: list[bytes] = []
        changed = asyncio.Event()
        launch.changed.add(changed.set)
        with watching(launch):
            while not (launch.closed and len(seen) == launch.end):
                changed.clear()
                events = await launch.read(len(seen), limit=3)
                seen += [encoded.sse for encoded in events]
                if not events:
                    await changed.wait()
        return seen

    task = asyncio.create_task(watch())
    await asyncio.sleep(0)
    try:
        yield task
    finally:
        task.cancel()


@gen_test
async def test_another_replica_shows_a_launch(replicas: Replicas, tmp_path: Path) -> None:
    one, other = await replicas.begin(), await replicas.begin()
    async with Feed(tmp_path / "repository") as feed:
        launch = await one.start(feed)
        shown = await other.find(launch)
        assert shown is not launch and shown.is_followed and not launch.is_followed
        assert shown.state().phase is Phase.WAITING
        async with viewer(shown) as seen:
            build = await feed.build()
            await build.write("a line\n")
            await until(shown, said("a line"))
            assert shown.state().phase is Phase.BUILDING
            assert shown.state().commit == launch.state().commit != ""
            build.finish()
            await until(shown, said("Spawning server"))
            await shown.replay()
            assert "building" in {span.phase for span in shown.spans()}
            text = b"".join([chunk async for chunk in log_of(shown)])
            assert b"a line\n" in text and b"Spawning server" in text
            lines = (await other.manager.log_lines.of(shown))().part(1, 100)
            assert lines.lines == text.decode().splitlines()
            replicas.servers.start()
            assert await seen == await seen_of(launch)
        check(await events_of(shown))
    # Once it is over, it is as one of this replica, but its log is not on a disk here.
    await unwatched(shown, lambda launch: not launch.is_followed)
    text = b"".join([chunk async for chunk in log_of(shown)])
    assert b"a line\n" in text and text.endswith(shown.last.message.encode())
    assert shown.state().phase is Phase.READY
    assert [span.phase for span in shown.spans()] == [span.phase for span in launch.spans()]
    with pytest.raises(NotFoundError):
        await other.manager.find(launch.id, user="eve")


@gen_test
async def test_viewers_do_not_wait_for_other_launches_to_be_found(
    replicas: Replicas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart, the viewers of all launches come at the same time."""
    one, other = await replicas.begin(), await replicas.begin()
    find, is_asked, may_find = other.store.find, asyncio.Event(), asyncio.Event()
    async with Feed(tmp_path / "repository") as feed:
        slow, launch = await one.start(feed), await one.start(feed)

        async def find_later(name: str) -> Lease | None:
            if name == slow.lease:
                is_asked.set()
                await may_find.wait()
            return await find(name)

        monkeypatch.setattr(other.store, "find", find_later)
        finding = [asyncio.create_task(other.find(slow)) for _ in range(3)]
        async with asyncio.timeout(WITHIN):
            await is_asked.wait()
            assert (await other.find(launch)).is_followed
        assert not any(task.done() for task in finding)
        may_find.set()
        found = await asyncio.gather(*finding)
        assert found[0].is_followed and all(each is found[0] for each in found)
        (await feed.build()).finish()
        replicas.servers.start()
        assert await is_ready(found[0])
        assert await is_ready(launch)


@pytest.mark.long
@gen_test
async def test_any_replica_lists_launches(replicas: Replicas, tmp_path: Path) -> None:
    one, other = await replicas.begin(), await replicas.begin()
    async with Feed(tmp_path / "repository") as feed:
        launch = await one.start(feed)
        build = await feed.build()
        (listed,) = await other.manager.of("ada")
        assert listed.id == launch.id
        assert await other.manager.of("eve") == []
        build.finish()
        replicas.servers.start()
        await events_of(listed)
    third = await replicas.begin()
    (over,) = await third.manager.of("ada")
    assert over.state().phase is Phase.READY


@gen_test
async def test_any_replica_cancels_a_launch(replicas: Replicas, tmp_path: Path) -> None:
    one, other = await replicas.begin(), await replicas.begin()
    async with Feed(tmp_path / "repository") as feed:
        launch = await one.start(feed)
        build = await feed.build()
        shown = await other.find(launch)
        await other.manager.cancel_anywhere(shown)
        assert shown.state().phase is Phase.CANCELLED
        check(await events_of(shown))
        assert await seen_of(shown) == await seen_of(launch)
        assert await build.gone()


@gen_test
async def test_a_launch_joins_the_build_of_another_replica(
    replicas: Replicas, tmp_path: Path
) -> None:
    one, other = await replicas.begin(), await replicas.begin()
    async with Feed(tmp_path / "repository") as feed:
        first = await one.start(feed)
        build = await feed.build()
        second = await other.start(feed)
        async with viewer(second) as seen:
            await build.write("for both\n")
            await until(second, said("for both"))
            assert second.is_followed
            at_one = await one.find(second)
            assert not at_one.is_followed and at_one.build is first.build
            assert (other.manager.running, one.manager.running) == (0, 2)
            build.finish()
            replicas.servers.start()
            assert await seen == await seen_of(at_one)
        # Events of a build that was joined may be older than the launch.
        events = await events_of(second)
        assert keys(events) == list(range(1, len(events) + 1))
        check(await events_of(first))
        assert feed.waiting == 0
    assert len(replicas.servers.asked) == 2


@gen_test
async def test_a_replica_goes_on_with_what_it_shows(replicas: Replicas, tmp_path: Path) -> None:
    one, other = await replicas.begin(), await replicas.begin()
    async with Feed(tmp_path / "repository") as feed:
        launch = await one.start(feed)
        shown = await other.find(launch)
        async with viewer(shown) as seen:
            (await feed.build()).finish()
            await until(shown, said("Spawning server"))
            before = await seen_of(shown)
            await one.kill()
            while shown.is_followed:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)
            replicas.servers.start()
            after = await seen
        assert after[: len(before)] == before
        assert await other.find(launch) is shown
        check(await events_of(shown))
    assert {request.key for request in replicas.servers.asked} == {replicas.servers.asked[0].key}


@gen_test
async def test_viewers_stay_where_a_launch_was_lost(replicas: Replicas, tmp_path: Path) -> None:
    one, other = await replicas.begin(), await replicas.begin()
    async with Feed(tmp_path / "repository") as feed:
        launch = await one.start(feed)
        async with viewer(launch) as seen:
            (await feed.build()).finish()
            await until(launch, said("Spawning server"))
            one.store.pause()
            taken = await other.find(launch)
            while taken.is_followed:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)
            replicas.servers.say("70 Nearly")
            await until(taken, said("Nearly"))
            one.store.wake_up()
            await until(launch, said("Nearly"))
            replicas.servers.start()
            assert await seen == await seen_of(taken)
        check(await events_of(taken))


@pytest.mark.long
@gen_test
async def test_a_launch_that_is_cancelled_leaves_its_build_at_the_same_event_everywhere(
    replicas: Replicas, tmp_path: Path
) -> None:
    one, other = await replicas.begin(), await replicas.begin()
    async with Feed(tmp_path / "repository") as feed:
        leaves, stays = await one.start(feed), await one.start(feed)
        shown = await other.find(leaves)
        async with viewer(shown) as seen:
            build = await feed.build()
            await build.write("".join(f"line {number}\n" for number in range(200)))
            await until(leaves, said("line 50"))
            one.manager.cancel(leaves)
            await build.write("after that\n")
            await until(stays, said("after that"))
            assert await seen == await seen_of(leaves)
        check(await events_of(shown))
        build.finish()
        replicas.servers.start()
        check(await events_of(stays))


@gen_test
async def test_viewers_at_another_replica_keep_a_launch(replicas: Replicas, tmp_path: Path) -> None:
    one, other = (
        await replicas.begin(abandon_after=ABANDON),
        await replicas.begin(abandon_after=ABANDON),
    )
    async with Feed(tmp_path / "repository") as feed:
        launch = await one.start(feed)
        with watching(launch):
            build = await feed.build()
        shown = await other.find(launch)
        with watching(shown):
            await asyncio.sleep(4 * ABANDON)
            assert launch.state().phase is Phase.BUILDING
        await unwatched(shown, lambda shown: shown.closed)
        assert shown.last.reason == "abandoned"
        assert await build.gone()


@gen_test
async def test_a_launch_is_not_abandoned_because_the_store_is_away(
    replicas: Replicas, tmp_path: Path
) -> None:
    """It cannot say whether there are viewers at other replicas."""
    one, other = (
        await replicas.begin(abandon_after=ABANDON),
        await replicas.begin(abandon_after=ABANDON),
    )
    async with Feed(tmp_path / "repository") as feed:
        launch = await one.start(feed)
        with watching(launch):
            build = await feed.build()
        shown = await other.find(launch)
        with watching(shown):
            one.store.away = other.store.away = True
            await asyncio.sleep(1.5 * ABANDON)
            one.store.away = other.store.away = False
            await build.write("a line\n")
            await until(shown, said("a line"))
            assert launch.state().phase is Phase.BUILDING
            build.finish()
            replicas.servers.start()
            assert await is_ready(shown)


@gen_test
async def test_the_store_is_away_as_another_replica_has_the_build(
    replicas: Replicas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await replicas.begin(), await replicas.begin()
    lease = other.store.lease

    async def taken(*args: Any, **options: Any) -> None:
        """Go away for a moment as soon as it is known that another one has it."""
        try:
            await lease(*args, **options)
        except LeaseTakenError:
            other.store.away = True
            asyncio.get_running_loop().call_later(0.5, setattr, other.store, "away", False)
            raise

    monkeypatch.setattr(other.store, "lease", taken)
    async with Feed(tmp_path / "repository") as feed:
        first = await one.start(feed)
        build = await feed.build()
        second = await other.start(feed)
        await unwatched(second, lambda launch: launch.is_lost)
        build.finish()
        replicas.servers.start()
        assert await is_ready(first)
        assert await is_ready(await other.find(second))


@gen_test
async def test_the_store_is_away_as_a_launch_goes_on_at_another_replica(
    replicas: Replicas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await replicas.begin(), await replicas.begin()
    messages_of_attempt = Launch.messages_of_attempt

    async def read(launch: Launch) -> Counter[str]:
        """Go away for a moment, just as the launch reads what it has asked of the Hub."""
        if other.manager._running.is_running(launch.id) and not went_away.is_set():
            went_away.set()
            other.store.away = True
            asyncio.get_running_loop().call_later(0.5, setattr, other.store, "away", False)
        return await messages_of_attempt(launch)

    went_away = asyncio.Event()
    monkeypatch.setattr(Launch, "messages_of_attempt", read)
    async with Feed(tmp_path / "repository") as feed:
        launch = await one.start(feed)
        (await feed.build()).finish()
        await until(launch, said("Spawning server"))
        await launch.flush()
        shown = await other.find(launch)
        await one.kill()
        replicas.servers.start()
        assert await is_ready(shown)
        assert went_away.is_set()


@gen_test
async def test_a_replica_that_only_shows_launches_says_that_the_store_is_away(
    replicas: Replicas, tmp_path: Path
) -> None:
    one, other = await replicas.begin(), await replicas.begin()
    async with Feed(tmp_path / "repository") as feed:
        launch = await one.start(feed)
        build = await feed.build()
        shown = await other.find(launch)
        changed = asyncio.Event()
        other.manager.storage.changed.add(changed.set)
        for is_away in (True, False):
            one.store.away = other.store.away = is_away
            async with asyncio.timeout(WITHIN):
                while other.manager.storage.is_shown != is_away:
                    await changed.wait()
                    changed.clear()
        build.finish()
        replicas.servers.start()
        check(await events_of(shown))
    assert not other.manager.storage.count


@gen_test
async def test_what_has_no_event_yet_is_not_found(replicas: Replicas) -> None:
    one, other = await replicas.begin(), await replicas.begin()
    spec = one.manager._ledger.codec.encode(parse("gh/ada/analysis/HEAD"))
    stored = encode(StoredLaunch(spec=spec, caller=CALLER, created=0.0))
    await one.store.lease("launch.unknown", stored, user="ada")
    used = other.manager.budgets.memory.meter.used
    for _ in range(2):
        with pytest.raises(NotFoundError):
            await other.manager.find("unknown", user="ada")
    assert other.manager.budgets.memory.meter.used == used


@pytest.mark.long
@gen_test
async def test_the_first_events_are_not_read_again_with_each_that_follows(
    replicas: Replicas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = await replicas.begin(), await replicas.begin()
    read, asked = other.store.read, 0

    async def counted(channel_id: str, after: int, *, limit: int) -> Sequence[Encoded]:
        nonlocal asked
        asked += channel_id.endswith(".head")
        return await read(channel_id, after, limit=limit)

    monkeypatch.setattr(other.store, "read", counted)
    async with Feed(tmp_path / "repository") as feed:
        shown = await other.find(await one.start(feed))
        build = await feed.build()
        for number in range(10):
            await build.write(f"line {number}\n")
            message = f"line {number}\n"
            await unwatched(shown, lambda launch, message=message: launch.last.message == message)  # type: ignore[misc] # mypy knows no defaults of lambdas
        assert asked == 1
