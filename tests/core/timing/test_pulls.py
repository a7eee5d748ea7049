"""How long pulls take, from what earlier ones taught."""

from __future__ import annotations

from random import Random
from statistics import mean, median

import pytest

from binderprogress.core.log.steps import Step
from binderprogress.core.phases import Phase
from binderprogress.core.timing import pulls as module
from binderprogress.core.timing.estimator import TYPICAL, Estimator
from binderprogress.core.timing.pulls import Pulls, size_text

GB = 10**9


class Cluster:
    """Nodes that pull with different speeds, and never twice with the same.

    Layers take a moment each, the registry is slow now and then, and other pods pull, too.
    """

    def __init__(self, random: Random, nodes: int) -> None:
        self._random = random
        self.nodes = [f"node-{number}" for number in range(nodes)]
        pace = random.lognormvariate(0.0, 0.7)
        self._rates = {node: 60e6 * pace * random.lognormvariate(0.0, 0.4) for node in self.nodes}

    def pull(self) -> tuple[str, int, float]:
        """Return a node, a size in bytes, and the seconds that this pull takes."""
        random = self._random
        node = random.choice(self.nodes)
        size = int(min(max(random.lognormvariate(20.9, 0.6), 2e8), 6e9))
        once = random.uniform(0.5, 2.0)
        noise = random.lognormvariate(0.0, 0.12)
        if random.random() < 0.05:
            noise *= 2.0
        return node, size, once + size / self._rates[node] * noise


@pytest.mark.parametrize("nodes", [1, 2])
def test_after_ten_pulls_the_error_is_at_most_a_quarter(nodes: int) -> None:
    random = Random(nodes)  # noqa: S311 - no secret
    before, after = [], []
    for _ in range(200):
        cluster, pulls = Cluster(random, nodes), Pulls()
        for count in range(15):
            node, size, seconds = cluster.pull()
            error = abs(pulls.expect(size, node=node).median / seconds - 1)
            if not count:
                before.append(error)
            elif count >= 10:
                after.append(error)
            pulls.add(size, seconds, node=node)
    assert median(after) < 0.25
    assert mean(after) < 0.25
    assert mean(after) < mean(before) / 2


def test_a_new_node_is_taken_for_an_ordinary_one() -> None:
    pulls = Pulls()
    for node, seconds in (("slow", 100.0), ("fast", 10.0)):
        for _ in range(10):
            pulls.add(GB, seconds, node=node)
    slow, new, fast = (pulls.expect(GB, node=node).median for node in ("slow", "", "fast"))
    assert fast < new < slow
    assert slow == pytest.approx(100.0, rel=0.25)
    assert fast == pytest.approx(10.0, rel=0.25)


def test_a_node_that_becomes_slower_is_noticed() -> None:
    pulls = Pulls()
    for seconds in [10.0] * 30 + [40.0] * 30:
        pulls.add(GB, seconds, node="node")
    assert 25.0 < pulls.expect(GB, node="node").median < 40.0


def test_nothing_is_learned_from_what_is_not_known() -> None:
    pulls = Pulls()
    first = pulls.expect(GB)
    pulls.add(0, 10.0)
    pulls.add(GB, 0.0)
    assert pulls.expect(GB) == first
    # It is as uncertain as it can be, until the first one.
    pulls.add(GB, 10.0)
    assert pulls.expect(GB).sigma < first.sigma


def test_attack_nodes_without_end_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody whose Kubernetes it is not decides their names."""
    monkeypatch.setattr(module, "_MOST_NODES", 3)
    pulls = Pulls()
    for number in range(10):
        pulls.add(GB, 10.0, node=f"node-{number}")
    assert list(pulls._nodes) == ["node-7", "node-8", "node-9"]


def test_the_time_left_is_that_of_the_size() -> None:
    def left(size: int) -> float:
        estimator = Estimator(now=0.0, expectation=TYPICAL)
        estimator.update(Phase.LAUNCHING, None, now=1.0)
        pulls = Pulls()
        for _ in range(10):
            pulls.add(GB, 60.0, node="node")
        estimator.pull_time = pulls.expect(size, node="node")
        estimate = estimator.update(Phase.LAUNCHING, Step("pulling", "Pulling"), now=2.0)
        assert estimate.eta is not None
        return estimate.eta

    assert left(GB) == pytest.approx(60.0 + TYPICAL[Phase.LAUNCHING], rel=0.2)
    assert left(4 * GB) > 3 * left(GB)


def test_sizes_for_people() -> None:
    assert [size_text(size) for size in (1, 350_400_000, 1_230_000_000)] == [
        "1 MB",
        "350 MB",
        "1.2 GB",
    ]
