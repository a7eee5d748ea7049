"""Priors from past launches: log-normal durations and probabilities, in a hierarchy.

The levels are all launches, those of a host, of a repository, and of a commit. The estimate of each
level is shrunk towards that of the level above: the more launches a level has, the less (the
normal-normal model of textbooks on hierarchical models). How much the launches of one repository
differ is learned from all repositories. The weight of a launch decays with its age.

The state is rebuilt from past launches alone. Adding one takes a few dictionary lookups.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from itertools import chain
from math import log, pi, sqrt
from typing import NamedTuple

from ..phases import Phase
from .calibration import Calibration
from .estimate import Left
from .lognormal import SHORTEST, LogNormal, imputed
from .observations import AGAIN, COLD, FIRST, MADE, PULL, WARM_FETCH, Key, chances, durations
from .pulls import Pulls
from .spans import PastLaunch
from .tally import Tally

__all__ = ["TYPICAL_PULL", "Expectation", "Place", "Priors"]

HALF_LIFE = 30 * 86400.0
"""Seconds after which the weight of a launch halves: packages, images and machines change."""

TYPICAL_PULL = 30.0
"""Default duration of pulling an image, in seconds."""

MOST_PLACES = 20_000
"""Maximum number of hosts, repositories and commits. The least recently used is dropped."""

LOST = 0.1
"""Default probability that an existing environment has been removed."""

_APART = 0.3
"""Standard deviation of the ratio of first starts to later ones, in logarithms."""


class Place(NamedTuple):
    """The host, repository and commit of a launch.

    Attributes
    ----------
    host, repository : str
        Addresses.
    commit : str
        The commit, or the ref if the commit is not known.
    """

    host: str = ""
    repository: str = ""
    commit: str = ""

    @property
    def levels(self) -> tuple[tuple[Key, ...], ...]:
        """The levels of the hierarchy, widest first. Unknown ones are omitted.

        Each level has the key at this host, and one at any host as a fallback: in front of several
        BinderHubs, it is not known in advance which one will take a launch.
        """
        levels: list[tuple[Key, ...]] = [((),)]
        if self.host:
            levels.append((("host", self.host),))
        hosts = dict.fromkeys((self.host, ""))
        if self.repository:
            levels.append(tuple(("repository", host, self.repository) for host in hosts))
            if self.commit:
                names = (self.repository, self.commit)
                levels.append(tuple(("commit", host, *names) for host in hosts))
        return tuple(levels)


class _Level(NamedTuple):
    between: float
    """Standard deviation between members; 0: that of the level above."""
    wide: bool
    """Whether the launches of one member vary as much as those of the level above."""
    trust: float
    """The number of launches that a probability of the level above is worth."""


_LEVELS = {
    "": _Level(1.0, True, 3.0),
    "host": _Level(0.3, True, 3.0),
    "repository": _Level(0.0, False, 2.0),
    "commit": _Level(0.2, False, 0.5),
}
# The levels whose durations can change for good: someone has changed the repository. Those above
# mix launches of many repositories, whose order is no change.
_CHANGING = frozenset({"repository", "commit"})
# Default standard deviation of the launches of one repository or commit.
_WITHIN = 0.3
# Minimum of this standard deviation.
_REGULAR = 0.03
# Ratio of a normal's standard deviation to its mean absolute deviation.
_ABSOLUTE = sqrt(pi / 2)
# The number of launches that an assumed standard deviation is worth.
_ASSUMED = 2.0


class Priors:
    """Durations and probabilities, learned from past launches in the order in which they ended."""

    def __init__(self) -> None:
        self._places: OrderedDict[Key, dict[Key, Tally]] = OrderedDict()
        # The time of a launch with weight 1, and the factor for its weight now.
        self._epoch = 0.0
        self._newest = 0.0
        self.fading = 1.0
        self.calibration = Calibration()
        """How far the estimates of recent launches were off."""
        self.pulls = Pulls()
        """What pulls of images taught. Only those that are seen happen have a node."""

    def add(self, past: PastLaunch) -> None:
        """Learn from a finished launch."""
        if not self._places:
            self._epoch = past.began
        self._newest = max(self._newest, past.began + past.seconds)
        self.fading = 2.0 ** ((self._epoch - self._newest) / HALF_LIFE)
        weight = 2.0 ** ((past.began - self._epoch) / HALF_LIFE)
        place = Place(past.host, past.repository, past.commit or past.ref)
        expected = Expectation(self, place, {})
        observations = [*durations(past), *chances(past, first=not self.made(place))]
        for key, value, cut in observations:
            share, spread = 1.0, 0.0
            if cut:
                usual = expected.duration(key, LogNormal(log(max(value, SHORTEST)), 1.0))
                value, share = imputed(value, usual)
                if share < 1e-9:
                    continue
            elif key[0] != "chance":
                value = log(max(value, SHORTEST))
                self._add_spread(place, key, value, weight)
                spread = sqrt(self.spread(key))
            for level in chain.from_iterable(place.levels):
                tally = self._tallies(level).setdefault(key, Tally())
                if spread and level and level[0] in _CHANGING:
                    # A repository whose launches vary more than others' has to change by more.
                    own = max(tally.squares, 0.0) / tally.weight if tally.weight else 0.0
                    tally.follow(value, weight, max(spread, sqrt(own)))
                else:
                    tally.add(value, weight * share)

    def spread(self, key: Key) -> float:
        """Return the variance of the logarithm within one repository."""
        tally = self._places[()].get(_spread_key(key)) if self._places else None
        if tally is None:
            return _WITHIN**2
        count = tally.weight * self.fading
        spread = (_ASSUMED * _WITHIN + count * tally.mean) / (_ASSUMED + count)
        return max(spread, _REGULAR) ** 2

    def _add_spread(self, place: Place, key: Key, value: float, weight: float) -> None:
        """Record the deviation of a launch from the mean of its repository's earlier launches."""
        before = self._places.get(("repository", place.host, place.repository), {}).get(key)
        if before is not None:
            # The factor corrects for the error of the mean. Absolute, not squared: a few outliers
            # must not widen the ranges of all others.
            share = sqrt(before.weight / (before.weight + weight))
            off = abs(value - before.mean) * share * _ABSOLUTE
            self._tallies(()).setdefault(_spread_key(key), Tally()).add(off, weight)

    def about(
        self, place: Place, typical: Mapping[Phase, float], *, first_start: float = 1.0
    ) -> Expectation:
        """Return the expectation for a launch.

        Parameters
        ----------
        place : Place
        typical : mapping of Phase to float
            Default durations in seconds. Phases that are missing are not expected.
        first_start : float
            Factor by which a server starts slower right after its environment was built.
        """
        return Expectation(self, place, typical, first_start=first_start)

    def has(self, place: Place) -> bool:
        """Whether launches of exactly this place were added."""
        return any(level in self._places for level in place.levels[-1])

    def made(self, place: Place) -> bool:
        """Whether an environment of exactly this place has existed before."""
        return any(("chance", MADE) in self._places.get(level, ()) for level in place.levels[-1])

    def of(self, place: Place) -> list[tuple[_Level, list[dict[Key, Tally]]]]:
        """Return the tallies of each level of a place. Levels without any are omitted."""
        levels = []
        for keys in place.levels:
            known = [self._places[key] for key in keys if key in self._places]
            if known:
                levels.append((_LEVELS[keys[0][0] if keys[0] else ""], known))
        return levels

    def _tallies(self, level: Key) -> dict[Key, Tally]:
        tallies = self._places.get(level)
        if tallies is None:
            tallies = self._places[level] = {}
            if len(self._places) > MOST_PLACES:
                # The empty key is that of all launches, which is kept.
                del self._places[next(key for key in self._places if key)]
        elif level:
            self._places.move_to_end(level)
        return tallies


