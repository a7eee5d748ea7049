"""What is to be known of images that are pulled in advance."""

from __future__ import annotations

import msgspec

from binderprogress.core.kubernetes.backoff import Failure
from binderprogress.core.kubernetes.prepull import Limits, Node, Pull, RankedImage, make_plan
from binderprogress.core.kubernetes.prepull_report import (
    ImageReport,
    PrepullReport,
    PrepullTotals,
    make_report,
)

LIMITS = Limits(budget=30, max_pulls=2)
RANKING = [
    RankedImage(name="x", score=9.0, size=10),
    RankedImage(name="y", score=12.0, size=20),
    RankedImage(name="z", score=1.0, size=10),
]


def report() -> PrepullReport:
    nodes = [
        Node(name="full", held={"x": 10, "y": 20}, occupied=30),
        Node(name="pulling", pulling=Pull(node="pulling", image="x", size=10)),
        Node(name="away", obstacle="not-ready"),
    ]
    plan = make_plan(nodes, RANKING, LIMITS, running=1)
    failures = {"y": Failure(message="There is no such image.", count=1, until=60.0)}
    return make_report(
        plan,
        RANKING,
        failures,
        leader="one",
        is_leader=True,
        budget=LIMITS.budget,
        running=1,
        max_pulls=LIMITS.max_pulls,
        totals=PrepullTotals(pulled=3, pulled_bytes=40),
    )


def test_what_nodes_have_and_what_comes_next() -> None:
    nodes = {node.name: node for node in report().nodes}
    assert (nodes["full"].present, nodes["full"].missing, nodes["full"].next) == (2, 0, "")
    assert (nodes["pulling"].pulling, nodes["pulling"].next) == ("x", "y")
    assert nodes["away"].obstacle == "not-ready"
    assert (nodes["away"].present, nodes["away"].missing) == (0, 2)


def test_images_that_are_worth_most_for_their_size_come_first() -> None:
    images = report().images
    assert [image.name for image in images] == ["x", "y", "z"]
    assert images[1].problem == "There is no such image."
    assert images[2] == ImageReport(
        name="z", score=1.0, size=10, present=0, missing=0, no_room=3, problem=""
    )


def test_it_can_be_sent_to_other_processes() -> None:
    found = report()
    assert msgspec.json.decode(msgspec.json.encode(found), type=PrepullReport) == found
    assert (found.leader, found.is_leader, found.running, found.totals.pulled) == (
        "one",
        True,
        1,
        3,
    )
