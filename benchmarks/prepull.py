"""Launches that find their image on the node: with our prepuller, and with others' ways.

A seeded simulation on a virtual clock: nodes join and leave, repositories have a Zipf distribution
and change, so that their images do, and users launch on any node that is ready. The planner and the
prepuller are the real ones; nodes, kubelets and users are made up. The same nodes, launches and
changes meet three clusters: one with the prepuller, one whose nodes pull the best images once when
they join, in the same budget, as z2jh's puller does with a list, and one without either.

Nothing can do better than an oracle: it knows what is popular, pulls in no time, and removes what
is not popular any more. It misses the first launch of an image, and images beyond the budget.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable
from typing import Any

from binderprogress.backends.kubernetes.pulling import Pulling, PullSettings
from binderprogress.core.kubernetes.prepull import Limits, RankedImage
from binderprogress.core.kubernetes.ranking import PastImage, rank_images
from tests.simulation.loop import VirtualLoop
from tests.support.nodeworld import SPEED, FakeCluster, FakeNode, OnlyLeader

__all__ = ["compare", "table"]

MIB, GIB = 2**20, 2**30
RESERVE = 0.2
"""The default of `Prepuller.budget_reserve`."""
EPOCH = 1_795_435_200.0
HALF_LIFE = 14 * 86400.0
HOUR = 3600.0
WAYS = {
    "prepuller": "prepuller",
    "at_start": "when a node joins",
    "nothing": "no pulls in advance",
}


class Popularity:
    """Repositories, their images and past launches.

    Attributes
    ----------
    sizes : dict of str to int
        Bytes of all images there have been.
    """

    def __init__(self, rand: random.Random, count: int) -> None:
        self._rand = rand
        self._order = list(range(count))
        self._weights = [1 / (rank + 1) ** 1.2 for rank in range(count)]
        self._images = [f"registry.example.org/r{number}:0" for number in range(count)]
        # A median of 0.8 GiB, and one in ten above 1.5 GiB.
        self.sizes = {
            image: int(0.8 * GIB * math.exp(rand.gauss(0.0, 0.5))) for image in self._images
        }
        self._scores = [0.0] * count
        self._last = [0.0] * count
        self._launched = list(self._images)

    def choose(self) -> int:
        """Return the repository of a launch."""
        return self._rand.choices(self._order, self._weights)[0]

    def image(self, number: int) -> str:
        """Return the newest image of a repository."""
        return self._images[number]

    def change(self) -> None:
        """Have one repository get a new commit, and two others exchange their popularity."""
        number = self.choose()
        old = self._images[number]
        name, _, tag = old.rpartition(":")
        self._images[number] = f"{name}:{int(tag) + 1}"
        self.sizes[self._images[number]] = self.sizes[old]
        rank = self._rand.randrange(len(self._order) - 1)
        self._order[rank : rank + 2] = reversed(self._order[rank : rank + 2])

    def launched(self, number: int, now: float) -> None:
        """Keep a launch in the history."""
        self._scores[number] += 2.0 ** ((now - EPOCH) / HALF_LIFE)
        self._last[number] = now
        self._launched[number] = self._images[number]

    def ranking(self) -> list[RankedImage]:
        """Return what the history says. Only its last launch tells the image of a repository."""
        past = [
            PastImage(
                image=image,
                repository=str(number),
                ref="HEAD",
                last=self._last[number],
                score=score * self.sizes[image],
            )
            for number, (image, score) in enumerate(zip(self._launched, self._scores, strict=True))
            if score
        ]
        return rank_images(past, most=len(past))

    def oracle_has(self, number: int, budget: float) -> bool:
        """Whether an oracle would have the image of a launch: see above."""
        if self._launched[number] != self._images[number]:
            return False
        # The order is that of popularity, which is what an image is worth for its size.
        before = self._order[: self._order.index(number) + 1]
        return sum(self.sizes[self._images[each]] for each in before) <= budget


class Run:
    """One way in its cluster, and what its users have seen."""

    def __init__(self, way: str, popularity: Popularity, limits: Limits, speed: float) -> None:
        self.way = way
        self.cluster = FakeCluster(EPOCH, popularity.sizes, speed)
        self.launches = self.found = 0
        self.waited: list[float] = []
        self._popularity = popularity
        self._budget = limits.budget
        self._tasks: set[asyncio.Task[Any]] = set()
        self._pulling = Pulling(
            self.cluster,
            self.cluster,
            PullSettings(
                limits=limits,
                user_selector="component=singleuser-server",
                unknown_size=2 * GIB,
            ),
            OnlyLeader(),
            clock=lambda: self.cluster.now,
            log=logging.getLogger("prepuller"),
        )
        if way == "prepuller":
            self._spawn(self._pulling.run())

    def rank(self) -> None:
        """Learn what is popular now."""
        # The registry's sizes are no more than estimates.
        self._pulling.rank(
            [
                RankedImage(
                    name=image.name, score=image.score, size=self._popularity.sizes[image.name]
                )
                for image in self._popularity.ranking()
            ]
        )

    def join(self, name: str) -> None:
        """Add a node."""
        node = self.cluster.join(name)
        if self.way == "at_start":
            task = self._spawn(self._pull_all(node))
            node.tasks.add(task)

    async def _pull_all(self, node: FakeNode) -> None:
        left = self._budget
        sizes = self._popularity.sizes
        ranking = self._popularity.ranking()
        for image in sorted(ranking, key=lambda image: -image.score / sizes[image.name]):
            if sizes[image.name] <= left:
                left -= sizes[image.name]
                await node.pull(image.name, by_user=False)

    def launch(self, number: int, name: str, image: str) -> None:
        """Have a user launch an image on a node."""
        node = self.cluster.nodes_by_name[name]
        self.launches += 1
        self.found += image in node.images
        node.tasks.add(self._spawn(self._start(f"jupyter-{number}", node, image)))

    async def _start(self, name: str, node: FakeNode, image: str) -> None:
        self.waited.append(await self.cluster.start_server(name, node, image))

    def result(self) -> dict[str, Any]:
        """Return what was found."""
        waited = sorted(self.waited)
        return {
            "launches": self.launches,
            "found": self.found / self.launches,
            "waited_mean_s": sum(waited) / len(waited),
            "waited_p99_s": waited[len(waited) * 99 // 100],
            "most_used_gib": self.cluster.most_used / GIB,
            "most_at_once": self.cluster.most_at_once,
            "most_pods": self.cluster.most_pods,
            "pulled": self._pulling.report().totals.pulled,
            "given_up": self._pulling.report().totals.given_up,
        }

    async def close(self) -> None:
        """End it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.cluster.close()

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        return task


