"""The mechanisms of a simulation, each with a few launches whose times can be worked out."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from binderprogress.whatif.demand import Demand, Image, Request
from binderprogress.whatif.policy import Hubs, Policy, read_policy
from binderprogress.whatif.replay import Run, replay

DAY = 86400.0


def launch(time: float, image: int = 0, **values: Any) -> Request:
    """A launch that takes 1 s to check, 100 s to build and 10 s to start, and stays 50 s."""
    known = {"check": 1.0, "build": 100.0, "start": 10.0, "stay": 50.0}
    return Request(time=time, image=image, **{**known, **values})


def demand(
    *requests: Request, images: int = 1, gb: float = 0.0, built: bool = True, **values: Any
) -> Demand:
    known: dict[str, Any] = {
        "began": 0.0,
        "seconds": DAY,
        "requests": list(requests),
        "images": [Image(number, gb, built) for number in range(images)],
        "repositories": [f"r{number}" for number in range(images)],
        "scores": [0.0] * images,
    }
    return Demand(**{**known, **values})


def policy(**sections: dict[str, Any]) -> Policy:
    """One node with 10 places, unless `sections` says otherwise. Servers are culled at once."""
    known: dict[str, dict[str, Any]] = {
        "nodes": {"least": 1, "most": 1, "memory_gb": 10, "boot_seconds": 60},
        "servers": {"memory_gb": 1, "idle_minutes": 0},
    }
    merged = {key: {**known.get(key, {}), **sections.get(key, {})} for key in {*known, *sections}}
    return read_policy(merged, name="test")


def run(wanted: Demand, /, **sections: dict[str, Any]) -> Run:
    return replay(wanted, policy(**sections), Random(1))


def seconds(found: Run) -> list[float]:
    return [round(value, 3) for value in found.seconds]


def test_a_launch_takes_what_it_takes() -> None:
    found = run(demand(launch(5.0)))
    assert seconds(found) == [11.0]
    assert (found.launches, found.builds, found.placed, found.found) == (1, 0, 1, 1)
    assert (found.begun[0], found.late[0]) == (1, 1)
    assert found.node_hours == pytest.approx(24.0)
    assert found.cost == pytest.approx(24.0 * 0.40)


def test_an_image_is_built_once() -> None:
    found = run(demand(launch(0.0), launch(30.0), launch(500.0), built=False))
    assert seconds(found) == [11.0, 81.0, 111.0]
    assert found.builds == 1


def test_a_build_waits_for_a_slot() -> None:
    launches = demand(*(launch(0.0, image) for image in range(3)), images=3, built=False)
    assert seconds(run(launches)) == [111.0] * 3
    assert seconds(run(launches, builds={"slots": 1})) == [111.0, 211.0, 311.0]


def test_a_build_that_fails_ends_those_who_joined() -> None:
    launches = demand(launch(0.0, fails=True), launch(1.0), launch(900.0), built=False)
    found = run(launches)
    assert found.failed == {"build": 2}
    assert seconds(found) == [111.0]
    assert found.late == [3, *[0] * 23]


def test_an_image_is_pulled_once_to_each_node() -> None:
    launches = demand(launch(0.0), launch(1.0), launch(500.0), gb=2.0)
    found = run(launches, nodes={"pull_mb_per_second": 100})
    assert seconds(found) == [11.0, 30.0, 31.0]
    assert (found.placed, found.found) == (3, 1)


def test_a_node_pulls_one_image_after_the_other() -> None:
    launches = demand(launch(0.0, 0), launch(0.0, 1), images=2, gb=2.0)
    assert seconds(run(launches, nodes={"pull_mb_per_second": 100})) == [31.0, 51.0]


def test_images_are_removed_if_there_is_no_room() -> None:
    visits = [launch(1000.0 * n, image) for n, image in enumerate([0, 1, 2, 0, 0])]
    launches = demand(*visits, images=3, gb=4.0)
    found = run(launches, nodes={"pull_mb_per_second": 100, "images_gb": 12})
    assert found.found == 2  # 0 is still there
    found = run(launches, nodes={"pull_mb_per_second": 100, "images_gb": 9})
    assert found.found == 1  # the third removed it


def test_an_image_in_use_is_not_removed() -> None:
    visits = [launch(0.0, 0, stay=DAY), *(launch(1000.0 * n, n) for n in (1, 2)), launch(3000.0, 0)]
    launches = demand(*visits, images=3, gb=4.0)
    assert run(launches, nodes={"pull_mb_per_second": 100, "images_gb": 9}).found == 1


def test_what_was_popular_is_on_the_first_nodes() -> None:
    launches = demand(launch(0.0), gb=2.0, scores=[5.0])
    assert seconds(run(launches)) == [11.0]


def test_a_full_node_waits_for_another_one() -> None:
    launches = demand(launch(0.0, stay=DAY), launch(10.0, stay=DAY))
    nodes = {"least": 1, "most": 2, "memory_gb": 1}
    found = run(launches, nodes=nodes)
    # The autoscaler looks every 10 seconds.
    assert seconds(found) == [11.0, 80.0]
    assert found.most_nodes == 2
    assert found.node_hours == pytest.approx((2 * DAY - 20.0) / 3600)


def test_placeholders_add_the_node_ahead() -> None:
    launches = demand(launch(0.0, stay=DAY), launch(100.0, stay=DAY))
    found = run(launches, nodes={"least": 1, "most": 3, "memory_gb": 1, "placeholders": 1})
    assert seconds(found) == [11.0, 11.0]


def test_without_room_a_place_becomes_free_or_the_launch_fails() -> None:
    launches = demand(launch(0.0, stay=300.0), launch(10.0, stay=DAY), launch(20.0))
    found = run(launches, nodes={"memory_gb": 1}, servers={"patience_minutes": 10})
    # The first ends at 311; the third gives up at 621.
    assert seconds(found) == [11.0, 311.0]
    assert found.failed == {"no-room": 1}


def test_an_empty_node_is_removed() -> None:
    launches = demand(launch(0.0, stay=DAY), launch(0.0, stay=1000.0))
    nodes = {"least": 1, "most": 2, "memory_gb": 1, "idle_minutes": 10}
    found = run(launches, nodes=nodes)
    # It is wanted at 1, ordered at 10 and there at 70; its server ends at 1080, and 10 minutes
    # later it goes, when the autoscaler looks.
    assert found.node_hours == pytest.approx((DAY + 1680.0 - 10.0) / 3600)


def test_servers_are_culled_when_they_are_idle() -> None:
    launches = demand(launch(0.0), launch(100.0))
    # In use until 61.
    assert seconds(run(launches, nodes={"memory_gb": 1})) == [11.0, 11.0]
    found = run(launches, nodes={"memory_gb": 1}, servers={"idle_minutes": 1})
    assert seconds(found) == [11.0, 31.0]


def test_packing() -> None:
    """Servers that are spread leave no node empty."""
    visits = [launch(100.0 * n, stay=3000.0) for n in range(4)]
    launches = demand(*visits, launch(50_000.0))
    nodes = {"least": 2, "most": 2, "memory_gb": 2}
    fullest = run(launches, nodes={**nodes, "packing": "fullest"})
    emptiest = run(launches, nodes={**nodes, "packing": "emptiest"})
    assert seconds(fullest) == seconds(emptiest) == [11.0] * 5
    pulls = demand(launch(0.0), launch(100.0), gb=2.0)
    roomy = {"least": 2, "most": 2}
    assert run(pulls, nodes={**roomy, "packing": "fullest"}).found == 1
    spread = {**roomy, "packing": "emptiest"}
    busy = demand(launch(0.0, stay=DAY), launch(100.0), gb=2.0)
    assert run(busy, nodes=spread).found == 1
    assert run(busy, nodes={**spread, "prefer_image": False}).found == 0


def test_quotas() -> None:
    launches = demand(*(launch(100.0 * n, n % 2, stay=DAY) for n in range(4)), images=2)
    assert run(launches, quota={"repository": 1}).failed == {"quota": 2}
    assert run(launches, quota={"servers": 3}).failed == {"quota": 1}
    assert run(launches).failed == {}


def test_a_standing_server_is_handed_over_and_replaced() -> None:
    launches = demand(launch(100.0), launch(101.0), launch(200.0), scores=[9.0])
    found = run(launches, standby={"servers": 1}, launches={"handover_seconds": 0.25})
    assert seconds(found) == [1.25, 1.25, 11.0]
    assert found.handed_over == 2


def test_standing_servers_take_places() -> None:
    launches = demand(launch(100.0, 1), images=2, scores=[9.0, 0.0])
    found = run(launches, nodes={"memory_gb": 1}, standby={"servers": 1})
    assert found.failed == {"no-room": 1}
    found = run(launches, nodes={"memory_gb": 1, "most": 2}, standby={"servers": 1})
    # The standing server is there first; the node for this one is ordered at 110.
    assert seconds(found) == [80.0]


def test_standing_servers_are_for_what_is_named_or_popular() -> None:
    launches = demand(launch(100.0, 0), launch(100.0, 1), images=2, scores=[9.0, 1.0])
    assert run(launches, standby={"servers": 1}).handed_over == 1
    assert seconds(run(launches, standby={"servers": 1, "names": ["r1"]}))[0] < 2
    assert run(launches, standby={"servers": 2, "repositories": 1}).handed_over == 1
    assert run(launches, standby={"servers": 10}).handed_over == 2


def test_standing_servers_follow_a_new_image() -> None:
    images = [Image(0, 0.0, True), Image(0, 0.0, False)]
    launches = demand(
        launch(100.0, 0),
        launch(500.0, 1),
        launch(1000.0, 1),
        launch(2000.0, 0),
        images=1,
        scores=[9.0],
    )
    launches.images = images
    found = run(launches, standby={"servers": 1})
    # The first commit, and the second one after its build; then the first one starts anew.
    assert found.handed_over == 2


def test_old_standing_servers_are_replaced() -> None:
    launches = demand(launch(3605.0), scores=[9.0])
    # The second one has just begun to start.
    found = run(launches, standby={"servers": 1, "max_age_minutes": 59.9})
    assert found.handed_over == 0
    assert run(launches, standby={"servers": 1, "max_age_minutes": 61}).handed_over == 1


def test_images_are_pulled_ahead() -> None:
    launches = demand(launch(0.0, stay=DAY), launch(2000.0), gb=2.0, built=False)
    nodes = {"least": 2, "most": 2, "packing": "emptiest", "prefer_image": False}
    assert run(launches, nodes=nodes).found == 0
    assert run(launches, nodes=nodes, prepull={"images": 1}).found == 1
    assert run(launches, nodes=nodes, prepull={"images": 1, "images_gb": 1}).found == 0


def test_images_are_pulled_when_a_node_joins() -> None:
    visits = [launch(0.0, 0, stay=DAY), launch(10.0, 0, stay=DAY), launch(4000.0, 1, stay=1.0)]
    launches = demand(*visits, images=2, gb=2.0, scores=[5.0, 9.0])
    nodes = {"least": 1, "most": 3, "memory_gb": 1, "placeholders": 1}
    assert run(launches, nodes=nodes).found == 1
    found = run(launches, nodes=nodes, prepull={"images": 2, "when": "new-node"})
    assert found.found == 2


def test_hubs() -> None:
    launches = demand(*(launch(1000.0 * n) for n in range(40)), built=False)
    assert run(launches, hubs={"count": 3}).builds == 1
    assert run(launches, hubs={"count": 3, "routing": "random"}).builds == 3
    shared = {"count": 3, "routing": "random", "shared_registry": True}
    assert run(launches, hubs=shared).builds == 1
    many = demand(*(launch(1000.0 * n, n) for n in range(40)), images=40)
    assert run(many, hubs={"count": 3}).node_hours == pytest.approx(72.0)


def test_launches_go_to_the_hub_of_the_record() -> None:
    launches = demand(*(launch(1000.0 * n, hub=n % 2) for n in range(40)), built=False)
    # Nothing says that this is how it was.
    assert run(launches, hubs={"count": 2}).builds == 1
    launches.hubs = Hubs(count=2)
    assert run(launches, hubs={"count": 2}).builds == 2
    # Another policy.
    assert run(launches, hubs={"count": 3}).builds == 1


def test_a_node_pulls_what_images_share_once() -> None:
    visits = [launch(0.0, 0), launch(100.0, 1), launch(200.0, 1)]
    # Building takes 100 s and pulling 20 s, and once 10 s more.
    found = run(demand(*visits, images=2, gb=2.0, built=False, shared_gb=1.0))
    assert seconds(found) == [31.0, 131.0, 141.0]
    # It was there with the images from the beginning.
    known = {"images": 2, "gb": 2.0, "scores": [1.0, 0.0], "shared_gb": 1.0}
    assert seconds(run(demand(launch(0.0, 1), **known))) == [31.0]


def test_nobody_launches() -> None:
    found = run(demand())
    assert (found.launches, list(found.seconds), found.late) == (0, [], [0] * 24)
