"""What past launches teach about the next one: log-normal durations and chances, by levels.

Each level corrects the one above as far as it has seen launches: all, those of a host, of a
repository, of a commit. A level says how far its members differ among each other (`between`) and
from launch to launch (`within`); what it has seen counts accordingly (the normal-normal model of
any textbook on hierarchical models). Old launches count less and less.

Everything is rebuilt from past launches alone, and each costs a few dictionary lookups.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from itertools import chain
from math import erfc, exp, log, pi, sqrt
from typing import NamedTuple

from .past import PastLaunch, Span
from .phases import Phase

__all__ = [
    "BUILD_PHASES",
    "TYPICAL_PULL",
    "Expectation",
    "Knowledge",
    "LogNormal",
    "Place",
    "left_key",
]

HALF_LIFE = 30 * 86400.0
"""Seconds after which a launch counts half: packages, images and machines change."""

SHORTEST = 0.05
"""Seconds: what is shorter has no length of its own worth knowing."""

TYPICAL_PULL = 30.0
"""Seconds that pulling an image takes where nothing better is known."""

MOST_PLACES = 20_000
"""Hosts, repositories and commits that are kept; the longest unused is forgotten."""

MOST_TIMES = 3
"""How often a step may begin in a phase and be remembered; of a line that comes again and again,
the first times say the most."""

BUILD_PHASES = (Phase.FETCHING, Phase.BUILDING, Phase.PUSHING)
"""The phases that a launch skips whose environment is there already."""

_PULL = "pull"
_COLD = "cold"
_FIRST = "first"

Key = tuple[str, ...]


class LogNormal(NamedTuple):
    """A duration whose logarithm is normal.

    Attributes
    ----------
    mu : float
        The logarithm of the median, in seconds.
    sigma : float
        The spread of the logarithm.
    """

    mu: float
    sigma: float

    @property
    def median(self) -> float:
        """In seconds."""
        return exp(self.mu)


class Place(NamedTuple):
    """Of what a launch is one.

    Attributes
    ----------
    host, repository : str
        Addresses.
    commit : str
        … or the ref where nobody knows the commit.
    """

    host: str = ""
    repository: str = ""
    commit: str = ""

    @property
    def levels(self) -> tuple[tuple[Key, ...], ...]:
        """From the widest to the narrowest; those that are not known are left out.

        Each is what it is at its host, and, where that has not been seen, anywhere: in front of
        several BinderHubs nobody knows beforehand which one will take a launch.
        """
        found: list[tuple[Key, ...]] = [((),)]
        if self.host:
            found.append((("host", self.host),))
        hosts = dict.fromkeys((self.host, ""))
        if self.repository:
            found.append(tuple(("repository", host, self.repository) for host in hosts))
            if self.commit:
                names = (self.repository, self.commit)
                found.append(tuple(("commit", host, *names) for host in hosts))
        return tuple(found)


class _Level(NamedTuple):
    between: float
    """How far its members differ; 0: as far as the level above spreads."""
    within: float
    """How far the launches of one member differ; 0: as far as the level above spreads."""
    trust: float
    """How many launches the level above is worth where chances are counted."""


_LEVELS = {
    "": _Level(1.0, 0.0, 3.0),
    "host": _Level(0.3, 0.0, 3.0),
    "repository": _Level(0.0, 0.3, 2.0),
    "commit": _Level(0.2, 0.3, 0.5),
}
# So many launches are as good as what is assumed of how far those of one member differ.
_ASSUMED = 4.0


class _Tally:
    """Weighted mean and spread of what was seen.

    Weights grow with the time of what is seen instead of shrinking with age: that is the same and
    costs nothing.
    """

    __slots__ = ("mean", "squares", "weight")

    def __init__(self) -> None:
        self.weight = 0.0
        self.mean = 0.0
        self.squares = 0.0

    def add(self, value: float, weight: float) -> None:
        self.weight += weight
        off = value - self.mean
        self.mean += off * weight / self.weight
        self.squares += weight * off * (value - self.mean)


class Knowledge:
    """What is known of durations and chances; past launches are added in the order of their end."""

    def __init__(self) -> None:
        self._places: OrderedDict[Key, dict[Key, _Tally]] = OrderedDict()
        # When a launch counts as one.
        self._epoch = 0.0
        self._newest = 0.0

    def add(self, past: PastLaunch) -> None:
        """Learn from a launch that is over."""
        if not self._places:
            self._epoch = past.began
        self._newest = max(self._newest, past.began + past.seconds)
        weight = 2.0 ** ((past.began - self._epoch) / HALF_LIFE)
        place = Place(past.host, past.repository, past.commit or past.ref)
        expected = Expectation(self, place, {})
        seen = self.has(place)
        facts = [*_durations(past), *_chances(past, first=not seen)]
        for key, value, cut in facts:
            share = 1.0
            if cut:
                usual = expected.duration(key, LogNormal(log(max(value, SHORTEST)), 1.0))
                value, share = _imputed(value, usual)
                if share < 1e-9:
                    continue
            elif key[0] != "chance":
                value = log(max(value, SHORTEST))
            for level in chain.from_iterable(place.levels):
                self._tallies(level).setdefault(key, _Tally()).add(value, weight * share)

    def about(self, place: Place, typical: Mapping[Phase, float]) -> Expectation:
        """Return what is to be expected of a launch.

        Parameters
        ----------
        place : Place
        typical : mapping of Phase to float
            Seconds per phase where nothing is known yet; others are not expected.
        """
        return Expectation(self, place, typical)

    def has(self, place: Place) -> bool:
        """Whether launches of just this place were seen."""
        return any(level in self._places for level in place.levels[-1])

    def look(self, level: Key, key: Key) -> tuple[float, float, float] | None:
        """Return how many launches tell of it, as of now, their mean and their variance."""
        tally = self._places.get(level, {}).get(key)
        if tally is None:
            return None
        count = tally.weight * 2.0 ** ((self._epoch - self._newest) / HALF_LIFE)
        return count, tally.mean, tally.squares / tally.weight

    def _tallies(self, level: Key) -> dict[Key, _Tally]:
        tallies = self._places.get(level)
        if tallies is None:
            tallies = self._places[level] = {}
            if len(self._places) > MOST_PLACES:
                # The first of all is the one for all launches, which stays.
                del self._places[next(key for key in self._places if key)]
        elif level:
            self._places.move_to_end(level)
        return tallies


class Expectation:
    """What is expected of one launch.

    Parameters
    ----------
    knowledge : Knowledge or None
        None: nothing is known but what is typical.
    place : Place
    typical : mapping of Phase to float
    """

    def __init__(
        self, knowledge: Knowledge | None, place: Place, typical: Mapping[Phase, float]
    ) -> None:
        self._knowledge = knowledge
        self._place = place
        self._levels = place.levels
        self.typical = typical

    def phase(self, phase: Phase, prior: LogNormal) -> LogNormal:
        """How long a phase takes; of launching, without pulling."""
        return self.duration(("phase", phase), prior)

    def pull(self, prior: LogNormal) -> LogNormal:
        """How long pulling takes, where it has to be done."""
        return self.duration((_PULL,), prior)

    def left(self, step: Key, prior: LogNormal) -> LogNormal:
        """How much of a phase is left when a step of it begins.

        Parameters
        ----------
        step : tuple of str
            As `left_key` makes it.
        prior : LogNormal
            What would be expected without knowing the step.
        """
        return self.duration(step, prior)

    def cold(self, prior: float) -> float:
        """How probable it is that the environment has to be made."""
        known = self._knowledge
        if known is None:
            return prior
        if self._place.commit and not known.has(self._place):
            # A commit that nobody has launched: what counts is how such ones went.
            return self.chance(_FIRST, prior, levels=self._levels[:-1])
        return self.chance(_COLD, prior)

    def happens(self, phase: Phase, prior: float) -> float:
        """How probable a phase is in a launch whose environment has to be made."""
        return self.chance(phase, prior)

    def pulls(self, cold: bool, prior: float) -> float:
        """How probable it is that the image has to be pulled, after a build or without one."""
        return self.chance(_PULL + (_COLD if cold else ""), prior)

    def chance(
        self, name: str, prior: float, levels: tuple[tuple[Key, ...], ...] | None = None
    ) -> float:
        """Return a probability, level by level."""
        for level, seen in self._seen(("chance", name), levels):
            count, mean, _ = seen
            trust = level.trust
            prior = (trust * prior + count * mean) / (trust + count)
        return prior

    def duration(self, key: Key, prior: LogNormal) -> LogNormal:
        """Return a duration, level by level."""
        mu, variance = prior.mu, prior.sigma**2
        within = variance
        for level, (count, mean, spread) in self._seen(key, None):
            assumed = level.within**2 or within
            within = (_ASSUMED * assumed + count * spread) / (_ASSUMED + count)
            between = level.between**2 or variance
            trust = 1 / (1 / between + count / within)
            mu = trust * (mu / between + count * mean / within)
            variance = within + trust
        return LogNormal(mu, sqrt(variance))

    def _seen(
        self, key: Key, levels: tuple[tuple[Key, ...], ...] | None
    ) -> Iterator[tuple[_Level, tuple[float, float, float]]]:
        if self._knowledge is None:
            return
        for ways in self._levels if levels is None else levels:
            for level in ways:
                seen = self._knowledge.look(level, key)
                if seen is not None:
                    yield _LEVELS[level[0] if level else ""], seen
                    break


def _durations(past: PastLaunch) -> Iterator[tuple[Key, float, bool]]:
    """Yield what took how long, and whether that was cut off by a bad end."""
    failed = past.outcome is not Phase.READY
    last = past.spans[-1].phase if past.spans else None
    by_phase: dict[Phase, list[Span]] = {}
    for span in past.spans:
        by_phase.setdefault(span.phase, []).append(span)
    for phase, spans in by_phase.items():
        if past.joined and phase is not Phase.LAUNCHING:
            # Only its end was seen.
            continue
        cut = failed and phase is last
        pulled = sum(span.seconds for span in spans if span.step == "pulling")
        yield ("phase", phase), sum(span.seconds for span in spans) - pulled, cut
        if pulled and not cut:
            yield (_PULL,), pulled, False
        if not cut:
            yield from _left(phase, spans, pulled=bool(pulled))


def _left(phase: Phase, spans: list[Span], *, pulled: bool) -> Iterator[tuple[Key, float, bool]]:
    end = spans[-1].end
    cached = False
    times: Counter[str] = Counter()
    for span in spans:
        name = span.digest or span.step
        # Until it is pulled, a launch with a pull is like any other.
        if span.step == "pulling":
            pulled = False
        if name:
            times[name] += 1
            if not pulled and times[name] <= MOST_TIMES:
                yield left_key(phase, name, times[name], cached=cached), end - span.start, False
        cached = span.cached


def left_key(phase: Phase, step: str, time: int, *, cached: bool) -> Key:
    """Return what is remembered of a step under which name.

    Parameters
    ----------
    phase : Phase
    step : str
        What the step is known by.
    time : int
        How often it has begun in this phase: a Hub starts a server, and later Kubernetes does.
    cached : bool
        Whether the step before was there already: then the next ones may be, too.
    """
    return ("left", phase, step, "cached" if cached else "", str(time))


def _chances(past: PastLaunch, *, first: bool) -> Iterator[tuple[Key, float, bool]]:
    phases = {span.phase for span in past.spans}
    if not phases & {Phase.BUILDING, Phase.BUILT, Phase.LAUNCHING}:
        # It ended before that was known.
        return
    cold = past.cold
    if not past.joined:
        yield ("chance", _FIRST if first else _COLD), float(cold), False
        if first:
            yield ("chance", _COLD), float(cold), False
        if cold and Phase.BUILT in phases:
            for phase in BUILD_PHASES:
                yield ("chance", phase), float(phase in phases), False
    if past.outcome is Phase.READY:
        yield ("chance", _PULL + (_COLD if cold else "")), float(past.pulled > 0), False


def _imputed(seconds: float, usual: LogNormal) -> tuple[float, float]:
    """Return the expected logarithm of what was cut off after `seconds`, and what that is worth.

    What was cut off early says nothing; late, that it takes longer than was thought.
    """
    z = (log(max(seconds, SHORTEST)) - usual.mu) / usual.sigma
    tail = erfc(z / sqrt(2)) / 2
    # Far out a normal's hazard is z itself.
    hazard = exp(-z * z / 2) / sqrt(2 * pi) / tail if tail > 1e-12 else z
    return usual.mu + usual.sigma * hazard, 1 - tail
