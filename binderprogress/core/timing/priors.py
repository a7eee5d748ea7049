"""What past launches teach about the next one: log-normal durations and chances, by levels.

Each level corrects the one above as far as it has seen launches: all, those of a host, of a
repository, of a commit. A level says how far its members differ among each other; how far the
launches of one repository differ is learned from all of them. What a level has seen counts
accordingly (the normal-normal model of any textbook on hierarchical models). Old launches count
less and less.

Everything is rebuilt from past launches alone, and each costs a few dictionary lookups.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from itertools import chain
from math import log, pi, sqrt
from typing import NamedTuple

from ..phases import Phase
from .lognormal import SHORTEST, LogNormal, imputed
from .observations import AGAIN, COLD, FIRST, MADE, PULL, WARM_FETCH, Key, chances, durations
from .spans import PastLaunch

__all__ = ["TYPICAL_PULL", "Expectation", "Knowledge", "Place"]

HALF_LIFE = 30 * 86400.0
"""Seconds after which a launch counts half: packages, images and machines change."""

TYPICAL_PULL = 30.0
"""Seconds that pulling an image takes where nothing better is known."""

MOST_PLACES = 20_000
"""Hosts, repositories and commits that are kept; the longest unused is forgotten."""

LOST = 0.1
"""How probable it is that an environment that was there is gone, where nothing better is known."""

_APART = 0.3
"""How far first starts and later ones differ from their usual ratio, in logarithms."""


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
    wide: bool
    """Whether the launches of one member differ as far as the level above spreads."""
    trust: float
    """How many launches the level above is worth where chances are counted."""


_LEVELS = {
    "": _Level(1.0, True, 3.0),
    "host": _Level(0.3, True, 3.0),
    "repository": _Level(0.0, False, 2.0),
    "commit": _Level(0.2, False, 0.5),
}
# How far the launches of one repository or commit differ, where nothing better is known.
_WITHIN = 0.3
# … and nothing is more regular than this.
_REGULAR = 0.03
# A normal's spread over its mean distance from the mean.
_ABSOLUTE = sqrt(pi / 2)
# So many launches are as good as what is assumed of how far those of one member differ.
_ASSUMED = 2.0


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
        # When a launch counts as one, and what it counts now.
        self._epoch = 0.0
        self._newest = 0.0
        self.fading = 1.0

    def add(self, past: PastLaunch) -> None:
        """Learn from a launch that is over."""
        if not self._places:
            self._epoch = past.began
        self._newest = max(self._newest, past.began + past.seconds)
        self.fading = 2.0 ** ((self._epoch - self._newest) / HALF_LIFE)
        weight = 2.0 ** ((past.began - self._epoch) / HALF_LIFE)
        place = Place(past.host, past.repository, past.commit or past.ref)
        expected = Expectation(self, place, {})
        facts = [*durations(past), *chances(past, first=not self.made(place))]
        for key, value, cut in facts:
            share = 1.0
            if cut:
                usual = expected.duration(key, LogNormal(log(max(value, SHORTEST)), 1.0))
                value, share = imputed(value, usual)
                if share < 1e-9:
                    continue
            elif key[0] != "chance":
                value = log(max(value, SHORTEST))
                self._add_spread(place, key, value, weight)
            for level in chain.from_iterable(place.levels):
                self._tallies(level).setdefault(key, _Tally()).add(value, weight * share)

    def spread(self, key: Key) -> float:
        """Return how far the launches of one repository differ, as a variance of the logarithm."""
        seen = self._places[()].get(_spread_key(key)) if self._places else None
        if seen is None:
            return _WITHIN**2
        count = seen.weight * self.fading
        spread = (_ASSUMED * _WITHIN + count * seen.mean) / (_ASSUMED + count)
        return max(spread, _REGULAR) ** 2

    def _add_spread(self, place: Place, key: Key, value: float, weight: float) -> None:
        """Note how far a launch is off from what its repository's took before."""
        before = self._places.get(("repository", place.host, place.repository), {}).get(key)
        if before is not None:
            # The mean of the others is off, too. Not squared: a few that were far off by chance
            # must not make the ranges of all others wide.
            share = sqrt(before.weight / (before.weight + weight))
            off = abs(value - before.mean) * share * _ABSOLUTE
            self._tallies(()).setdefault(_spread_key(key), _Tally()).add(off, weight)

    def about(
        self, place: Place, typical: Mapping[Phase, float], *, first_start: float = 1.0
    ) -> Expectation:
        """Return what is to be expected of a launch.

        Parameters
        ----------
        place : Place
        typical : mapping of Phase to float
            Seconds per phase where nothing is known yet; others are not expected.
        first_start : float
            How much longer a server takes to start in an environment that was just made.
        """
        return Expectation(self, place, typical, first_start=first_start)

    def has(self, place: Place) -> bool:
        """Whether launches of just this place were seen."""
        return any(level in self._places for level in place.levels[-1])

    def made(self, place: Place) -> bool:
        """Whether an environment of just this place was seen to be there."""
        return any(("chance", MADE) in self._places.get(level, ()) for level in place.levels[-1])

    def of(self, place: Place) -> list[tuple[_Level, list[dict[Key, _Tally]]]]:
        """Return what is known of each level of a place, of those of which something is."""
        found = []
        for ways in place.levels:
            known = [self._places[level] for level in ways if level in self._places]
            if known:
                found.append((_LEVELS[ways[0][0] if ways[0] else ""], known))
        return found

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
    first_start : float
    """

    def __init__(
        self,
        knowledge: Knowledge | None,
        place: Place,
        typical: Mapping[Phase, float],
        *,
        first_start: float = 1.0,
    ) -> None:
        self._knowledge = knowledge or _NOTHING
        self._known = self._knowledge.of(place)
        self._which = COLD
        if place.commit:
            # What counts is how other new commits went, or those that were there already.
            self._which = AGAIN if self._knowledge.made(place) else FIRST
        # Chances, and phases, which are asked for again and again.
        self._chances: dict[tuple[str, float], float] = {}
        self._told: dict[tuple[str, bool, LogNormal], LogNormal] = {}
        self._first = log(first_start)
        self.typical = typical

    def phase(self, phase: Phase, prior: LogNormal, *, cold: bool = False) -> LogNormal:
        """How long a phase takes; of launching, without pulling, and maybe after a build."""
        told = self._told.get((phase, cold, prior))
        if told is None:
            shifted = LogNormal(prior.mu + self._first * cold, prior.sigma)
            told = self._start(("phase", phase), shifted, cold=cold)
            self._told[phase, cold, prior] = told
        return told

    def pull(self, prior: LogNormal) -> LogNormal:
        """How long pulling takes, where it has to be done."""
        told = self._told.get((PULL, False, prior))
        if told is None:
            told = self._told[PULL, False, prior] = self.duration((PULL,), prior)
        return told

    def left(self, step: Key, prior: LogNormal) -> LogNormal:
        """How much of a phase is left when a step of it begins.

        Parameters
        ----------
        step : tuple of str
            As `left_key` makes it.
        prior : LogNormal
            What would be expected without knowing the step.
        """
        return self._start(step[:-1], prior, cold=step[-1] == COLD)

    def _start(self, key: Key, prior: LogNormal, *, cold: bool) -> LogNormal:
        """Return a duration, of a start after a build or without one."""
        if key[1] != Phase.LAUNCHING:
            return self.duration((*key, ""), prior)
        warm, after = (*key, ""), (*key, COLD)
        if cold:
            return self.duration(after, prior, other=warm, ratio=-self._first)
        return self.duration(warm, prior, other=after, ratio=self._first)

    def cold(self, prior: float) -> float:
        """How probable it is that the environment has to be made."""
        # What was there is there, as a rule.
        return self.chance(self._which, min(prior, LOST) if self._which == AGAIN else prior)

    def fetches_warm(self, prior: float) -> float:
        """How probable it is that a repository is fetched whose environment is there already."""
        return self.chance(WARM_FETCH, prior)

    def happens(self, phase: Phase, prior: float) -> float:
        """How probable a phase is in a launch whose environment has to be made."""
        return self.chance(phase, prior)

    def pulls(self, cold: bool, prior: float) -> float:
        """How probable it is that the image has to be pulled, after a build or without one."""
        return self.chance(PULL + (COLD if cold else ""), prior)

    def chance(self, name: str, prior: float) -> float:
        """Return a probability, level by level."""
        told = self._chances.get((name, prior))
        if told is None:
            key, fading, told = ("chance", name), self._knowledge.fading, prior
            for level, known in self._known:
                seen = _first(known, key)
                if seen is not None:
                    count = seen.weight * fading
                    told = (level.trust * told + count * seen.mean) / (level.trust + count)
            self._chances[name, prior] = told
        return told

    def duration(
        self, key: Key, prior: LogNormal, *, other: Key | None = None, ratio: float = 0.0
    ) -> LogNormal:
        """Return a duration, level by level.

        Parameters
        ----------
        key : tuple of str
        prior : LogNormal
        other : tuple of str, optional
            What takes about as long, as far as little is known of this.
        ratio : float
            … but longer by so much, in logarithms.
        """
        fading, spread = self._knowledge.fading, self._knowledge.spread(key)
        mu, variance = prior.mu, prior.sigma**2
        within = variance
        doubt = 0.0
        other_mu, other_variance = mu + ratio, variance
        for level, known in self._known:
            seen = _first(known, key)
            beside = _first(known, other) if other is not None else None
            if seen is None and beside is None:
                continue
            assumed = within if level.wide else spread
            # What the level above does not know is not known of its members either.
            between = level.between**2 + doubt if level.between else variance
            # What several say counts by how sure each is.
            certain = 1 / between
            total = mu * certain
            if beside is not None:
                noise = assumed / (beside.weight * fading)
                sure = 1 / (noise + _APART**2)
                certain += sure
                total += sure * (beside.mean + mu - other_mu)
                trust = 1 / (1 / (level.between**2 or other_variance) + 1 / noise)
                other_mu += trust / noise * (beside.mean - other_mu)
                other_variance = assumed + trust
            within = assumed
            if seen is not None:
                count = seen.weight * fading
                off = seen.squares / seen.weight
                within = (_ASSUMED * assumed + count * off) / (_ASSUMED + count)
                certain += count / within
                total += count / within * seen.mean
            mu, doubt = total / certain, 1 / certain
            variance = within + doubt
        return LogNormal(mu, sqrt(variance))


def _first(known: list[dict[Key, _Tally]], key: Key) -> _Tally | None:
    for tallies in known:
        seen = tallies.get(key)
        if seen is not None:
            return seen
    return None


_NOTHING = Knowledge()


def _spread_key(key: Key) -> Key:
    return ("spread", *key[:2])
