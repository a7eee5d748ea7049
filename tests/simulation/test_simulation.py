"""Launches on a virtual clock, while servers are killed at any await and the store fails."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any
from unittest.mock import patch

import msgspec
import pytest

from binderprogress.backends.base import LaunchRequest
from binderprogress.core.events import Encoded
from binderprogress.core.timing.estimator import Estimator
from binderprogress.errors import LeaseLostError
from binderprogress.launches.channel import Channel
from binderprogress.launches.ledger import Ledger

from ..support.durable import DurableMemoryStore
from ..support.long import usually
from .run import run_seed, run_seeds
from .seeds import FOUND, FOUND_WITH_MANY, FOUND_WITH_STANDBY
from .world import SimulatedBackend

SEEDS = 50
"""In each part."""
SEEDS_WITH_MANY = 25
SEEDS_WITH_STANDBY = 25


@pytest.mark.parametrize("part", usually(range(15), 0, 1, 2, 3))
def test_nothing_is_lost_or_repeated(part: int) -> None:
    result = run_seeds(range(part * SEEDS, (part + 1) * SEEDS))
    print(result)
    assert result.launches > 5 * SEEDS
    assert result.crashes > SEEDS
    assert not result.failures, str(result)


@pytest.mark.parametrize("part", usually(range(6), 0, 1))
def test_nothing_is_lost_or_repeated_with_several_servers(part: int) -> None:
    seeds = range(part * SEEDS_WITH_MANY, (part + 1) * SEEDS_WITH_MANY)
    result = run_seeds(seeds, many=True)
    print(result)
    assert result.launches > 5 * SEEDS_WITH_MANY
    assert result.crashes > SEEDS_WITH_MANY / 2
    assert not result.failures, str(result)


@pytest.mark.parametrize("part", usually(range(4), 0))
@pytest.mark.parametrize("many", usually([False, True], True))
def test_servers_that_stand_ready_are_neither_lost_nor_handed_out_twice(
    many: bool, part: int
) -> None:
    seeds = range(part * SEEDS_WITH_STANDBY, (part + 1) * SEEDS_WITH_STANDBY)
    result = run_seeds(seeds, many=many, standby=True)
    print(result)
    assert result.taken > SEEDS_WITH_STANDBY / 5
    assert result.crashes > SEEDS_WITH_STANDBY / 2
    assert not result.failures, str(result)


def test_what_failed_once_does_not_fail_again() -> None:
    result = run_seeds(FOUND)
    result.add(run_seeds(FOUND_WITH_MANY, many=True))
    result.add(run_seeds(FOUND_WITH_STANDBY, many=True, standby=True))
    assert not result.failures, str(result)


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("seed", [2, 12, 58])
def test_a_seed_gives_the_same_run_each_time(seed: int, many: bool) -> None:
    first = run_seed(seed, many=many)
    assert len(first) > 20
    assert run_seed(seed, many=many) == first


# -- mistakes that simulations have to notice


async def _nothing(*_: object) -> None:
    pass


def test_servers_that_are_left_over_are_noticed() -> None:
    with patch.object(SimulatedBackend, "stop", _nothing):
        result = run_seeds(range(100), most_failures=3)
    assert any("runs, and nobody got it" in problem for problem in result.failures.values())


def test_a_second_server_after_a_takeover_is_noticed() -> None:
    launch = SimulatedBackend.launch

    def launch_for_this_process(
        backend: SimulatedBackend, request: LaunchRequest[Any, Any]
    ) -> AsyncGenerator[Any, None]:
        # Its successor asks for a server of another name.
        key = f"{request.key}-{backend._process.name}"
        return launch(backend, msgspec.structs.replace(request, key=key))

    with patch.object(SimulatedBackend, "launch", launch_for_this_process):
        result = run_seeds(range(50), most_failures=5)
    assert any("servers were started for it" in problem for problem in result.failures.values())


@pytest.mark.long
def test_an_owner_that_writes_what_another_one_has_taken_is_noticed() -> None:
    with patch.object(DurableMemoryStore, "_writable", DurableMemoryStore._channel):
        result = run_seeds(range(500), many=True, most_failures=1)
    assert result.failures


def test_a_launch_that_another_replica_takes_while_it_is_read_is_noticed() -> None:
    with patch.object(Ledger, "confirm", _nothing):
        result = run_seeds(range(50, 60), many=True, most_failures=1)
    assert any("got event" in problem for problem in result.failures.values())


def test_a_launch_that_ends_without_a_reason_for_it_is_noticed() -> None:
    give = DurableMemoryStore.give

    async def give_to_others(store: DurableMemoryStore, name: str, replica: str) -> None:
        if replica == store.replica:
            raise LeaseLostError
        await give(store, name, replica)

    with patch.object(DurableMemoryStore, "give", give_to_others):
        result = run_seeds(range(110, 140), many=True, most_failures=1)
    assert any("reason store-failed" in problem for problem in result.failures.values())


def test_a_launch_whose_end_is_lost_is_noticed() -> None:
    append = DurableMemoryStore.append

    async def append_without_end(
        store: DurableMemoryStore, channel_id: str, events: Sequence[Encoded], *, expected: int
    ) -> None:
        if kept := [each for each in events if not each.event.terminal]:
            await append(store, channel_id, kept, expected=expected)

    with patch.object(DurableMemoryStore, "append", append_without_end):
        result = run_seeds(range(10), most_failures=1)
    assert result.failures


def test_a_bar_that_goes_back_after_a_takeover_is_noticed() -> None:
    def forget(_: Estimator, *__: object, **___: object) -> None:
        pass

    with patch.object(Estimator, "hold", forget):
        result = run_seeds(range(100), most_failures=1)
    assert any("the bar goes back" in problem for problem in result.failures.values())


def test_events_that_are_shown_before_they_are_stored_are_noticed() -> None:
    append = Channel.append

    def append_and_show(channel: Channel, event: object) -> object:
        encoded = append(channel, event)  # type: ignore[arg-type] # it is passed on
        channel._storing = [*channel._storing, encoded]
        channel._advance(encoded.id, False)
        return encoded

    with patch.object(Channel, "append", append_and_show):
        result = run_seeds(range(50), most_failures=1)
    assert result.failures
