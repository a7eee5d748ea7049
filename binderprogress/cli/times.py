"""Durations for people, rounded as in the browser (`js/src/i18n/times.ts`)."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor
from time import localtime, strftime

__all__ = ["day", "duration", "ready_by", "time_left", "took"]

_SHORTEST, _LONGEST = 90, 12 * 3600
"""Seconds. A time of day says nothing about what is sooner, and is ambiguous if it is later."""

_MOMENT = 5
"""Seconds that are not told apart."""

_WEEK = 6 * 24 * 3600

_STEPS = (1, 5, 15)
"""A time of day is rounded to so many minutes, the more the further away it is."""


def duration(seconds: float) -> str:
    """Format a duration for people: ``8 s``, ``1 min 20 s``, ``1 h 5 min``."""
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded} s"
    if rounded < 3600:
        return f"{rounded // 60} min {rounded % 60} s"
    return f"{rounded // 3600} h {rounded % 3600 // 60} min"


def took(seconds: float) -> str:
    """Format how long something took that is over: as `duration`, but ``0.1 s``, not ``0 s``."""
    return f"{max(seconds, 0.1):.1f} s" if seconds < 1 else duration(seconds)


def time_left(
    median: float,
    low: float | None = None,
    high: float | None = None,
    late: float | None = None,
    usual: float = 0.0,
) -> str:
    """Format the time left, no more precise than the estimate: ``15–40 s left``.

    Parameters
    ----------
    median, low, high : float
        Seconds left: median and quartiles. The upper end of the range is rounded up.
    late : float, optional
        Seconds until the launch takes longer than usual.
    usual : float
        Seconds that such a launch usually takes, or 0.
    """
    low = median if low is None else low
    to = median if high is None else high
    late = to if late is None else late
    # Not of a launch that usually takes a second, when it takes two.
    is_quick = usual > 0 and usual - late < _MOMENT
    if late <= 0 and not is_quick:
        usually = _coarse(max(usual, _MOMENT), _nearest)
        return f"longer than usual (usually {_text(usually)})" if usual else "longer than usual"
    if to < _MOMENT:
        return "a few seconds left"
    first = _coarse(max(low, 0), _nearest)
    last = _coarse(to, ceil if to > median else _nearest)
    if first[0] == 0:
        return f"up to {_text(last)} left"
    if first == last:
        return f"about {_text(last)} left"
    if first[1] == last[1]:
        return f"{first[0]:g}–{_text(last)} left"
    return f"{_text(first)} – {_text(last)} left"


def ready_by(seconds: float | None, now: float, *, is_late: bool) -> str:
    """Format by when a server is ready at the latest: ``ready by 14:32 at the latest``.

    Parameters
    ----------
    seconds : float or None
        Seconds until then, if known.
    now : float
        Seconds since 1970.
    is_late : bool
        Whether the launch takes longer than usual.

    Returns
    -------
    str
        In the local time zone, rounded up; empty if that says nothing.
    """
    if seconds is None or is_late or not _SHORTEST <= seconds <= _LONGEST:
        return ""
    step = 60 * next((minutes for minutes in _STEPS if seconds <= 600 * minutes), _STEPS[-1])
    at = step * ceil((now + seconds) / step)
    return f"ready by {strftime('%H:%M', localtime(at))} at the latest"


def day(seconds: float, now: float) -> str:
    """Format a day in the past, in the local time zone: ``Tuesday, 24 November``.

    Today, it has the time of day; after a week, no weekday; after its year, the year.

    Parameters
    ----------
    seconds, now : float
        Seconds since 1970.
    """
    then, today = localtime(seconds), localtime(now)
    text = f"{then.tm_mday} {strftime('%B', then)}"
    if then.tm_year != today.tm_year:
        return f"{text} {then.tm_year}"
    if then.tm_yday == today.tm_yday:
        return f"{text}, {strftime('%H:%M', then)}"
    return f"{strftime('%A', then)}, {text}" if 0 < now - seconds < _WEEK else text


def _nearest(value: float) -> int:
    # As Math.round in JavaScript; round(2.5) is 2.
    return floor(value + 0.5)


def _text(time: tuple[float, str]) -> str:
    return f"{time[0]:g} {time[1]}"


def _coarse(seconds: float, whole: Callable[[float], int]) -> tuple[float, str]:
    """Round, so that the number does not flicker: to 5 s, half minutes, minutes, or half hours."""
    fives = whole(seconds / 5) * 5
    if fives < 60:
        return fives, "s"
    halves = whole(seconds / 30)
    if halves < 10:
        return halves / 2, "min"
    minutes = whole(seconds / 60)
    if minutes < 90:
        return minutes, "min"
    return whole(seconds / 1800) / 2, "h"
