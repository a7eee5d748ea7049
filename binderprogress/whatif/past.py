"""Launches of a history, to be launched again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from statistics import median

import msgspec

from ..core.phases import Phase
from ..core.timing.breakdown import Kind, kind_of
from ..core.timing.spans import PastLaunch
from ..errors import ConfigError
from .demand import HALF_LIFE, Demand, Image, Request, around, numbered_hubs
from .outcome import chance, percentile
from .policy import Policy
from .report import Recorded

__all__ = ["Past"]

_BRIEF = 5.0
"""Seconds. Scheduling takes so long at most if there is a node with room."""

_ENOUGH = 20
"""Pulls on new nodes from which is learned what images share."""

_MAKING = (Kind.FETCH, Kind.BUILD, Kind.PUSH)
_STAY = 1.0
"""Standard deviation of the logarithm of how long people stay."""


class _Work(msgspec.Struct):
    """What a launch took, by what decides it: itself, or what a simulation has to find out."""

    waited: bool = False
    """For a node."""
    check: float = 0.0
    build: float = 0.0
    pull: float = 0.0
    start: float = 0.0


def _work_of(past: PastLaunch) -> _Work:
    work = _Work()
    for span in past.spans:
        kind, seconds = kind_of(span), span.seconds
        if kind in _MAKING:
            if past.cold and not past.joined:
                work.build += seconds
        elif kind is Kind.PULL:
            work.pull += seconds
        elif kind is Kind.SCHEDULE:
            work.waited = work.waited or seconds > _BRIEF
            work.start += seconds if seconds <= _BRIEF else 0.0
        elif kind in (Kind.START, Kind.FIRST_ANSWER):
            work.start += seconds
        elif span.step != "queued" and not (past.joined and span.phase is Phase.WAITING):
            # Checks, and outages, which will be the same again.
            work.check += seconds
    return work


class Past:
    """The launches of a period, as a history has them.

    What a launch itself took is taken from its record: checking, building if it built, and
    starting, and the hub to which it went. What others or the cluster made it wait for is left to
    the simulation: whether it had to build, the queue of builds, a node, and the pull. How long
    people stayed is not recorded.

    Parameters
    ----------
    launches : iterable of PastLaunch
        In any order. Those before the period only say what was popular.
    began, ended : float
        The period, in seconds since 1970.
    policy : Policy
        That of the period. It says how fast nodes pulled, and what no record does.

    Attributes
    ----------
    recorded : Recorded

    Raises
    ------
    ConfigError
        If there are no launches in the period that were ready.
    """

    def __init__(
        self, launches: Iterable[PastLaunch], *, began: float, ended: float, policy: Policy
    ) -> None:
        self._began, self._ended = began, ended
        self._policy = policy
        self._repositories: dict[str, int] = {}
        self._scores: list[float] = []
        self._images: dict[tuple[int, str], int] = {}
        self._of: list[int] = []
        self._kept: list[tuple[PastLaunch, _Work, int]] = []
        seconds, failed, left_out = [], 0, 0
        known: set[int] = set()
        for past in sorted(launches, key=lambda past: past.began):
            if past.began < began:
                if past.outcome is Phase.READY:
                    number = self._image(past)
                    known.add(number)
                    age = began - past.began
                    self._scores[self._of[number]] += 2.0 ** (-age / HALF_LIFE)
            elif past.outcome is Phase.READY:
                seconds.append(past.seconds)
                self._kept.append((past, _work_of(past), self._image(past)))
            elif past.outcome is Phase.FAILED and past.cold and not _was_launching(past):
                failed += 1
                # Another attempt at the same commit builds again.
                self._kept.append((past, _work_of(past), self._image(past)))
            else:
                left_out += 1
        if not seconds:
            raise ConfigError(
                "The history has no launches in this period. Name another one with --from and "
                "--days, or another database with --url."
            )
        hosts = {past.host for past, *_ in self._kept if past.outcome is Phase.READY}
        self._hubs = numbered_hubs(hosts, policy.hubs.count)
        seconds.sort()
        low, high = chance(seconds, 95)
        self.recorded = Recorded(
            launches=len(seconds),
            failed=failed,
            hubs=sorted(hosts),
            left_out=left_out,
            p50=round(percentile(seconds, 50), 3),
            p95=round(percentile(seconds, 95), 3),
            p95_range=(round(low, 3), round(high, 3)),
        )
        self._learn(known)

    def _image(self, past: PastLaunch) -> int:
        """Return the number of the image of a launch."""
        repository = self._repositories.setdefault(past.repository, len(self._repositories))
        if repository == len(self._scores):
            self._scores.append(0.0)
        key = (repository, past.commit or past.ref)
        number = self._images.setdefault(key, len(self._images))
        if number == len(self._of):
            self._of.append(repository)
        return number

    def _learn(self, known: set[int]) -> None:
        """Find out what images take, and which of them exist from the beginning."""
        speed = self._policy.nodes.pull_mb_per_second / 1000.0
        pulls: dict[int, list[float]] = defaultdict(list)
        new: dict[int, list[float]] = defaultdict(list)
        builds: dict[int, list[float]] = defaultdict(list)
        sizes: dict[int, float] = {}
        first: dict[int, PastLaunch] = {}
        for past, work, number in self._kept:
            first.setdefault(number, past)
            if work.pull:
                (new if work.waited else pulls)[number].append(work.pull)
            if work.build:
                builds[self._of[number]].append(work.build)
            if past.image_bytes:
                sizes[number] = past.image_bytes / 1e9
        shared = _shared_seconds(pulls, new)
        self._shared_gb = shared * speed
        for number in new.keys() - pulls.keys():
            pulls[number] = [max(seconds - shared, 0.0) for seconds in new[number]]
        # Without containers, nothing is ever pulled.
        typical = median(t for each in pulls.values() for t in each) * speed if pulls else 0.0
        self._gb = [
            median(pulls[n]) * speed if n in pulls else (sizes.get(n, typical) if pulls else 0.0)
            for n in range(len(self._of))
        ]
        self._is_built = [
            n in known or (n in first and not first[n].cold) for n in range(len(self._of))
        ]
        self._builds = {n: median(each) for n, each in builds.items()}
        self._any_builds: Sequence[float] = [t for each in builds.values() for t in each]

    def draw(self, rand: Random) -> Demand:
        """Return the launches of the period; see `demand.Source`."""
        return Demand(
            began=self._began,
            seconds=self._ended - self._began,
            requests=[
                Request(
                    time=past.began - self._began,
                    image=number,
                    check=work.check,
                    build=work.build or self._build_seconds(rand, number),
                    start=work.start,
                    stay=60.0 * around(rand, self._policy.launches.stay_minutes, _STAY),
                    fails=past.outcome is Phase.FAILED,
                    hub=self._hubs.get(past.host, -1),
                )
                for past, work, number in self._kept
            ],
            images=[
                Image(repository, gb, is_built)
                for repository, gb, is_built in zip(self._of, self._gb, self._is_built, strict=True)
            ],
            repositories=list(self._repositories),
            scores=list(self._scores),
            hubs=self._policy.hubs if self._hubs else None,
            shared_gb=self._shared_gb,
        )

    def _build_seconds(self, rand: Random, image: int) -> float:
        """Return what a launch would take that did not build, if it has to."""
        known = self._builds.get(self._of[image])
        if known is not None:
            return known
        if self._any_builds:
            return rand.choice(self._any_builds)
        return self._policy.launches.build_seconds


def _shared_seconds(pulls: Mapping[int, list[float]], new: Mapping[int, list[float]]) -> float:
    """Return by how much longer an image is pulled by a new node than by others; see `shared_gb`.

    Parameters
    ----------
    pulls, new : mapping of int to list of float
        Seconds by image, of nodes that were there, and of nodes that a launch waited for.
    """
    longer = [
        seconds - median(pulls[number])
        for number, each in new.items()
        if number in pulls
        for seconds in each
    ]
    return max(median(longer), 0.0) if len(longer) >= _ENOUGH else 0.0


def _was_launching(past: PastLaunch) -> bool:
    return any(span.phase is Phase.LAUNCHING for span in past.spans)
