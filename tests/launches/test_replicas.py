"""Limits of launches, with two replicas and a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from binderprogress.backends.base import BuildResult, PairedBackend, ResolvedSpec
from binderprogress.backends.codec import Codec
from binderprogress.channels.database.store import DatabaseStore
from binderprogress.core.phases import Phase
from binderprogress.core.specs import Spec, parse
from binderprogress.errors import StorageError, TooManyRequestsError
from binderprogress.launches import Caller, Launch, LaunchManager

from ..support.asynchronous import asynchronous
from ..support.postgresql import PostgreSQL, running_postgresql
from ..support.replay import PlayedBuilder, PlayedLauncher
from ..support.replicas import KEY, LASTS, LOG
from .parts import WITHIN, events_of


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with running_postgresql() as server:
        yield server


class Builder(PlayedBuilder):
    """Its builds go on until they are cancelled."""

    codec = Codec(Spec, ResolvedSpec, BuildResult)


class Replica:
    """A server without its port."""

    def __init__(self, url: str, *, lasts: float = 60.0, **settings: Any) -> None:
        self.store = DatabaseStore(url, lasts=lasts, keys=KEY, log=LOG)
        self.manager = LaunchManager(
            channels=self.store, backend=PairedBackend(Builder(), PlayedLauncher()), **settings
        )
        self._count = 0

    async def start(self, **caller: str) -> Launch:
        self._count += 1
        spec = parse(f"gh/ada/penguins/{self.store.replica[-6:]}-{self._count}")
        return await self.manager.start(spec, Caller(**caller))

    async def kill(self) -> None:
        """End it as SIGKILL does: it stores nothing more."""
        await self.store._stop(0.0)
        for build in self.manager._builds.running:
            build.is_interrupted = True
            build.task.cancel()
        self.manager._running._runner.is_handing_over = True
        for task in self.manager._running.tasks.values():
            task.cancel()
        async with asyncio.timeout(WITHIN):
            while self.manager._running.tasks:
                await asyncio.wait(list(self.manager._running.tasks.values()))
        await self.manager._channels.close()

    async def end(self, launch: Launch) -> None:
        """Cancel a launch, and wait until its end is stored."""
        self.manager.cancel(launch)
        async with asyncio.timeout(WITHIN):
            assert (await events_of(launch))[-1].phase is Phase.CANCELLED
            while launch in self.manager.under_way():  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)


@asynccontextmanager
async def replica(server: PostgreSQL, **settings: Any) -> AsyncIterator[Replica]:
    one = Replica(server.url, **settings)
    await one.manager.open()
    try:
        yield one
    finally:
        await asyncio.wait_for(one.manager.close(), WITHIN)


@asynchronous(120)
async def test_two_starts_at_the_same_moment_do_not_both_take_the_last_place(
    server: PostgreSQL,
) -> None:
    async with replica(server, max_launches=1) as one, replica(server, max_launches=1) as other:
        for _ in range(20):
            used = {each: each.manager.budgets.memory.meter.used for each in (one, other)}
            results = await asyncio.gather(one.start(), other.start(), return_exceptions=True)
            (launch,) = [result for result in results if isinstance(result, Launch)]
            (refused,) = [result for result in results if not isinstance(result, Launch)]
            assert isinstance(refused, TooManyRequestsError)
            assert str(refused).startswith("This server is busy with 1 launches.")
            assert refused.retry_after == 60
            winner, loser = (one, other) if results[0] is launch else (other, one)
            # What was refused has left nothing.
            assert loser.manager.running == 0
            assert loser.manager.budgets.memory.meter.used == used[loser]
            await winner.end(launch)
        assert len(await one.store.leases("launch.", ended=False)) == 0


@asynchronous(120)
async def test_limits_of_users_and_clients_hold_in_all_replicas(server: PostgreSQL) -> None:
    limits = {"max_launches_per_user": 2, "max_launches_per_client": 2}
    async with replica(server, **limits) as one, replica(server, **limits) as other:
        for caller, said in (
            ({"user": "ada", "ip": "192.0.2.1"}, "You have 2 launches in progress"),
            ({"ip": "2001:db8:1:1::1"}, "Your address has 2 launches in progress"),
        ):
            await one.start(**caller)
            await other.start(**caller)
            for each in (one, other):
                with pytest.raises(TooManyRequestsError, match=said) as refused:
                    await each.start(**caller)
                assert refused.value.retry_after == 30
        # Addresses of users do not count, and each network is a client.
        await one.start(ip="192.0.2.1")
        await other.start(ip="2001:db8:1:2::1")
        with pytest.raises(TooManyRequestsError):
            await other.start(ip="2001:db8:1:1:ffff::2")


@asynchronous(120)
async def test_launches_of_a_killed_replica_count_until_they_are_over(server: PostgreSQL) -> None:
    gone = Replica(server.url, lasts=LASTS, max_launches=2)
    await gone.manager.open()
    launches = [await gone.start(), await gone.start()]
    await gone.kill()
    async with replica(server, max_launches=2) as other:
        async with asyncio.timeout(2 * WITHIN):
            while other.manager.running < 2:
                # Before they are taken over, and after that.
                with pytest.raises(TooManyRequestsError, match="busy with 2 launches"):
                    await other.start()
                await asyncio.sleep(0.05)
        for launch in launches:
            await other.end(await other.manager.find(launch.id))
        await other.start()


@asynchronous(120)
async def test_a_launch_that_could_not_begin_does_not_count(server: PostgreSQL) -> None:
    settings = {"max_launches": 1, "storage_patience": 0.0}
    async with replica(server, **settings) as one, replica(server, **settings) as other:
        begin = one.store.create

        async def fail(*arguments: object, **options: object) -> None:
            one.store.create = begin  # type: ignore[method-assign] # only the first one fails
            raise StorageError("The disk is full.")

        one.store.create = fail  # type: ignore[assignment,method-assign] # a disk that is full once
        with pytest.raises(StorageError, match="cannot store launches at the moment"):
            await one.start()
        async with asyncio.timeout(WITHIN):
            while await other.store.leases("launch.", ended=False):  # noqa: ASYNC110 - in another process
                await asyncio.sleep(0.01)
        await other.start()
