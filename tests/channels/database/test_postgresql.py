"""A store in PostgreSQL: what may happen to the server, and what is encrypted."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from binderprogress.channels.database import store as store_module
from binderprogress.channels.database.store import DatabaseStore
from binderprogress.channels.durable import DurableStore, Lease
from binderprogress.core.events import Encoded, Event
from binderprogress.core.phases import Phase
from binderprogress.database import connection as connection_module
from binderprogress.database.connection import make_engine
from binderprogress.database.postgresql import BoundedConnection, connector
from binderprogress.errors import ConfigError, LeaseTakenError, StorageError

from ...support.asynchronous import asynchronous
from ...support.postgresql import PostgreSQL, running_postgresql
from ...support.replicas import KEY, LOG, PostgreSQLReplicas
from ..test_conformance import WITHIN, Watcher, event, events
from ..test_durable_conformance import NAME, Changes, numbers, running, until, with_channel

TOKEN = "0123456789abcdef0123456789abcdef"


def store_of(url: str, **options: Any) -> DatabaseStore:
    return DatabaseStore(url, **{"keys": KEY, "log": LOG, **options})


@pytest.fixture
def server() -> Iterator[PostgreSQL]:
    """A server of this test only, which may be paused and killed."""
    with running_postgresql() as server:
        yield server


async def insist(work: Any) -> int:
    """Request something as a launch does, until it is done; return how often it failed."""
    failures = 0
    async with asyncio.timeout(4 * WITHIN):
        while True:
            try:
                await work()
            except StorageError as error:
                assert type(error) is StorageError, repr(error)
                failures += 1
                await asyncio.sleep(0.05)  # the store does not say when it is back
            else:
                return failures


# -- a server that closes connections


@pytest.mark.parametrize("is_idle", [True, False])
def test_a_connection_that_was_closed_while_it_was_idle_is_replaced(
    server: PostgreSQL, is_idle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is in use all the time is not checked, which takes a third of the time of a read."""
    monkeypatch.setattr(connection_module, "_TRUSTED", 0.0 if is_idle else 1000.0)
    engine = make_engine(server.url, store_module._PURPOSE, timeout=WITHIN)
    with engine.connect() as connection:
        process = connection.scalar(select(func.pg_backend_pid()))
    with psycopg.connect(server.url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (process,))
    if not is_idle:
        with pytest.raises(OperationalError), engine.connect() as connection:
            connection.execute(select(1))
    # Once it has failed, it is not used again.
    with engine.connect() as connection:
        assert connection.scalar(select(func.pg_backend_pid())) != process
    engine.dispose()


# -- a server that hangs


@pytest.mark.long
@pytest.mark.fault(
    part="The launches' database",
    fault="hangs (PostgreSQL, SIGSTOP)",
    promise="each request fails within `Storage.timeout`",
)
@asynchronous(120)
async def test_a_server_that_hangs_is_an_error_after_the_timeout(server: PostgreSQL) -> None:
    """The kernel of a stopped server still acknowledges what is sent."""
    store = store_of(server.url, timeout=1.0)
    async with running(store):
        channel = await with_channel(store)
        await store.close(channel)
        server.pause()
        try:
            began = time.monotonic()
            results = await asyncio.gather(
                store.renew(NAME, b""),
                *(store.read(channel, 0, limit=10) for _ in range(20)),
                store.find(NAME),
                return_exceptions=True,
            )
            assert all(isinstance(result, StorageError) for result in results)
            assert "did not answer within 1 s" in str(results[0])
            # Not one timeout after the other, with 20 for 4 threads.
            assert time.monotonic() - began < WITHIN
        finally:
            server.resume()
        await insist(lambda: store.renew(NAME, b"it is back"))
        assert await numbers(store, channel) == [1, 2, 3]


@pytest.mark.long
@pytest.mark.fault(
    part="The launches' database",
    fault="hangs when the server stops",
    promise="the server does not wait for it",
)
@asynchronous(120)
async def test_a_shutdown_does_not_wait_for_a_server_that_hangs(server: PostgreSQL) -> None:
    store = store_of(server.url)
    await store.open()
    channel = await with_channel(store)
    server.pause()
    try:
        append = asyncio.create_task(store.append(channel, [event(4)], expected=3))
        found = asyncio.create_task(store.find(NAME))
        await asyncio.sleep(0.2)  # they are on their way
        began = time.monotonic()
        await store.shutdown()
        # It may take 5 s; the machine may be busy.
        assert time.monotonic() - began < WITHIN
        with pytest.raises(StorageError):
            await append
        with pytest.raises(StorageError):
            await found
        assert not [thread for thread in threading.enumerate() if thread.name == "channel notices"]
    finally:
        server.resume()


