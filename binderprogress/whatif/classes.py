"""Launches by description: classes that begin at the same time, and everybody else."""

from __future__ import annotations

import math
import re
from itertools import accumulate
from random import Random

from ..errors import ConfigError
from .demand import HALF_LIFE, Demand, Image, Request, around
from .policy import Day, LearningClass, Policy

__all__ = ["DAYS", "Described", "read_class"]

DAYS: tuple[Day, ...] = (
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
)

_BEGAN = 4 * 86400.0
"""Monday, 5 January 1970: a described week is any week."""
_DAY = 86400.0
_WEEK = 7 * _DAY

_PHRASE = re.compile(
    r"(?P<students>[1-9]\d{0,4}) (?:students?|people|persons?),? (?:on )?(?P<days>[a-z, ]+?) "
    r"at (?P<hour>[01]?\d|2[0-3])(?P<minute>:[0-5]\d)?",
    re.IGNORECASE | re.ASCII,
)
_GROUPS = {
    "every day": DAYS,
    "daily": DAYS,
    "every weekday": DAYS[:5],
    "weekdays": DAYS[:5],
}

_WITHIN = math.log(3) / math.log(2)
"""Makes half of a class launch in the first third of its time."""

# Standard deviations of logarithms.
_CHECK, _BUILD, _START, _SIZE = 0.3, 0.6, 0.3, 0.5
_STAY, _LESSON = 1.0, 0.15


def read_class(text: str) -> LearningClass:
    """Read a class such as ``120 students, Mondays at 10``.

    Raises
    ------
    ConfigError
        If it cannot be understood.
    """
    match = _PHRASE.fullmatch(text.strip())
    days = _read_days(match["days"]) if match else []
    if match is None or not days:
        raise ConfigError(
            f"The class {text[:100]!r} is not understood. Write it like these: "
            '"120 students, Mondays at 10" or "30 students, Tuesdays and Fridays at 14:15". '
            "A file says more: see [[classes]] in the documentation."
        )
    return LearningClass(
        students=int(match["students"]),
        days=days,
        at=f"{match['hour']}{match['minute'] or ':00'}",
    )


def _read_days(text: str) -> list[Day]:
    """Return the days that are named; none if another word is among them."""
    text = " ".join(text.lower().split())
    if text in _GROUPS:
        return list(_GROUPS[text])
    days: list[Day] = []
    for word in re.split(r"(?:, *| and )+", text):
        named = [day for day in DAYS if word.removesuffix("s") in (day.lower(), day[:3].lower())]
        if not named:
            return []
        days += named
    return sorted(set(days), key=DAYS.index)


class Described:
    """A week of the classes and the background of a scenario file.

    Parameters
    ----------
    policy : Policy

    Raises
    ------
    ConfigError
        If nobody launches anything.
    """

    def __init__(self, policy: Policy) -> None:
        if not policy.classes and not policy.background.launches_per_day:
            raise ConfigError(
                "Nobody launches anything. Describe a class, as in "
                '--class "120 students, Mondays at 10", or set background.launches_per_day.'
            )
        self._policy = policy
        each = policy.background
        self._hours = [_busyness(hour) for hour in range(7 * 24)]
        # The same name may be in several classes.
        self._taught = list(dict.fromkeys(each.repository for each in policy.classes))
        self._popularity = [1.0 / rank for rank in range(1, each.repositories + 1)]

    def draw(self, rand: Random) -> Demand:
        """Return the launches of a week; see `demand.Source`."""
        background = self._policy.background
        others = background.repositories if background.launches_per_day else 0
        built = {each.repository: each.is_built for each in self._policy.classes}
        images = [self._image(rand, number, built[n]) for number, n in enumerate(self._taught)]
        images += [self._image(rand, len(images) + number, True) for number in range(others)]
        requests = [
            request
            for number, each in enumerate(self._policy.classes)
            for request in self._lessons(rand, each)
        ]
        requests += self._others(rand, images)
        requests.sort(key=lambda request: request.time)
        return Demand(
            began=_BEGAN,
            seconds=_WEEK,
            requests=requests,
            images=images,
            repositories=[*self._taught, *(f"repository-{n + 1}" for n in range(others))],
            scores=self._scores(others),
        )

    def _image(self, rand: Random, repository: int, is_built: bool) -> Image:
        return Image(repository, around(rand, self._policy.launches.image_gb, _SIZE), is_built)

    def _scores(self, others: int) -> list[float]:
        """Return the popularity after many such weeks."""
        weeks = HALF_LIFE / math.log(2) / _WEEK
        scores = dict.fromkeys(self._taught, 0.0)
        for each in self._policy.classes:
            scores[each.repository] += weeks * each.students * len(set(each.days))
        per_week = 7 * self._policy.background.launches_per_day * weeks
        total = sum(self._popularity)
        return [*scores.values(), *(per_week * w / total for w in self._popularity[:others])]

    def _lessons(self, rand: Random, each: LearningClass) -> list[Request]:
        hour, minute = map(int, each.at.split(":"))
        image = self._taught.index(each.repository)
        return [
            self._request(
                rand,
                DAYS.index(day) * _DAY
                + hour * 3600.0
                + minute * 60.0
                + each.within_minutes * 60.0 * rand.random() ** _WITHIN,
                image,
                around(rand, each.stay_minutes, _LESSON),
            )
            for day in dict.fromkeys(each.days)
            for _ in range(each.students)
        ]

    def _others(self, rand: Random, images: list[Image]) -> list[Request]:
        """Return the launches of the background. New commits add images."""
        background = self._policy.background
        if not background.launches_per_day:
            return []
        ranks = range(background.repositories)
        weights = list(accumulate(self._popularity))
        first = len(self._taught)
        count = 7 * background.launches_per_day
        times = [
            hour * 3600.0 + rand.random() * 3600.0
            for hour in rand.choices(range(7 * 24), self._hours, k=count)
        ]
        commits = [rand.random() * _WEEK for _ in range(round(7 * background.commits_per_day))]
        newest = [first + rank for rank in ranks]
        happens = sorted([(time, False) for time in times] + [(time, True) for time in commits])
        chosen = rand.choices(ranks, cum_weights=weights, k=len(happens))
        requests = []
        for (time, is_commit), rank in zip(happens, chosen, strict=True):
            if is_commit:
                images.append(Image(first + rank, images[newest[rank]].gb, is_built=False))
                newest[rank] = len(images) - 1
            else:
                stay = around(rand, self._policy.launches.stay_minutes, _STAY)
                requests.append(self._request(rand, time, newest[rank], stay))
        return requests

    def _request(self, rand: Random, time: float, image: int, minutes: float) -> Request:
        launches = self._policy.launches
        return Request(
            time=time,
            image=image,
            check=around(rand, launches.check_seconds, _CHECK),
            build=around(rand, launches.build_seconds, _BUILD),
            start=around(rand, launches.start_seconds, _START),
            stay=60.0 * minutes,
        )


def _busyness(hour: int) -> float:
    """Return how much is launched in an hour of the week: most at 14, less on weekends."""
    day, hour = divmod(hour, 24)
    return (1.0 + 0.8 * math.cos(2 * math.pi * (hour - 14) / 24)) * (1.0 if day < 5 else 0.5)
