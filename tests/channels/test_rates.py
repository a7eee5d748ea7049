"""Requests of clients, counted in all replicas."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg
import pytest

from binderprogress.channels.database.store import DatabaseStore
from binderprogress.channels.durable import DurableStore

from ..support.asynchronous import asynchronous
from ..support.replicas import KEY, LOG, ManyReplicas, SQLiteReplicas
from .test_durable_conformance import running, until


def counter(
    store: DurableStore, *, limit: int = 3, period: float = 1000.0
) -> Callable[[str], Awaitable[int]]:
    async def count(client: str) -> int:
        assert store.rates is not None
        found = await store.rates.count(client, limit=limit, period=period)
        assert 0 <= found.seconds < period + 0.001
        return found.count

    return count


@asynchronous(60)
async def test_replicas_count_together(many: ManyReplicas) -> None:
    async with running(many.new()) as first, running(many.new()) as second:
        one, other = counter(first), counter(second)
        assert [await count("ada") for count in (one, other, one)] == [1, 2, 3]
        # What is refused is not counted.
        assert [await count("ada") for count in (one, other, one)] == [4, 4, 4]
        assert await other("grace") == 1


@asynchronous(60)
async def test_no_request_is_lost_of_many_at_once(many: ManyReplicas) -> None:
    async with running(many.new()) as first, running(many.new()) as second:
        counts = await asyncio.gather(
            *(counter(store, limit=100)("ada") for _ in range(30) for store in (first, second))
        )
        assert sorted(counts) == list(range(1, 61))


@asynchronous(60)
async def test_a_period_begins_with_the_first_request_and_ends(many: ManyReplicas) -> None:
    async with running(many.new()) as first, running(many.new()) as second:
        one, other = (counter(store, limit=1, period=0.3) for store in (first, second))
        await one("ada")

        async def begins_again() -> bool:
            return await other("ada") == 1

        await until(begins_again)


@pytest.mark.parametrize("client", ["", "Zoë", "null\0", "half \ud800", "k" * 100_000, "'; --"])
@asynchronous(30)
async def test_clients_may_be_anything(many: ManyReplicas, client: str) -> None:
    """Attack: a name that the database rejects would not be limited."""
    async with running(many.new()) as store:
        assert [await counter(store)(client) for _ in range(2)] == [1, 2]


@asynchronous(60)
async def test_what_is_over_is_removed(database_url: str) -> None:
    """Attack: an IPv6 /48 has 65,536 networks."""
    store = DatabaseStore(database_url, keys=KEY, log=LOG)
    async with running(store):
        for number in range(20):
            await counter(store, period=0.01)(f"2001:db8:1:{number}::/64")
        await counter(store)("ada")

        async def left() -> bool:
            store._tidy_wanted.set()
            with psycopg.connect(database_url) as connection:
                (row,) = connection.execute("SELECT count(*) FROM rates").fetchall()
            return row == (1,)

        await until(left)


@asynchronous(30)
async def test_a_file_for_one_process_counts_nothing(tmp_path: Path) -> None:
    # Its process does.
    assert SQLiteReplicas(tmp_path).new().rates is None
