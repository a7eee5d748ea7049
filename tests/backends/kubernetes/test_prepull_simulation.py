"""The prepuller among nodes that join and leave, on a virtual clock."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.prepull import compare, table
from binderprogress.backends.kubernetes.pulling import Pulling


@pytest.mark.parametrize("seed", [1, 2])
def test_launches_find_their_image_within_budget_and_bound(seed: int) -> None:
    found = compare(
        nodes=6, images=40, hours=2.5, warm_up=1, rate=4, budget=30, max_pulls=3, seed=seed
    )
    ours, nothing = found["prepuller"], found["nothing"]
    assert ours["launches"] == nothing["launches"] > 200
    assert ours["most_used_gib"] <= 30
    assert ours["most_at_once"] == ours["most_pods"] == 3
    assert ours["found"] > nothing["found"] + 0.15
    assert ours["waited_mean_s"] < nothing["waited_mean_s"] / 2
    assert "prepuller" in table(found)


def test_users_wait_less_if_pulls_in_advance_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    yielding, stubborn = run_busy(), run_busy(monkeypatch)
    assert yielding["given_up"] > 0
    assert yielding["waited_mean_s"] < stubborn["waited_mean_s"]
    assert yielding["waited_p99_s"] < stubborn["waited_p99_s"]


def run_busy(monkeypatch: pytest.MonkeyPatch | None = None) -> dict[str, Any]:
    """Launch often on few nodes. With `monkeypatch`, the prepuller ignores users."""
    if monkeypatch is not None:
        monkeypatch.setattr(Pulling, "_is_needed", lambda *_: False)
    found = compare(
        nodes=3, images=40, hours=1.5, warm_up=1, rate=20, budget=20, max_pulls=3, seed=3
    )
    ours: dict[str, Any] = found["prepuller"]
    return ours
