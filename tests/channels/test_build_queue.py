"""The queue of builds, as every durable store has to keep it."""

from __future__ import annotations

import asyncio
import time

import psycopg
import pytest

from binderprogress.channels.database.store import DatabaseStore
from binderprogress.channels.durable import DurableStore
from binderprogress.core.build_queue import places
from binderprogress.errors import LeaseLostError

from ..support.asynchronous import asynchronous
from ..support.replicas import KEY, LOG, ManyReplicas, Replicas
from .test_durable_conformance import Changes, running, until


async def ask(store: DurableStore, build: str, *, most: int = 1, owner: str = "") -> bool:
    """Ask whether a build may begin. Its owner is in its name, such as `build.ada.1`."""
    return await store.queue.take_turn(
        build, owner=owner or build.split(".")[1], seconds=60.0, most=most
    )


async def add(store: DurableStore, *builds: str, most: int = 1) -> list[bool]:
    for build in builds:
        await store.lease(build, b"")
    return [await ask(store, build, most=most) for build in builds]


async def waiting(store: DurableStore, most: int = 1) -> list[str]:
    return list(places(await store.queue.tickets(), most))


async def end(store: DurableStore, build: str) -> None:
    await store.end(build, b"", expires=time.time() + 1000)


@asynchronous(30)
async def test_builds_wait_until_it_is_their_turn(durable: DurableStore) -> None:
    builds = ["build.ada.1", "build.ada.2", "build.ada.3", "build.grace.1"]
    assert await add(durable, *builds) == [True, False, False, False]
    assert await waiting(durable) == ["build.ada.2", "build.grace.1", "build.ada.3"]
    # Asking again changes nothing.
    assert [await ask(durable, build) for build in builds] == [True, False, False, False]
    assert await waiting(durable) == ["build.ada.2", "build.grace.1", "build.ada.3"]
    changes = Changes()
    unwatch = durable.queue.watch(changes)
    await end(durable, "build.ada.1")
    await changes.more()
    assert [await ask(durable, build) for build in builds[1:]] == [True, False, False]
    await changes.more()
    (begun,) = [one for one in await durable.queue.tickets() if one.running is not None]
    assert begun.build == "build.ada.2"
    assert begun.running is not None
    assert 0.0 <= begun.running < 20.0
    unwatch()


@asynchronous(30)
async def test_one_that_leaves_makes_room_for_those_behind_it(durable: DurableStore) -> None:
    await add(durable, "build.a.1", "build.b.1", "build.c.1")
    # It was cancelled, or never began.
    await end(durable, "build.b.1")
    assert await waiting(durable) == ["build.c.1"]
    await durable.drop("build.a.1")
    assert await ask(durable, "build.c.1")
    await end(durable, "build.c.1")
    assert list(await durable.queue.tickets()) == []


@asynchronous(30)
async def test_a_build_may_have_several_owners(durable: DurableStore) -> None:
    await add(durable, "build.ada.1", "build.ada.2", "build.ada.3")
    await durable.queue.join("build.ada.3", owner="grace")
    await durable.queue.join("build.ada.3", owner="grace")
    # One that runs needs no turn, and one that is not there has none.
    await durable.queue.join("build.ada.1", owner="grace")
    await durable.queue.join("build.ada.4", owner="grace")
    assert len(await durable.queue.tickets()) == 4
    await add(durable, "build.grace.1")
    assert await waiting(durable) == ["build.ada.2", "build.ada.3", "build.grace.1"]


@pytest.mark.parametrize("owner", ["", "Zoë", "null\0", "half \ud800", "k" * 100_000, "'; --"])
@asynchronous(30)
async def test_owners_may_be_anything(durable: DurableStore, owner: str) -> None:
    """Attack: a name that the database rejects."""
    await durable.lease("build.1", b"")
    assert await ask(durable, "build.1", owner=owner or " ")


@asynchronous(30)
async def test_only_who_has_the_lease_gets_a_turn(durable: DurableStore) -> None:
    with pytest.raises(LeaseLostError):
        await ask(durable, "build.ada.1")
    await add(durable, "build.ada.1")
    await end(durable, "build.ada.1")
    with pytest.raises(LeaseLostError):
        await ask(durable, "build.ada.1")
    assert list(await durable.queue.tickets()) == []


@asynchronous(60)
async def test_after_a_restart_builds_keep_their_places(replicas: Replicas) -> None:
    first = replicas.new()
    await first.open()
    builds = ["build.ada.1", "build.ada.2", "build.grace.1"]
    assert await add(first, *builds) == [True, False, False]
    await replicas.kill(first)
    async with running(replicas.new()) as second:
        await until(second.abandoned)
        for build in builds:
            await second.take(build)
        # As whoever goes on with it asks: it may have another owner now.
        answers = [await ask(second, build, owner="alan") for build in reversed(builds)]
        assert answers == [False, False, True]
        assert await waiting(second) == ["build.ada.2", "build.grace.1"]


@asynchronous(60)
async def test_no_more_begin_than_may_run_in_all_replicas(many: ManyReplicas) -> None:
    async with running(many.new()) as first, running(many.new()) as second:
        stores = {"build.ada.1": first, "build.grace.1": second}
        for build, store in stores.items():
            await store.lease(build, b"")
        for _ in range(10):
            answers = await asyncio.gather(*(ask(store, b) for b, store in stores.items()))
            assert sorted(answers) == [False, True]
        more = [(store, f"build.{n}.of{n % 3}") for n in range(12) for store in (first, second)]
        more = [(store, f"{build}.{store.replica}") for store, build in more]
        await asyncio.gather(*(store.lease(build, b"") for store, build in more))
        answers = await asyncio.gather(*(ask(store, build, most=5) for store, build in more))
        # One of the four places is kept for the one that has waited before.
        assert sum(answers) == 3
        answers = await asyncio.gather(*(ask(store, b, most=5) for b, store in stores.items()))
        assert answers == [True, True]
        answers = await asyncio.gather(*(ask(store, build, most=5) for store, build in more))
        assert sum(answers) == 3


@asynchronous(60)
async def test_replicas_hear_of_each_other(many: ManyReplicas) -> None:
    async with running(many.new()) as first, running(many.new()) as second:
        assert await add(first, "build.ada.1") == [True]
        assert await add(second, "build.grace.1") == [False]
        changes = Changes()
        second.queue.watch(changes)
        await end(first, "build.ada.1")
        await changes.more()
        assert await ask(second, "build.grace.1")


@asynchronous(60)
async def test_attack_a_replica_that_is_paused_does_not_stop_the_events_of_others(
    database_url: str,
) -> None:
    store = DatabaseStore(database_url, keys=KEY, log=LOG)
    async with running(store), await psycopg.AsyncConnection.connect(database_url) as other:
        await store.lease("build.ada.1", b"")
        await other.execute("SELECT pg_advisory_xact_lock(7263541911)")
        asked = asyncio.create_task(ask(store, "build.ada.1"))
        joined = asyncio.create_task(store.queue.join("build.ada.1", owner="grace"))
        for number in range(20):
            await store.renew("build.ada.1", str(number).encode())
        assert not (asked.done() or joined.done())
        await other.rollback()
        assert await asked
        await joined


@asynchronous(30)
async def test_names_of_owners_are_not_stored(database_url: str) -> None:
    async with running(DatabaseStore(database_url, keys=KEY, log=LOG)) as store:
        await add(store, "build.ada.1")
        with psycopg.connect(database_url) as connection:
            ((owner,),) = connection.execute("SELECT owner FROM build_queue").fetchall()
        assert len(owner) == 64
        assert "ada" not in owner
