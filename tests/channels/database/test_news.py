"""What is new in channels of other replicas, read from PostgreSQL with one statement."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import psycopg
import pytest

from binderprogress.channels.database.store import DatabaseStore
from binderprogress.channels.database.window import News
from binderprogress.channels.durable import ChannelState

from ...support.asynchronous import asynchronous
from ...support.replicas import KEY, LOG
from ..test_conformance import Watcher, event, events
from ..test_durable_conformance import NAME, Changes, running, with_channel

STRANGE = 'a "name" with {braces}, a \\ and a \0, ünd \ud800'
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE %s AND pid <> %s"


def store_of(url: str) -> DatabaseStore:
    return DatabaseStore(url, keys=KEY, log=LOG)


async def news_of(
    store: DatabaseStore, known: dict[str, int], size: int = 2**62
) -> dict[str, tuple[ChannelState, Sequence[int]]]:
    found = await store._reader.news(known, size)
    return {name: (news.state, [each.id for each in news.events]) for name, news in found.items()}


@asynchronous(60)
async def test_what_is_new_after_any_number(database_url: str) -> None:
    """Few events are read with those of other channels; many, or a part of them, are not."""
    async with running(store_of(database_url)) as store:
        await store.lease(NAME, b"")
        for name, first in (("long", 1), (STRANGE, 7), ("empty", 5)):
            await store.create(name, first=first, lease=NAME)
        for last in range(0, 1500, 50):
            await store.append("long", events(last + 1, last + 50), expected=last)
        await store.append(STRANGE, [event(7)], expected=6)
        await store.append(STRANGE, [event(8), event(9)], expected=7)
        await store.close(STRANGE)
        long = ChannelState(1, 1500, closed=False)
        for after in (0, 499, 500, 725, 1499, 1500):
            found = await news_of(store, {"long": after, STRANGE: 7, "empty": 4, "none": 0})
            assert found == {
                "long": (long, list(range(after + 1, 1501))),
                STRANGE: (ChannelState(7, 9, closed=True), [8, 9]),
                "empty": (ChannelState(5, 4, closed=False), []),
            }
        # Of a channel that is new here, only the extent is wanted.
        assert await news_of(store, {"long": 2**62, STRANGE: 0}) == {
            "long": (long, []),
            STRANGE: (ChannelState(7, 9, closed=True), [7, 8, 9]),
        }
        # Of many events, the newest that fit, without a gap.
        _, newest = (await news_of(store, {"long": 10}, size=100 * len(event(1000).sse)))["long"]
        assert newest == list(range(newest[0], 1501))
        assert 100 <= len(newest) <= 150


@asynchronous(60)
async def test_launches_in_which_nothing_happens_cost_no_others(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Channels that do not exist yet are asked for only with those they are followed with."""
    async with running(store_of(database_url)) as first, running(store_of(database_url)) as second:
        asked: list[set[str]] = []
        read = second._reader.news

        async def news(known: dict[str, int], size: int) -> dict[str, News]:
            asked.append(set(known))
            return await read(known, size)

        monkeypatch.setattr(second._reader, "news", news)
        groups = [[await with_channel(first, f"{n}"), f"build {n}", f"tail {n}"] for n in range(3)]
        changes = [Changes() for _ in groups]
        for ids, told in zip(groups, changes, strict=True):
            second.follow(ids, told)
            await told.more()
        asked.clear()
        await first.append(groups[1][0], [event(4)], expected=3)
        await changes[1].more()
        assert asked == [set(groups[1])]
        await first.create("tail 1", lease="1")
        await changes[1].more()
        await first.append("tail 1", [event(1)], expected=0)
        await changes[1].more()
        assert asked[1:] == [{"tail 1", "build 1"}] * 2


@asynchronous(60)
async def test_a_connection_that_was_cut_is_replaced(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(store_of(database_url)) as first, running(store_of(database_url)) as second:
        channel = await with_channel(first)
        watcher = Watcher()
        second.watch(channel, watcher)
        await watcher.has(3, closed=False)
        with psycopg.connect(database_url) as connection:
            cut = connection.execute(CUT, ("%WITH ORDINALITY%", connection.info.backend_pid))
            assert cut.fetchall() == [(True,)]
        with caplog.at_level(logging.WARNING):
            await first.append(channel, [event(4)], expected=3)
            await watcher.has(4, closed=False)
        assert not caplog.messages
