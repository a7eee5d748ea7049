"""Makes up launches with known distributions: ``python -m benchmarks.generate FOLDER``.

Durations are log-normal. Two hosts, repositories of three kinds whose first steps are the same for
all of a kind, commits that come and go, layers that are there already, pushes and pulls in
proportion to the image, nodes that have to be added, builds that fail. All of it is seeded.
`WORLDS` has more that is hard to estimate.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from math import inf, log
from pathlib import Path
from typing import Any, NamedTuple

from .traces import Header, Line, Trace, write

__all__ = ["WORLDS", "Conditions", "World", "main"]

_KINDS = {
    # name: common first steps with median seconds, and how many of the repository's own.
    "conda": (
        [("FROM docker.io/library/buildpack-deps:jammy", 4.0), ("RUN apt-get update", 18.0)]
        + [(f"ENV NAME_{n}=value", 0.2) for n in range(12)]
        + [("RUN bash /tmp/install-base-env.bash", 55.0), ("RUN mkdir -p ${NPM_DIR}", 0.4)]
        + [(f"COPY --chown=1000:1000 part-{n} /srv", 0.3) for n in range(6)],
        3,
    ),
    "pip": (
        [("FROM docker.io/library/python:3.12", 3.0)]
        + [(f"ENV PIP_{n}=value", 0.2) for n in range(5)]
        + [("RUN python3 -m venv /srv/venv", 6.0)],
        2,
    ),
    "docker": ([("FROM docker.io/library/debian:bookworm", 2.0)], 5),
}


class Conditions(NamedTuple):
    """What makes the launches of a world hard to estimate.

    Attributes
    ----------
    spread : float
        Standard deviation of the logarithm of what a step takes, beyond what is usual.
    pareto : float
        If not 0, steps of a build take a multiple with a Pareto distribution of this index.
    hangs : float
        Probability that a step of a build hangs for one to ten minutes, as at a bad mirror.
    pulls : float or None
        Probability that an image has to be pulled, whatever was built; None: the usual one.
    slower_after : int or None
        Number of launches, at most, after which the own steps of a repository take three times as
        long for good. None: never.
    """

    spread: float = 0.0
    pareto: float = 0.0
    hangs: float = 0.0
    pulls: float | None = None
    slower_after: int | None = None


WORLDS = {
    "generated": Conditions(),
    "log-normal tails": Conditions(spread=1.5),
    "Pareto tails": Conditions(pareto=1.2),
    "mirrors that hang": Conditions(hangs=0.03),
    "pulls or not": Conditions(pulls=0.5),
    "slower for good": Conditions(slower_after=40),
}
"""What estimates are measured with."""


class _Repository(NamedTuple):
    name: str
    steps: list[tuple[str, float]]
    megabytes: float
    start: float


class World:
    """Draws launches, one after the other.

    Parameters
    ----------
    seed : int
    repositories : int
        How many there are; some are launched much more often than others.
    conditions : Conditions
    """

    def __init__(
        self, seed: int, *, repositories: int = 40, conditions: Conditions = WORLDS["generated"]
    ) -> None:
        self._conditions = conditions
        self._random = random.Random(seed)  # noqa: S311 - nothing secret
        self._repositories = [self._repository(n) for n in range(repositories)]
        self._commits = dict.fromkeys(range(repositories), 0)
        self._launches = dict.fromkeys(range(repositories), 0)
        limit = conditions.slower_after
        self._slower_after = [
            inf if limit is None else self._random.randrange(limit // 4, limit)
            for _ in range(repositories)
        ]
        self._built: set[tuple[str, int, int]] = set()
        self._now = 1.7e9

    def launch(self, number: int | None = None) -> Trace:
        """Draw the next launch, of some repository or of the one with this number."""
        draw = self._random
        count = len(self._repositories)
        if number is None:
            number = min(int(draw.paretovariate(0.7)) - 1, count - 1)
            number = draw.randrange(count) if number >= count - 1 else number
        self._now += draw.expovariate(1 / 1800)
        if draw.random() < 0.25:
            self._commits[number] += 1
        commit, host = self._commits[number], draw.choice(["binder.example.org", ""])
        repository = self._repositories[number]
        self._launches[number] += 1
        if self._launches[number] > self._slower_after[number]:
            repository = _slower(repository)
        header = Header(
            spec=f"gh/example/{repository.name}/HEAD",
            host=host,
            commit=f"{number:020d}{commit:020d}",
            began=self._now,
            origin="generated",
        )
        cold = (host, number, commit) not in self._built
        clock = 0.0
        lines: list[Line] = []
        for seconds, source, record in self._records(repository, host, cold):
            clock += seconds
            lines.append(Line(round(clock, 3), source, record))  # type: ignore[arg-type]
            if isinstance(record, dict) and record.get("phase") == "failed":
                break
        else:
            self._built.add((host, number, commit))
        return Trace(header, lines)

    def _repository(self, number: int) -> _Repository:
        draw = self._random
        common, own = _KINDS[draw.choice(list(_KINDS))]
        name = f"repository-{number}"
        mine = [
            (f"RUN ./install-{part} # of {name}", draw.lognormvariate(log(20), 1.1))
            for part in range(own)
        ]
        megabytes = draw.lognormvariate(log(900), 0.6)
        return _Repository(name, common + mine, megabytes, draw.lognormvariate(log(4), 0.4))

    def _time(self, median: float, spread: float = 0.2) -> float:
        return self._random.lognormvariate(log(median), spread)

    def _records(
        self, repository: _Repository, host: str, cold: bool
    ) -> Iterator[tuple[float, str, Any]]:
        if host:
            for seconds, record in self._through_binderhub(repository, cold):
                yield seconds, "binderhub", record
            return
        for seconds, phase, text in self._build(repository) if cold else ():
            yield seconds, "repo2docker", json.dumps({"message": text, "phase": phase})
            if phase == "failed":
                yield 0.0, "repo2docker", {"phase": "failed", "message": "failed"}
                return
        for seconds, text in self._spawn(repository, cold):
            yield seconds, "jupyterhub", {"progress": 50, "message": text}
        yield (
            self._time(repository.start),
            "jupyterhub",
            {"progress": 100, "ready": True, "message": "Server ready", "url": "/user/x/"},
        )

    def _through_binderhub(
        self, repository: _Repository, cold: bool
    ) -> Iterator[tuple[float, dict[str, Any]]]:
        yield self._time(0.4, 0.4), {"phase": "waiting", "message": "Waiting for build to start\n"}
        for seconds, phase, text in self._build(repository) if cold else ():
            yield seconds, {"phase": phase, "message": text}
            if phase == "failed":
                return
        yield self._time(0.2), {"phase": "built", "message": "Found image\n", "imageName": "x:1"}
        yield 0.01, {"phase": "launching", "message": "Launching server...\n"}
        for seconds, text in self._spawn(repository, cold):
            yield seconds, {"phase": "launching", "message": text + "\n"}
        ready = {"phase": "ready", "message": "server running\n", "url": "http://x/", "token": "t"}
        yield self._time(repository.start), ready

    def _step(self, median: float) -> float:
        """Return what a step of a build takes."""
        draw, conditions = self._random, self._conditions
        seconds = self._time(median)
        # Without any of them, nothing is drawn: the worlds of earlier figures stay as they were.
        if conditions.spread:
            seconds *= draw.lognormvariate(0, conditions.spread)
        if conditions.pareto:
            # Its median is 1.
            seconds *= draw.paretovariate(conditions.pareto) / 2 ** (1 / conditions.pareto)
        if conditions.hangs and draw.random() < conditions.hangs:
            seconds += draw.uniform(60, 600)
        return seconds

    def _build(self, repository: _Repository) -> Iterator[tuple[float, str, str]]:
        draw = self._random
        yield self._time(0.3), "fetching", "Picked Git content provider.\n"
        yield self._time(0.2), "fetching", "Cloning into '/tmp/repo2docker'...\n"
        yield self._time(2.5, 0.5), "fetching", "HEAD is now at 0000000\n"
        yield self._time(0.3), "building", "Using PythonBuildPack builder\n"
        total = len(repository.steps)
        kept = draw.randrange(total) if draw.random() < 0.35 else 0
        fails = draw.randrange(1, total + 1) if draw.random() < 0.06 else 0
        machine = self._time(1.0, 0.15)
        took = 0.0
        for index, (text, median) in enumerate(repository.steps, 1):
            yield took, "building", f"Step {index}/{total} : {text}\n"
            if index <= kept:
                yield 0.02, "building", " ---> Using cache\n"
                took = 0.02
                continue
            took = self._step(median) * machine
            if index == fails:
                yield took * draw.random(), "failed", "The command returned a non-zero code: 1\n"
                return
            for _ in range(min(int(took), 8)):
                part = took / 10
                took -= part
                yield part, "building", "output of the step\n"
        yield took, "building", "Successfully tagged x:1\n"
        yield self._time(0.4), "pushing", "Pushing image\n"
        yield self._time(repository.megabytes / 60, 0.3), "pushing", "Successfully pushed x:1\n"

    def _spawn(self, repository: _Repository, cold: bool) -> Iterator[tuple[float, str]]:
        draw = self._random
        yield self._time(0.3), "Server requested"
        yield self._time(0.1), "Spawning server..."
        stamp = "2026-01-01T00:00:00.000000Z [Normal] "
        if draw.random() < 0.03:
            yield 0.2, stamp + "pod triggered scale-up"
            yield self._time(110, 0.3), stamp + "Successfully assigned x to node"
        else:
            yield self._time(0.4), stamp + "Successfully assigned x to node"
        pulls = self._conditions.pulls
        if draw.random() < ((0.6 if cold else 0.25) if pulls is None else pulls):
            yield self._time(0.5), stamp + 'Pulling image "x:1"'
            yield (
                self._time(repository.megabytes / 45, 0.3),
                stamp + 'Successfully pulled image "x"',
            )
        else:
            yield self._time(0.5), stamp + 'Container image "x:1" already present on machine'
        yield self._time(0.3), stamp + "Created container notebook"
        yield self._time(0.3), stamp + "Started container notebook"


def _slower(repository: _Repository) -> _Repository:
    """Return a repository whose own steps take three times as long."""
    steps = [
        (text, median * (3 if f"# of {repository.name}" in text else 1))
        for text, median in repository.steps
    ]
    return repository._replace(steps=steps)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generate", description=__doc__)
    parser.add_argument("folder", type=Path, help="where train/ and test/ are written")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--train", type=int, default=400, help="how many launches")
    parser.add_argument("--test", type=int, default=200)
    args = parser.parse_args()
    world = World(args.seed)
    for name, count in (("train", args.train), ("test", args.test)):
        for number in range(count):
            write(world.launch(), args.folder / name / f"generated-{number:05d}.jsonl")


if __name__ == "__main__":
    main()
