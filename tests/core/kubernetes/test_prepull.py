"""What is pulled where, and when."""

from __future__ import annotations

import random
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.kubernetes.backoff import Backoff
from binderprogress.core.kubernetes.prepull import (
    Limits,
    Node,
    Plan,
    Planner,
    Pull,
    RankedImage,
    make_plan,
)

LIMITS = Limits(budget=100, max_pulls=2)


def image(name: str, score: float, size: int = 10) -> RankedImage:
    return RankedImage(name=name, score=score, size=size)


def pulls(plan: Plan) -> list[tuple[str, str]]:
    return [(pull.node, pull.image) for pull in plan.pulls]


def test_the_best_image_for_its_size_comes_first() -> None:
    ranking = [image("large", 50, 100), image("small", 20, 20), image("tiny", 1, 10)]
    (node,) = make_plan([Node(name="a")], ranking, LIMITS, running=0).nodes
    assert list(node.missing) == ["small", "tiny"]
    assert node.lacks == {"large": "budget"}


def test_new_nodes_come_first_and_each_has_one_pull() -> None:
    nodes = [Node(name="old", created=1.0), Node(name="new", created=3.0), Node(name="b")]
    ranking = [image("x", 2), image("y", 1)]
    assert pulls(make_plan(nodes, ranking, LIMITS, running=0)) == [("new", "x"), ("old", "x")]
    assert pulls(make_plan(nodes, ranking, LIMITS, running=1)) == [("new", "x")]
    assert pulls(make_plan(nodes, ranking, LIMITS, running=3)) == []


def test_nodes_that_are_hindered_or_pull_already_are_left_out() -> None:
    pull = Pull(node="b", image="x", size=10)
    nodes = [Node(name="a", obstacle="disk-pressure"), Node(name="b", pulling=pull)]
    plan = make_plan(nodes, [image("x", 2), image("y", 1)], LIMITS, running=1)
    assert plan.pulls == []
    assert [list(node.missing) for node in plan.nodes] == [["x", "y"], ["y"]]
    assert [node.used for node in plan.nodes] == [0, 10]


def test_what_users_have_pulled_needs_no_pull_but_keeps_its_room() -> None:
    node = Node(name="a", held={"x": 60, "other": 500}, occupied=560)
    ranking = [image("x", 60, 60), image("y", 30, 40), image("z", 10, 20)]
    (plan,) = make_plan([node], ranking, LIMITS, running=0).nodes
    assert (list(plan.present), list(plan.missing), plan.used) == (["x"], ["y"], 0)
    # It is larger than the budget: nothing can be kept for it.
    large = Node(name="a", held={"x": 600})
    (plan,) = make_plan([large], ranking, LIMITS, running=0).nodes
    assert list(plan.missing) == ["y", "z"]


def test_images_that_are_not_popular_any_more_keep_their_part_of_the_budget() -> None:
    node = Node(name="a", held={"old": 95}, ours={"old"})
    (plan,) = make_plan([node], [image("x", 1)], LIMITS, running=0).nodes
    assert (plan.used, plan.lacks) == (95, {"x": "budget"})


def test_a_part_of_the_budget_is_for_images_that_become_popular_later() -> None:
    limits = Limits(budget=100, reserve=40, max_pulls=2)
    ranking = [image("w", 5, 30), image("x", 4, 30), image("y", 3, 30)]
    (plan,) = make_plan([Node(name="a")], ranking, limits, running=0).nodes
    assert (list(plan.missing), plan.lacks) == (["w", "x"], {"y": "budget"})
    # What is there, and what is being pulled, is among the best.
    pulling = Pull(node="a", image="x", size=30)
    node = Node(name="a", held={"w": 30}, ours={"w"}, pulling=pulling)
    (plan,) = make_plan([node], ranking, limits, running=1).nodes
    assert (list(plan.missing), plan.lacks, plan.used) == ([], {"y": "budget"}, 60)
    # A new commit: its image takes from the reserve, and then nothing is left.
    node = Node(name="a", held={"w": 30, "x": 30}, ours={"w", "x"})
    newer = [image("w2", 5, 30), image("x2", 4, 30), image("y", 3, 30)]
    (plan,) = make_plan([node], newer, limits, running=0).nodes
    assert (list(plan.missing), plan.lacks) == (["w2"], {"x2": "budget", "y": "budget"})


def test_the_disk_has_room_for_what_is_no_image() -> None:
    limits = Limits(budget=1000, max_pulls=2, most_of_disk=0.6)
    node = Node(name="a", disk=100, occupied=45)
    (plan,) = make_plan([node], [image("x", 2), image("y", 1)], limits, running=0).nodes
    assert (list(plan.missing), plan.lacks) == (["x"], {"y": "disk"})


def test_images_that_could_not_be_pulled_make_room_for_others() -> None:
    ranking = [image("x", 3, 100), image("y", 1, 100)]
    plan = make_plan([Node(name="a")], ranking, LIMITS, running=0, failed={"x"})
    assert pulls(plan) == [("a", "y")]
    assert plan.nodes[0].lacks == {"x": "failed"}


def test_a_planner_makes_the_same_plans_for_nodes_that_have_not_changed() -> None:
    planner, ranking = Planner(LIMITS), [image("x", 2), image("y", 1)]
    nodes = [Node(name="a"), Node(name="b")]
    first = planner.plan(nodes, ranking, running=0)
    nodes = [Node(name="a"), Node(name="b", held={"x": 10})]
    second = planner.plan(nodes, ranking, running=0)
    assert second == make_plan(nodes, ranking, LIMITS, running=0)
    assert second.nodes[0] is first.nodes[0]
    third = planner.plan(nodes, ranking, running=0, failed={"x"})
    assert third == make_plan(nodes, ranking, LIMITS, running=0, failed={"x"})