async def _simulate(
    rand: random.Random,
    *,
    nodes: int,
    images: int,
    hours: float,
    warm_up: float,
    rate: float,
    limits: Limits,
    speed: float,
) -> dict[str, Any]:
    popularity = Popularity(rand, images)
    # What was launched in the two weeks before.
    for _ in range(20 * images):
        popularity.launched(popularity.choose(), EPOCH - rand.uniform(0.0, HALF_LIFE))
    runs = [Run(way, popularity, limits, speed) for way in WAYS]
    present: set[str] = set()
    launches = possible = 0
    loop = asyncio.get_running_loop()

    async def live(name: str) -> None:
        """Have a node join and leave, as an autoscaler does."""
        await asyncio.sleep(rand.uniform(0.0, HOUR))
        while True:
            present.add(name)
            for run in runs:
                run.join(name)
            await asyncio.sleep(HOUR + rand.expovariate(1 / (8 * HOUR)))
            present.remove(name)
            for run in runs:
                run.cluster.leave(name)
            await asyncio.sleep(60.0 + rand.expovariate(1 / HOUR))

    async def regularly(seconds: Callable[[], float], do: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(seconds())
            do()

    def launch() -> None:
        nonlocal launches, possible
        if not present or loop.time() < warm_up * HOUR:
            return
        launches += 1
        number, name = popularity.choose(), rand.choice(sorted(present))
        image = popularity.image(number)
        possible += popularity.oracle_has(number, limits.budget)
        for run in runs:
            run.launch(launches, name, image)
        popularity.launched(number, EPOCH + loop.time())

    def rank() -> None:
        for run in runs:
            run.rank()

    rank()
    tasks = [asyncio.create_task(live(f"node-{number}")) for number in range(nodes)]
    tasks.append(asyncio.create_task(regularly(lambda: rand.expovariate(rate / 60), launch)))
    tasks.append(asyncio.create_task(regularly(lambda: 60.0, rank)))
    tasks.append(asyncio.create_task(regularly(lambda: HOUR / 4, popularity.change)))
    await asyncio.sleep(hours * HOUR)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    found: dict[str, Any] = {run.way: run.result() for run in runs}
    found["oracle"] = possible / launches
    for run in runs:
        await run.close()
    return found


def compare(
    *,
    nodes: int = 50,
    images: int = 500,
    hours: float = 4.5,
    warm_up: float = 3.0,
    rate: float = 20.0,
    budget: float = 250.0,
    max_pulls: int = 40,
    speed: float = SPEED / MIB,
    seed: int = 1,
) -> dict[str, Any]:
    """Return what users saw in each cluster.

    Parameters
    ----------
    nodes, images : int
    hours : float
        Of the virtual clock.
    warm_up : float
        Hours after which launches begin: all nodes are new in the first one.
    rate : float
        Launches a minute.
    budget : float
        GiB on each node.
    max_pulls : int
        Of the prepuller, at the same time.
    speed : float
        MiB on the disk that a node pulls in a second.
    seed : int
    """
    rand = random.Random(seed)  # noqa: S311 - no secret
    loop = VirtualLoop(random.Random(seed), limit=math.inf)  # noqa: S311 - no secret
    began = time.process_time()
    limits = Limits(
        budget=int(budget * GIB),
        reserve=int(budget * RESERVE * GIB),
        max_pulls=max_pulls,
        most_of_disk=0.6,
    )
    simulation = _simulate(
        rand,
        nodes=nodes,
        images=images,
        hours=hours,
        warm_up=warm_up,
        rate=rate,
        limits=limits,
        speed=speed * MIB,
    )
    found = loop.run(simulation)
    if loop.problems:
        raise ValueError(loop.problems[0])
    return {
        "nodes": nodes,
        "images": images,
        "hours": hours,
        "budget_gib": budget,
        "max_pulls": max_pulls,
        "speed_mib": speed,
        "cpu_s": time.process_time() - began,
        **found,
    }


def table(result: dict[str, Any]) -> str:
    """Lay out what was measured."""
    lines = [
        "prepull: {nodes} nodes, {images} images, {hours:g} hours, {budget_gib:g} GiB on each "
        "node, at most {max_pulls} pulls at the same time, {speed_mib:g} MiB/s".format(**result)
    ]
    lines.append(
        f"{'':24}{'image found':>12}{'mean wait':>12}{'99 %':>9}{'used':>12}{'at once':>9}"
    )
    for way, title in WAYS.items():
        row = result[way]
        lines.append(
            f"  {title:22}{row['found']:12.1%}{row['waited_mean_s']:10.1f} s"
            f"{row['waited_p99_s']:7.0f} s{row['most_used_gib']:8.1f} GiB{row['most_at_once']:9}"
        )
    lines.append(f"  {'an oracle, at most':22}{result['oracle']:12.1%}")
    lines.append(f"  {result[next(iter(WAYS))]['launches']:,} launches in each")
    return "\n".join(lines)