@pytest.mark.long
@pytest.mark.fault(
    part="The launches' database",
    fault="hangs when the server starts",
    promise="the server does not wait for ever",
)
@asynchronous(120)
async def test_opening_does_not_wait_for_ever(server: PostgreSQL) -> None:
    store = store_of(server.url, timeout=1.0)
    server.pause()
    try:
        with pytest.raises(StorageError, match=r"cannot be reached .*timeout"):
            await store.open()
    finally:
        server.resume()
    # It may be tried again.
    await insist(store.open)
    await with_channel(store)
    await store.shutdown()


@pytest.mark.long
def test_a_wait_ends_when_it_should(server: PostgreSQL) -> None:
    stopping = threading.Event()
    arguments = psycopg.conninfo.conninfo_to_dict(server.url)
    connection = connector(dict(arguments), timeout=60.0, stopping=stopping)()
    threading.Timer(0.3, stopping.set).start()
    with pytest.raises(psycopg.OperationalError, match="was closed while it waited"):
        connection.execute("SELECT pg_sleep(3)")
    assert connection.closed


# -- a server that is killed


@pytest.mark.fault(
    part="The launches' database",
    fault="is killed, and starts again",
    promise="nothing that was stored is lost",
)
@asynchronous(240)
async def test_nothing_is_lost_when_the_server_is_killed_and_comes_back(
    server: PostgreSQL,
) -> None:
    async with (
        running(store_of(server.url, lasts=60.0)) as first,
        running(store_of(server.url, lasts=60.0)) as second,
    ):
        channel = await with_channel(first, count=0)
        watcher, changes = Watcher(), Changes()
        second.watch(channel, watcher)
        second.watch_lease(NAME, changes)
        failures = 0
        for number in range(1, 301):
            batch = [event(number, f"line {number}")]
            failures += await insist(
                lambda batch=batch, number=number: first.append(channel, batch, expected=number - 1)
            )
            if number in {100, 200}:
                server.kill()
                threading.Timer(1.0, server.restart).start()
        assert failures
        assert await numbers(first, channel) == list(range(1, 301))
        await insist(lambda: first.close(channel))
        # The other replica hears of it, although notifications were lost.
        await watcher.has(300, closed=True)
        assert watcher.reports == sorted(watcher.reports)
        await changes.more()
        read = await second.read(channel, 0, limit=1000)
        assert [each.event.message for each in read] == [f"line {n}" for n in range(1, 301)]