class Cluster:
    """Nodes that join and leave, on which pulls end in any order."""

    def __init__(self, seed: int, limits: Limits) -> None:
        self.random = random.Random(seed)  # noqa: S311 - no secret
        self.limits = limits
        self.nodes: dict[str, Node] = {}
        self.running: list[Pull] = []
        self.ranking: list[RankedImage] = []
        self.time = 0.0
        self.planner = Planner(limits)

    def change(self) -> None:
        self.time += 1
        choose = self.random
        act = choose.randrange(6)
        name = f"n{choose.randrange(5)}"
        node = self.nodes.get(name)
        if act == 0 and node is None:
            disk = choose.choice([0, 50, 500])
            self.nodes[name] = Node(name=name, created=self.time, disk=disk)
        elif act == 1:
            self.nodes.pop(name, None)
        elif act == 2 and node is not None:
            self.set(node, obstacle=choose.choice(["", "user-pull", "cordoned"]))
        elif act == 3:
            self.ranking = [
                image(f"i{i}", choose.uniform(0.1, 9), 1 + i * 7 % 31)
                for i in choose.sample(range(20), choose.randrange(20))
            ]
        elif act == 4 and node is not None:
            used = f"i{choose.randrange(20)}"
            if used not in node.held:
                self.set(node, held={**node.held, used: 1 + int(used[1:]) * 7 % 31})
        elif self.running:
            self.end(self.running.pop(choose.randrange(len(self.running))))

    def end(self, pull: Pull) -> None:
        node = self.nodes.get(pull.node)
        if node is not None and node.pulling == pull:
            self.set(node, pulling=None)
            if self.random.random() < 0.8:
                held = {**node.held, pull.image: pull.size}
                self.set(self.nodes[pull.node], held=held, ours={*node.ours, pull.image})

    def set(self, node: Node, **changes: object) -> None:
        fields = {name: getattr(node, name) for name in node.__struct_fields__} | changes
        held: Mapping[str, int] = fields["held"]
        self.nodes[node.name] = Node(**{**fields, "occupied": sum(held.values())})

    def pull(self) -> None:
        nodes, running = list(self.nodes.values()), len(self.running)
        plan = self.planner.plan(nodes, self.ranking, running=running)
        assert plan == make_plan(nodes, self.ranking, self.limits, running=running)
        free = self.limits.max_pulls - len(self.running)
        able = [
            each
            for each in plan.nodes
            if each.missing and not each.node.obstacle and each.node.pulling is None
        ]
        assert len(plan.pulls) == min(max(free, 0), len(able)), "a place is not used"
        for pull in plan.pulls:
            node = self.nodes[pull.node]
            assert not node.obstacle
            assert node.pulling is None
            assert pull.image not in node.held
            self.set(node, pulling=pull)
            self.running.append(pull)

    def check(self) -> None:
        assert len(self.running) <= self.limits.max_pulls
        for node in self.nodes.values():
            pulling = node.pulling.size if node.pulling is not None else 0
            assert sum(node.held[each] for each in node.ours) + pulling <= self.limits.budget


@given(
    seed=st.integers(0, 2**32),
    budget=st.integers(0, 120),
    max_pulls=st.integers(1, 4),
    most_of_disk=st.floats(0.1, 1.0),
)
def test_budget_and_bound_are_kept_and_no_place_stays_free(
    seed: int, budget: int, max_pulls: int, most_of_disk: float
) -> None:
    limits = Limits(budget=budget, max_pulls=max_pulls, most_of_disk=most_of_disk)
    cluster = Cluster(seed, limits)
    for _ in range(60):
        cluster.change()
        cluster.pull()
        cluster.check()


@given(seed=st.integers(0, 2**32))
def test_in_the_end_every_node_has_what_fits(seed: int) -> None:
    cluster = Cluster(seed, Limits(budget=60, max_pulls=3))
    for _ in range(30):
        cluster.change()
    cluster.random.random = lambda: 0.0  # type: ignore[method-assign] # every pull succeeds now
    for _ in range(200):
        cluster.pull()
        if not cluster.running:
            break
        cluster.end(cluster.running.pop(0))
    plan = make_plan(
        list(cluster.nodes.values()), cluster.ranking, cluster.limits, running=len(cluster.running)
    )
    assert not cluster.running
    assert all(not each.missing or each.node.obstacle for each in plan.nodes)


def test_pauses_after_failures_double() -> None:
    backoff = Backoff()
    backoff.failed("a", "no", 0.0)
    assert backoff.waiting(59.0) == {"a"}
    assert (backoff.next(0.0), backoff.waiting(60.0), backoff.next(60.0)) == (60.0, set(), None)
    backoff.failed("a", "still not", 60.0)
    assert backoff.waiting(179.0) == {"a"}
    assert backoff.failures["a"].message == "still not"
    for _ in range(20):
        backoff.failed("a", "no", 0.0)
    assert backoff.next(0.0) == 3600.0
    backoff.failed("b", "no", 0.0)
    backoff.keep({"a"})
    assert set(backoff.failures) == {"a"}
    backoff.succeeded("a")
    backoff.succeeded("a")
    assert not backoff.failures
