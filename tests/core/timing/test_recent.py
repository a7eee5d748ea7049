"""Statistics of recent launches, with a clock of the test."""

from __future__ import annotations

import sys

from binderprogress.core.phases import Phase
from binderprogress.core.timing.recent import Ended, Recent, Window, quantile


def test_nothing_yet_is_not_a_failure() -> None:
    assert Window().look(0.0) == Recent(
        seconds=600.0,
        ready=0,
        failed=0,
        cancelled=0,
        success_rate=None,
        launch_seconds={"p50": None, "p90": None},
        reasons={},
    )


def test_it_counts_what_ended() -> None:
    window = Window(60.0)
    for second in range(1, 10):
        window.add(Ended(float(second), Phase.READY, float(second)))
    for reason in ("quota", "quota", "bad-ref"):
        window.add(Ended(10.0, Phase.FAILED, 1000.0, reason))
    # Who changes their mind says nothing of the server.
    window.add(Ended(10.0, Phase.CANCELLED, 2000.0, "cancelled"))
    found = window.look(11.0)
    assert (found.ready, found.failed, found.cancelled) == (9, 3, 1)
    assert found.success_rate == 0.75
    assert found.launch_seconds == {"p50": 5.0, "p90": 9.0}
    assert found.reasons == {"quota": 2, "bad-ref": 1}


def test_it_forgets() -> None:
    window = Window(60.0)
    for at in (0.0, 30.0, 59.0):
        window.add(Ended(at, Phase.READY, 1.0))
    assert [window.look(now).ready for now in (59.9, 60.0, 90.0, 119.0, 1e9)] == [3, 2, 1, 0, 0]


def test_attack_more_launches_than_memory() -> None:
    window = Window(limit=100)
    size = 0
    for number in range(10_000):
        window.add(Ended(float(number) / 1000, Phase.FAILED, 1.0, "quota"))
        if number == 200:
            size = sys.getsizeof(window._ended)
    assert window.look(10.0).failed == 100
    assert sys.getsizeof(window._ended) == size


def test_quantiles() -> None:
    for values, half, nine in (([], None, None), ([7.0], 7.0, 7.0), ([1.0, 2.0], 1.0, 2.0)):
        assert (quantile(values, 0.5), quantile(values, 0.9)) == (half, nine)
    hundred = [float(value) for value in range(1, 101)]
    assert [quantile(hundred, q) for q in (0.0, 0.5, 0.9, 1.0)] == [1.0, 50.0, 90.0, 100.0]