class Expectation:
    """The expected durations and probabilities of one launch.

    Parameters
    ----------
    priors : Priors or None
        None: only the defaults are known.
    place : Place
    typical : mapping of Phase to float
        Default durations in seconds. Phases that are missing are not expected.
    first_start : float
        Factor by which a server starts slower right after its environment was built.
    correct : bool
        Whether ranges are corrected by how far earlier ones were off.
    """

    def __init__(
        self,
        priors: Priors | None,
        place: Place,
        typical: Mapping[Phase, float],
        *,
        first_start: float = 1.0,
        correct: bool = True,
    ) -> None:
        self._correct = correct
        self._priors = priors or _NOTHING
        self._known = self._priors.of(place)
        self._cold_key = COLD
        if place.commit:
            # Learned from other new commits, or from other commits with an environment.
            self._cold_key = AGAIN if self._priors.made(place) else FIRST
        # Caches: the estimator asks for the same values repeatedly.
        self._chances: dict[tuple[str, float], float] = {}
        self._durations: dict[tuple[str, bool, LogNormal], LogNormal] = {}
        self._first = log(first_start)
        self.typical = typical

    def corrected(self, phase: Phase, left: Left) -> Left:
        """Return a time left in which as many launches end as its quantiles say."""
        return self._priors.calibration.correct(phase, left) if self._correct else left

    def phase(self, phase: Phase, prior: LogNormal, *, cold: bool = False) -> LogNormal:
        """Return the duration of a phase.

        Parameters
        ----------
        phase : Phase
            The duration of launching is without pulling.
        prior : LogNormal
            The default.
        cold : bool
            Whether the launch comes after a build.
        """
        duration = self._durations.get((phase, cold, prior))
        if duration is None:
            shifted = LogNormal(prior.mu + self._first * cold, prior.sigma)
            duration = self._start(("phase", phase), shifted, cold=cold)
            self._durations[phase, cold, prior] = duration
        return duration

    def pull(self, prior: LogNormal) -> LogNormal:
        """Return the duration of pulling the image, if it has to be pulled."""
        duration = self._durations.get((PULL, False, prior))
        if duration is None:
            duration = self._durations[PULL, False, prior] = self.duration((PULL,), prior)
        return duration

    def left(self, step: Key, prior: LogNormal) -> LogNormal:
        """Return the time left of a phase when a step of it begins.

        Parameters
        ----------
        step : tuple of str
            The key that `left_key` returns.
        prior : LogNormal
            The expected time without knowing the step.
        """
        return self._start(step[:-1], prior, cold=step[-1] == COLD)

    def _start(self, key: Key, prior: LogNormal, *, cold: bool) -> LogNormal:
        """Return a duration, which depends on a build before it if the phase is launching."""
        if key[1] != Phase.LAUNCHING:
            return self.duration((*key, ""), prior)
        warm, after = (*key, ""), (*key, COLD)
        if cold:
            return self.duration(after, prior, other=warm, ratio=-self._first)
        return self.duration(warm, prior, other=after, ratio=self._first)

    def cold(self, prior: float) -> float:
        """Return the probability that the environment has to be built."""
        # An environment that has existed is usually still there.
        return self.chance(self._cold_key, min(prior, LOST) if self._cold_key == AGAIN else prior)

    def fetches_warm(self, prior: float) -> float:
        """Return the probability that a repository is fetched although its environment exists."""
        return self.chance(WARM_FETCH, prior)

    def happens(self, phase: Phase, prior: float) -> float:
        """Return the probability of a phase in a launch whose environment has to be built."""
        return self.chance(phase, prior)

    def pulls(self, cold: bool, prior: float) -> float:
        """Return the probability that the image has to be pulled, after a build or without one."""
        return self.chance(PULL + (COLD if cold else ""), prior)

    def chance(self, name: str, prior: float) -> float:
        """Return a probability, updated level by level."""
        chance = self._chances.get((name, prior))
        if chance is None:
            key, fading, chance = ("chance", name), self._priors.fading, prior
            for level, known in self._known:
                tally = _first(known, key)
                if tally is not None:
                    count = tally.weight * fading
                    chance = (level.trust * chance + count * tally.mean) / (level.trust + count)
            self._chances[name, prior] = chance
        return chance

    def duration(
        self, key: Key, prior: LogNormal, *, other: Key | None = None, ratio: float = 0.0
    ) -> LogNormal:
        """Return a duration, updated level by level.

        Parameters
        ----------
        key : tuple of str
        prior : LogNormal
            The default.
        other : tuple of str, optional
            Key of a duration that is related by `ratio`, and used while little is known.
        ratio : float
            Logarithm of the ratio of the other duration to this one.
        """
        fading, spread = self._priors.fading, self._priors.spread(key)
        mu, variance = prior.mu, prior.sigma**2
        within = variance
        # Variance of the estimated mean.
        error = 0.0
        other_mu, other_variance = mu + ratio, variance
        for level, known in self._known:
            tally = _first(known, key)
            related = _first(known, other) if other is not None else None
            if tally is None and related is None:
                continue
            assumed = within if level.wide else spread
            # The error of the level above is also an error of its members.
            between = level.between**2 + error if level.between else variance
            # Each source is weighted by its precision.
            precision = 1 / between
            total = mu * precision
            if related is not None:
                noise = assumed / (related.weight * fading)
                weight = 1 / (noise + _APART**2)
                precision += weight
                total += weight * (related.mean + mu - other_mu)
                trust = 1 / (1 / (level.between**2 or other_variance) + 1 / noise)
                other_mu += trust / noise * (related.mean - other_mu)
                other_variance = assumed + trust
            within = assumed
            if tally is not None:
                count = tally.weight * fading
                squared = tally.squares / tally.weight
                within = (_ASSUMED * assumed + count * squared) / (_ASSUMED + count)
                precision += count / within
                total += count / within * tally.mean
            mu, error = total / precision, 1 / precision
            variance = within + error
        return LogNormal(mu, sqrt(variance))


def _first(known: list[dict[Key, Tally]], key: Key) -> Tally | None:
    for tallies in known:
        tally = tallies.get(key)
        if tally is not None:
            return tally
    return None


_NOTHING = Priors()


def _spread_key(key: Key) -> Key:
    return ("spread", *key[:2])
