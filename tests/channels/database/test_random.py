"""Random requests of many tasks, compared with a model, while processes come and go."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter

import pytest

from binderprogress.channels.durable import ChannelState, DurableStore
from binderprogress.core.events import Encoded
from binderprogress.errors import ChannelConflictError, ChannelNotFoundError

from ...support.asynchronous import asynchronous
from ...support.replicas import Replicas
from ..test_conformance import event
from ..test_durable_conformance import until


class Actor:
    """Uses one lease with one channel, and knows what has to be in it."""

    def __init__(self, name: str, chance: random.Random) -> None:
        self.name = name
        self.done: Counter[str] = Counter()
        self.heard = 0
        self._chance = chance
        self._channel = f"channel of {name}"
        self._events: list[Encoded] = []
        self._first = 1
        self._exists = self._closed = self._backwards = False

    @property
    def last(self) -> int:
        return self._first + len(self._events) - 1

    async def begin(self, store: DurableStore) -> None:
        await store.lease(self.name, b"")

    async def go_on(self, store: DurableStore) -> None:
        await store.take(self.name)

    async def run(self, store: DurableStore, steps: int) -> None:
        """Make random requests one after the other, and compare the answers."""
        stop = store.watch(self._channel, self._hear) if self._exists else lambda: None
        works = [self.append] * 6 + [self.read] * 4 + [self.conflict, self.describe]
        works += [self.close, self.discard]
        for _ in range(steps):
            work = self._chance.choice(works) if self._exists else self.create
            await work(store)
            self.done[work.__name__] += 1
            if work.__name__ == "create":
                stop = store.watch(self._channel, self._hear)
            elif work.__name__ == "discard":
                stop()
                self.heard = 0
        await self.read(store)
        stop()
        assert not self._backwards

    def _hear(self, last: int, closed: bool) -> None:
        self._backwards |= last < self.heard
        self.heard = last

    async def create(self, store: DurableStore) -> None:
        self._first = self._chance.choice([1, 1, 2, 50])
        await store.create(self._channel, first=self._first, lease=self.name)
        self._events, self._exists, self._closed = [], True, False

    async def append(self, store: DurableStore) -> None:
        count = self._chance.choice([1, 1, 1, 2, 5, 40])
        size = self._chance.choice([0, 10, 100, 3000])
        batch = [event(self.last + n, "x" * size) for n in range(1, count + 1)]
        if self._closed:
            with pytest.raises(ChannelConflictError):
                await store.append(self._channel, batch, expected=self.last)
            return
        await store.append(self._channel, batch, expected=self.last)
        self._events += batch

    async def conflict(self, store: DurableStore) -> None:
        expected = self.last + self._chance.choice([-7, -1, 1, 3])
        with pytest.raises(ChannelConflictError):
            await store.append(self._channel, [event(max(expected + 1, 1))], expected=expected)
        with pytest.raises(ChannelConflictError):
            await store.create(self._channel, lease=self.name)

    async def read(self, store: DurableStore) -> None:
        if not self._exists:
            with pytest.raises(ChannelNotFoundError):
                await store.read(self._channel, 0, limit=1)
            return
        after = self._chance.randint(0, self.last + 2)
        limit = self._chance.choice([0, 1, 3, 50, 10_000])
        wanted = [each for each in self._events if each.id > after][:limit]
        for found in (
            store.read_nowait(self._channel, after, limit=limit),
            await store.read(self._channel, after, limit=limit),
        ):
            if found is not None:
                assert [(each.id, each.sse) for each in found] == [
                    (each.id, each.sse) for each in wanted
                ]

    async def describe(self, store: DurableStore) -> None:
        state = ChannelState(self._first, self.last, self._closed)
        assert await store.describe(self._channel) == state

    async def close(self, store: DurableStore) -> None:
        if self._chance.random() < 0.3:
            await store.close(self._channel)
            self._closed = True

    async def discard(self, store: DurableStore) -> None:
        if self._chance.random() < 0.3:
            await store.discard(self._channel)
            self._exists = False
            await self.read(store)


# `make faults` tries more.
SEEDS = int(os.environ.get("RANDOM_SEEDS", "1"))


# `tests/channels/test_durable_conformance.py` makes each of the requests.
@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEEDS))
@asynchronous(200)
async def test_random_requests(replicas: Replicas, seed: int) -> None:
    actors = [Actor(f"launch/{n}", random.Random(f"{seed} {n}")) for n in range(12)]  # noqa: S311 - reproducible
    for generation in range(3):
        store = replicas.new()
        await store.open()
        if generation:

            async def all_left(store: DurableStore = store) -> bool:
                return len(await store.abandoned()) == len(actors)

            await until(all_left)
        await asyncio.gather(
            *(actor.go_on(store) if generation else actor.begin(store) for actor in actors)
        )
        await asyncio.gather(*(actor.run(store, 60) for actor in actors))
        if generation % 2:
            await store.shutdown()
        else:
            await replicas.kill(store)
    done = sum((actor.done for actor in actors), Counter[str]())
    assert set(done) == {"append", "close", "conflict", "create", "describe", "discard", "read"}
    # Most of what is heard comes from appends.
    assert any(actor.heard for actor in actors)