class Lost:
    """Connections whose answer to a commit is lost."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.next = False
        original = BoundedConnection.commit

        def commit(connection: BoundedConnection) -> None:
            original(connection)
            if self.next:
                self.next = False
                connection.pgconn.finish()
                raise psycopg.OperationalError("server closed the connection unexpectedly")

        monkeypatch.setattr(BoundedConnection, "commit", commit)


@pytest.mark.fault(
    part="The launches' database",
    fault="is lost between a commit and its answer",
    promise="it is not stored twice",
)
@asynchronous(60)
async def test_what_was_stored_although_the_answer_was_lost_is_not_stored_twice(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Lost(monkeypatch)
    async with running(store_of(database_url)) as store:
        # After this, no other commit is on its way.
        await store.lease("launch/first", b"")
        await store.drop("launch/first")

        async def twice(work: Any) -> Any:
            lost.next = True
            with pytest.raises(StorageError, match="cannot be reached"):
                await work()
            return await work()

        await twice(lambda: store.lease(NAME, b"state", key="key"))
        await twice(lambda: store.create("channel", lease=NAME))
        watcher = Watcher()
        store.watch("channel", watcher)
        await twice(lambda: store.append("channel", events(1, 3), expected=0))
        await watcher.has(3, closed=False)
        # Meanwhile, more was written.
        lost.next = True
        with pytest.raises(StorageError):
            await store.append("channel", events(4, 5), expected=3)
        await store.append("channel", events(4, 9), expected=3)
        await twice(lambda: store.renew(NAME, b"new"))
        await twice(lambda: store.close("channel"))
        await twice(lambda: store.end(NAME, b"over", expires=time.time() + 1000))
        assert await numbers(store, "channel") == list(range(1, 10))
        (lease,) = await store.leases("")
        assert (lease.state, lease.fence, lease.ended) == (b"over", 1, True)
        # Another one that asks for the same is refused all the same.
        with pytest.raises(LeaseTakenError):
            await store.lease(NAME, b"")
        await store.lease("launch/other", b"")
        await store.create("other", lease="launch/other")
        lost.next = True
        with pytest.raises(StorageError):
            await store.append("other", [event(1, "one")], expected=0)
        with pytest.raises(StorageError, match="is 1, not 0"):
            await store.append("other", [event(1, "another")], expected=0)


@asynchronous(60)
async def test_a_lease_that_was_taken_although_the_answer_was_lost(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replicas = PostgreSQLReplicas(database_url)
    first = replicas.new()
    await first.open()
    channel = await with_channel(first)
    await replicas.kill(first)
    async with running(replicas.new()) as second:
        await until(second.abandoned)
        await second.lease("launch/other", b"")
        lost = Lost(monkeypatch)
        lost.next = True
        with pytest.raises(StorageError, match="cannot be reached"):
            await second.take(NAME)
        lease = await second.take(NAME)
        assert lease.owner == second.replica
        assert await second.find(NAME) == lease
        await second.append(channel, [event(4)], expected=3)
        # The same with one that was claimed: it is not claimed for another one, too.
        await second.lease("standby", b"")
        lost.next = True
        with pytest.raises(StorageError, match="cannot be reached"):
            await second.claim("standby", to=NAME, state=b"has it")
        assert not await second.claim("standby", to="launch/other", state=b"")
        assert await second.claim("standby", to=NAME, state=b"has it")
        assert not await second.claim("standby", to=NAME, state=b"has it")


@asynchronous(60)
async def test_replicas_that_take_the_same_leases_do_not_deadlock(database_url: str) -> None:
    """PostgreSQL would notice a deadlock after a second, in which nothing is stored."""
    replicas = PostgreSQLReplicas(database_url)
    gone = replicas.new()
    await gone.open()
    names = [f"launch/{number:02}" for number in range(40)]
    for name in names:
        await gone.lease(name, b"")
    async with running(replicas.new()) as first, running(replicas.new()) as second:
        await replicas.kill(gone)
        await until(lambda: all_abandoned(first, names))
        # Each change is one of many that are committed together.
        results = await asyncio.gather(
            *(first.take(name) for name in names),
            *(second.take(name) for name in reversed(names)),
            second.seen(names),
            return_exceptions=True,
        )
        taken = [each.name for each in results if isinstance(each, Lease)]
        assert sorted(taken) == names
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        assert found.fetchone() == (0,)


async def all_abandoned(store: DatabaseStore, names: list[str]) -> bool:
    return len(await store.abandoned()) == len(names)


# -- being alive


@asynchronous(120)
async def test_a_replica_that_could_not_say_that_it_is_alive_knows_it(server: PostgreSQL) -> None:
    first = store_of(server.url, lasts=1.0, timeout=1.0)
    async with running(first):
        await with_channel(first)
        assert first.is_alive
        changes = Changes()
        first.watch_lease(NAME, changes)
        server.pause()
        try:
            async with asyncio.timeout(WITHIN):
                while first.is_alive:  # noqa: ASYNC110 - it is a matter of time
                    await asyncio.sleep(0.05)
        finally:
            server.resume()
        # It is told to look whether its leases are still its own.
        await changes.more()
        async with asyncio.timeout(WITHIN):
            while not first.is_alive:  # noqa: ASYNC110 - it is a matter of time
                await asyncio.sleep(0.05)
        await insist(lambda: first.renew(NAME, b"goes on"))
        assert await first.abandoned() == []


@asynchronous(60)
async def test_one_that_stops_says_so_to_those_that_watch_its_leases(database_url: str) -> None:
    first = store_of(database_url)
    await first.open()
    await first.lease(NAME, b"")
    async with running(store_of(database_url)) as second:
        changes = Changes()
        second.watch_lease(NAME, changes)
        await first.shutdown()
        await changes.more()
        assert [lease.name for lease in await second.abandoned()] == [NAME]


@asynchronous(60)
async def test_one_that_watches_late_hears_how_far_a_channel_is(database_url: str) -> None:
    async with running(store_of(database_url)) as first, running(store_of(database_url)) as second:
        channel = await with_channel(first)
        early, late = Watcher(), Watcher()
        second.watch(channel, early)
        await early.has(3, closed=False)
        await first.close(channel)
        await early.has(3, closed=True)
        second.watch(channel, late)
        await late.has(3, closed=True)


# -- tokens


def ready(number: int) -> Encoded:
    return Encoded.of(
        Event(
            id=number,
            phase=Phase.READY,
            time=0.0,
            elapsed=0.0,
            progress=100.0,
            url="http://127.0.0.1/user/ada/",
            token=TOKEN,
        )
    )


def everything(url: str) -> str:
    """All that is in the database, as text."""
    with psycopg.connect(url) as connection:
        found = ""
        for table in ("replicas", "leases", "channels", "batches"):
            for row in connection.execute(SQL("SELECT * FROM {}").format(Identifier(table))):
                found += "".join(
                    bytes(value).decode("latin-1") if isinstance(value, bytes) else str(value)
                    for value in row
                )
    return found


async def with_token(store: DurableStore) -> str:
    channel = await with_channel(store, count=0)
    await store.renew(NAME, f"the state, with {TOKEN}".encode())
    await store.append(channel, [event(1, "a line of the log")], expected=0)
    await store.append(channel, [event(2), ready(3)], expected=1)
    return channel


@asynchronous(60)
async def test_tokens_are_encrypted_in_the_database(database_url: str) -> None:
    """Attack: whoever can read the database, or a backup of it, has everybody's servers."""
    async with running(store_of(database_url, window=0)) as store:
        channel = await with_token(store)
        await store.close(channel)
        found = everything(database_url)
        assert TOKEN not in found
        assert "a line of the log" in found
        lease = await store.find(NAME)
        assert lease is not None and lease.state.endswith(TOKEN.encode())
        read = await store.read(channel, 0, limit=10)
        assert [each.sse for each in read][2] == ready(3).sse


