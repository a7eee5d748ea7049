"""Limits of leases, which hold in all replicas together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest

from binderprogress.channels.database.limits import Refusal, keep_trying
from binderprogress.channels.database.store import DatabaseStore
from binderprogress.channels.durable import DurableStore, LeaseLimit
from binderprogress.errors import LeaseLimitError, StorageError

from ..support.asynchronous import asynchronous
from ..support.replicas import KEY, LOG, ManyReplicas, SQLiteReplicas
from .test_durable_conformance import running, until

IN_ALL = LeaseLimit(most=3, prefix="launch.")


async def fill(store: DurableStore, *names: str, **options: str) -> None:
    for name in names:
        await store.lease(name, b"", **options)


async def refused(store: DurableStore, limits: Sequence[LeaseLimit]) -> tuple[int, int] | None:
    """Request a lease. Return which limit is reached, and how many it counts."""
    try:
        await store.lease("launch.one more", b"", limits=limits)
    except LeaseLimitError as error:
        return error.number, error.count
    await store.drop("launch.one more")
    return None


@asynchronous(60)
async def test_one_of_two_replicas_takes_the_last_place(many: ManyReplicas) -> None:
    async with running(many.new()) as first, running(many.new()) as second:
        await fill(first, "launch.1", "build.1", "build.2")
        await fill(second, "launch.2")
        for number in range(20):
            results = await asyncio.gather(
                *(
                    store.lease(f"launch.{number} of {store.replica}", b"", limits=[IN_ALL])
                    for store in (first, second)
                ),
                return_exceptions=True,
            )
            (refusal,) = [result for result in results if result is not None]
            assert isinstance(refusal, LeaseLimitError)
            assert (refusal.number, refusal.count) == (0, 3)
            winner, loser = (first, second) if results[0] is None else (second, first)
            assert await loser.find(f"launch.{number} of {loser.replica}") is None
            lease = await loser.find(f"launch.{number} of {winner.replica}")
            assert lease is not None and lease.owner == winner.replica
            assert await refused(loser, [IN_ALL]) == (0, 3)
            await winner.end(lease.name, b"", expires=1e12)
            assert await refused(loser, [IN_ALL]) is None


@asynchronous(60)
async def test_many_at_once_get_exactly_what_is_left(many: ManyReplicas) -> None:
    limit = LeaseLimit(most=25, prefix="launch.")
    async with running(many.new()) as first, running(many.new()) as second:
        results = await asyncio.gather(
            *(
                store.lease(f"launch.{number} of {store.replica}", b"", limits=[limit])
                for number in range(40)
                for store in (first, second)
            ),
            return_exceptions=True,
        )
        assert results.count(None) == 25
        assert all(isinstance(one, LeaseLimitError) for one in results if one is not None)
        assert len(await first.leases("launch.", ended=False)) == 25


@asynchronous(60)
async def test_each_user_and_each_client_has_a_limit(many: ManyReplicas) -> None:
    async with running(many.new()) as first, running(many.new()) as second:
        await fill(first, "launch.1", user="ada")
        await fill(second, "launch.2", user="ada")
        await fill(second, "launch.3", user="ada%")
        await fill(first, "launch.4", client="192.0.2.7")
        of_all = LeaseLimit(most=5, prefix="launch.")
        for store in (first, second):
            for most, answer in ((2, (1, 2)), (3, None)):
                own = LeaseLimit(most=most, prefix="launch.", user="ada")
                assert await refused(store, [of_all, own]) == answer
            own = LeaseLimit(most=1, prefix="launch.", client="192.0.2.7")
            assert await refused(store, [of_all, own]) == (1, 1)
            others = LeaseLimit(most=1, prefix="launch.", client="192.0.2.8")
            assert await refused(store, [of_all, others]) is None


@asynchronous(60)
async def test_launches_of_a_killed_replica_count_until_they_have_ended(
    many: ManyReplicas,
) -> None:
    gone = many.new()
    await gone.open()
    await fill(gone, "launch.1", "launch.2", "launch.3")
    async with running(many.new()) as store:
        await many.kill(gone)
        assert await refused(store, [IN_ALL]) == (0, 3)
        while len(await store.abandoned()) < 3:  # noqa: ASYNC110 - its time has to run out
            await asyncio.sleep(0.01)
        assert await refused(store, [IN_ALL]) == (0, 3)
        await store.take("launch.1")
        assert await refused(store, [IN_ALL]) == (0, 3)
        await store.end("launch.1", b"", expires=1e12)
        assert await refused(store, [IN_ALL]) is None


@asynchronous(30)
async def test_the_client_is_forgotten_at_the_end(database_url: str) -> None:
    async with running(DatabaseStore(database_url, keys=KEY, log=LOG)) as store:
        await fill(store, "launch.1", "launch.2", client="192.0.2.7")
        await store.end("launch.1", b"", expires=1e12)
        with psycopg.connect(database_url) as connection:
            rows = connection.execute("SELECT client FROM leases ORDER BY number").fetchall()
        assert rows == [("",), ("192.0.2.7",)]


@asynchronous(30)
async def test_a_file_for_one_process_counts_nothing(tmp_path: Path) -> None:
    # Its process does.
    async with running(SQLiteReplicas(tmp_path).new()) as store:
        await fill(store, "launch.1", "launch.2", "launch.3")
        assert await refused(store, [IN_ALL]) is None


@asynchronous(60)
async def test_a_replica_that_is_paused_with_the_lock_does_not_stop_the_events_of_others(
    database_url: str,
) -> None:
    store = DatabaseStore(database_url, keys=KEY, log=LOG)
    async with running(store), await psycopg.AsyncConnection.connect(database_url) as other:
        await fill(store, "launch.1")
        await other.execute("SELECT pg_advisory_xact_lock(7263541910)")
        waiting = asyncio.create_task(store.lease("launch.2", b"", limits=[IN_ALL]))
        for number in range(20):
            await store.renew("launch.1", str(number).encode())
        assert not waiting.done()
        await other.rollback()
        await waiting
        assert await until(lambda: store.find("launch.2"))


@asynchronous(10)
async def test_a_lock_is_not_waited_for_for_ever() -> None:
    count = 0

    async def request() -> Refusal:
        nonlocal count
        count += 1
        return Refusal()

    with pytest.raises(StorageError, match="does not release a lock of the database"):
        await keep_trying(request, patience=0.1)
    assert count > 1
