"""What is taken from a history, and what is left to the simulation."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from binderprogress.core.phases import Phase
from binderprogress.core.timing.spans import PastLaunch, Span
from binderprogress.errors import ConfigError
from binderprogress.whatif.past import Past
from binderprogress.whatif.policy import Hubs, Policy

from ..history.launches import NOON, past, spans

DAY = 86400.0
POLICY = Policy()


def read(*launches: PastLaunch, **values: Any) -> Past:
    return Past(launches, **{"began": NOON, "ended": NOON + DAY, "policy": POLICY, **values})


def warm(began: float, *, queued: float = 0.0, node: float = 0.0, **fields: Any) -> PastLaunch:
    took = [
        Span(Phase.WAITING, 0.0, 2.0, step="resolving"),
        Span(Phase.WAITING, 2.0, 2.0 + queued, step="queued"),
        Span(Phase.LAUNCHING, 2.0 + queued, 2.0 + queued + node, step="adding-node"),
        Span(Phase.LAUNCHING, 2.0 + queued + node, 9.0 + queued + node, step="starting"),
    ]
    return past(began=NOON + began, cold=False, spans=took, **fields)


def test_a_launch_is_divided_into_its_work() -> None:
    source = read(past(), warm(100.0, queued=50.0, node=120.0), warm(200.0, node=3.0))
    demand = source.draw(Random(1))
    cold, waited, brief = demand.requests
    assert (cold.time, cold.check, cold.build, cold.start) == (0.0, 4.0, 46.0, 5.0)
    assert (waited.time, waited.check, waited.start) == (100.0, 2.0, 7.0)
    assert waited.build == 46.0  # as the repository's, should it have to
    assert brief.start == 10.0
    (image,) = demand.images
    assert not image.is_built
    # 10 s at 100 MB/s.
    assert image.gb == pytest.approx(1.0)


def test_an_image_that_was_not_built_was_there() -> None:
    demand = read(warm(5.0), past(began=NOON + 9.0)).draw(Random(1))
    assert [image.is_built for image in demand.images] == [True]
    before = read(past(began=NOON - DAY), past()).draw(Random(1))
    assert [image.is_built for image in before.images] == [True]
    assert before.scores == [pytest.approx(2 ** (-1 / 14))]
    assert len(before.requests) == 1


def test_launches_go_to_the_hubs_that_they_went_to() -> None:
    # A failed build may not say where it was.
    hosts = ["hub-b", "hub-a", "hub-b"]
    known = [warm(float(n), host=host) for n, host in enumerate(hosts)]
    lost = past(began=NOON + 9.0, outcome=Phase.FAILED, spans=spans(building=20.0)[:3])
    source = read(*known, lost, policy=Policy(hubs=Hubs(count=2)))
    assert source.recorded.hubs == ["hub-a", "hub-b"]
    demand = source.draw(Random(1))
    assert [request.hub for request in demand.requests] == [1, 0, 1, -1]
    assert demand.hubs == Hubs(count=2)
    assert read(*known).draw(Random(1)).hubs is None


def pulled(number: int, seconds: float, *, node: float = 0.0, **fields: Any) -> PastLaunch:
    """A warm launch of one of five repositories, for which a node was added or not."""
    took = [
        Span(Phase.LAUNCHING, 0.0, node, step="adding-node"),
        Span(Phase.LAUNCHING, node, node + seconds, step="pulling"),
        Span(Phase.LAUNCHING, node + seconds, node + seconds + 5.0, step="starting"),
    ]
    name = f"https://github.com/ada/{number % 5}"
    return past(began=NOON + number, repository=name, cold=False, spans=took, **fields)


def test_what_images_share_is_learned_from_new_nodes() -> None:
    old = [pulled(n, 10.0 + n % 5) for n in range(20)]
    new = [pulled(n, 18.0 + n % 5, node=120.0) for n in range(20, 40)]
    demand = read(*old, *new).draw(Random(1))
    # 8 s at 100 MB/s.
    assert demand.shared_gb == pytest.approx(0.8)
    assert [image.gb for image in demand.images] == pytest.approx([1.0, 1.1, 1.2, 1.3, 1.4])
    # What only new nodes have pulled, they have pulled with that.
    alone = pulled(50, 28.0, node=120.0, commit="b" * 40)
    assert read(*old, *new, alone).draw(Random(1)).images[5].gb == pytest.approx(2.0)
    # Too few say nothing.
    assert read(*old, *new[:19]).draw(Random(1)).shared_gb == 0.0
    # By chance, new nodes may be faster.
    fast = [pulled(n, 9.0, node=120.0) for n in range(20, 40)]
    assert read(*old, *fast).draw(Random(1)).shared_gb == 0.0


def test_a_percentile_that_few_launches_are_near_is_vague() -> None:
    # 95 of 100 take 9 s, the others a minute.
    slow = [Span(Phase.LAUNCHING, 0.0, 60.0, step="starting")]
    launches = [warm(float(n)) for n in range(95)]
    launches += [past(began=NOON + n, cold=False, spans=slow) for n in range(5)]
    recorded = read(*launches).recorded
    assert recorded.p95_range == (9.0, 60.0)
    assert read(*launches[:95]).recorded.p95_range == (9.0, 9.0)


def test_a_build_that_was_joined_is_none_of_its_own() -> None:
    joined = past(began=NOON + 20.0, joined=True, spans=spans(building=20.0))
    first, second = read(past(), joined).draw(Random(1)).requests
    assert (first.build, second.build) == (46.0, 46.0)


def test_what_is_recorded() -> None:
    failed = past(
        began=NOON + 50.0,
        outcome=Phase.FAILED,
        reason="build-failed",
        spans=spans()[:3],
    )
    spawn = past(began=NOON + 60.0, outcome=Phase.FAILED, reason="spawn-failed")
    cancelled = past(began=NOON + 70.0, outcome=Phase.CANCELLED)
    source = read(past(), warm(100.0), failed, spawn, cancelled)
    recorded = source.recorded
    assert (recorded.launches, recorded.failed, recorded.left_out) == (2, 1, 2)
    assert recorded.p50 == pytest.approx((65.0 + 9.0) / 2)
    assert [request.fails for request in source.draw(Random(1)).requests] == [False, True, False]


def test_sizes_without_containers_and_without_pulls() -> None:
    assert read(warm(0.0)).draw(Random(1)).images[0].gb == 0.0
    other = warm(50.0, repository="https://github.com/b/b", image_bytes=3_000_000_000)
    third = warm(60.0, repository="https://github.com/c/c")
    sizes = [image.gb for image in read(past(), other, third).draw(Random(1)).images]
    assert sizes == [pytest.approx(1.0), 3.0, pytest.approx(1.0)]


def test_a_build_of_a_repository_that_never_built() -> None:
    other = warm(50.0, repository="https://github.com/b/b")
    assert read(past(), other).draw(Random(1)).requests[1].build == 46.0
    assert read(other).draw(Random(1)).requests[0].build == POLICY.launches.build_seconds


def test_an_empty_period_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no launches in this period"):
        read(past(began=NOON - 5.0))