@asynchronous(60)
async def test_keys_are_changed_one_after_the_other(database_url: str) -> None:
    old, new = secrets.token_hex(32), secrets.token_urlsafe(32)
    first = store_of(database_url, keys=old, lasts=1.0)
    await first.open()
    channel = await with_token(first)
    await first.shutdown()
    with pytest.raises(ConfigError, match="BINDERPROGRESS_CRYPT_KEY does not have"):
        await store_of(database_url, keys=new).open()
    async with running(store_of(database_url, keys=f"{new}; {old}")) as second:
        lease = await second.take(NAME)
        await second.renew(NAME, lease.state)
        assert len(await numbers(second, channel)) == 3
    # What was written last has the new key; the events have the earlier one.
    async with running(store_of(database_url, keys=new)) as third:
        lease = await third.take(NAME)
        assert TOKEN.encode() in lease.state
        with pytest.raises(StorageError, match="BINDERPROGRESS_CRYPT_KEY does not have"):
            await numbers(third, channel)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("", "openssl rand -hex 32"),
        (" ; ", "openssl rand -hex 32"),
        ("secret", "Key 1 of BINDERPROGRESS_CRYPT_KEY is not 32 bytes"),
        (f"{KEY};{'z' * 64}", "Key 2 of BINDERPROGRESS_CRYPT_KEY is not 32 bytes"),
    ],
)
def test_what_is_wrong_with_a_key_is_said_with_what_to_do(keys: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        store_of("postgresql://127.0.0.1/x", keys=keys)
    assert "zzz" not in str(caught.value) and "secret" not in str(caught.value)


@asynchronous(60)
async def test_a_database_that_does_not_exist(postgresql_url: str) -> None:
    url = postgresql_url.rpartition("/")[0] + "/missing"
    with pytest.raises(ConfigError, match=r"does not exist\. Create it with createdb"):
        await store_of(url).open()
    with pytest.raises(StorageError, match="cannot be reached") as caught:
        await store_of("postgresql://ada:password@127.0.0.1:1/x").open()
    assert "password" not in str(caught.value)


@asynchronous(60)
async def test_a_database_with_any_encoding_can_be_used(postgresql_url: str) -> None:
    """With SQL_ASCII, the driver returns bytes unless it is told what they are."""
    name = f"ascii_{secrets.token_hex(4)}"
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(
            SQL(
                "CREATE DATABASE {} ENCODING 'SQL_ASCII' TEMPLATE template0 "
                "LC_COLLATE 'C' LC_CTYPE 'C'"
            ).format(Identifier(name))
        )
        url = f"{postgresql_url.rpartition('/')[0]}/{name}"
        try:
            async with running(store_of(url)) as store:
                assert await numbers(store, await with_channel(store)) == [1, 2, 3]
        finally:
            connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
