"""Launches on a virtual clock, while servers are killed at any await and the store fails."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from binderprogress.launches.channel import Channel

from ..support.long import usually
from .run import run_seed, run_seeds
from .seeds import FOUND, FOUND_WITH_MANY
from .world import SimulatedBackend

SEEDS = 50
"""In each part."""
SEEDS_WITH_MANY = 25
SEEDS_WITH_STANDBY = 25


@pytest.mark.parametrize("part", usually(range(15), 0))
def test_nothing_is_lost_or_repeated(part: int) -> None:
    result = run_seeds(range(part * SEEDS, (part + 1) * SEEDS))
    print(result)
    assert result.launches > 5 * SEEDS
    assert result.crashes > SEEDS
    assert not result.failures, str(result)


@pytest.mark.parametrize("part", usually(range(6), 0))
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
    assert result.taken > SEEDS_WITH_STANDBY / 2
    assert result.crashes > SEEDS_WITH_STANDBY / 2
    assert not result.failures, str(result)


def test_what_failed_once_does_not_fail_again() -> None:
    result = run_seeds(FOUND)
    result.add(run_seeds(FOUND_WITH_MANY, many=True))
    assert not result.failures, str(result)


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("seed", [2, 12, 46])
def test_a_seed_gives_the_same_run_each_time(seed: int, many: bool) -> None:
    first = run_seed(seed, many=many)
    assert len(first) > 20
    assert run_seed(seed, many=many) == first


async def _nothing(*_: object) -> None:
    pass


def test_servers_that_are_left_over_are_noticed() -> None:
    with patch.object(SimulatedBackend, "stop", _nothing):
        result = run_seeds(range(100))
    assert any("runs, and nobody got it" in problem for problem in result.failures.values())


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
