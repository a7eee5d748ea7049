"""A picture of a report, as SVG: how long launches take, and when people wait."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from textwrap import wrap
from typing import NamedTuple
from xml.sax.saxutils import escape

from .report import Band, Outcome, SimulationReport

__all__ = ["Words", "picture"]

_MARGIN, _LEFT, _RIGHT = 8, 48, 14
_HEIGHT = 170
"""Of one chart, without its title and its axis."""
_TITLE, _AXIS, _LEGEND = 34, 34, 22
_LINE = 18
"""Height of each further line of a title."""
_LETTER, _TITLE_LETTER = 8, 9
"""Widths that letters have at most, on average."""
_WIDE, _DAY = 350, 50
"""Widths of a chart that has room for all labels of times, and of the label of a day."""

_TICKS = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0)
"""Seconds."""

_SERIES = 4
"""Lines differ in colour and dashes. More than these would look the same again."""
_MOST_NAMED_DAYS = 8

_STYLE = """\
svg { --ink: #1c2733; --soft: #55616e; --line: #d9dfe5; --paper: #ffffff;
  --s0: #1f5fbf; --s1: #b35309; --s2: #177a7f; --s3: #8a3ba6; background: var(--paper);
  font: 13px system-ui, sans-serif; max-width: 45rem; }
@media (prefers-color-scheme: dark) { svg { --ink: #e8edf2; --soft: #a9b4bf; --line: #37424e;
  --paper: #11181f; --s0: #7db4ff; --s1: #f0a35a; --s2: #5cc5c9; --s3: #d9a1ef; } }
text { fill: var(--soft); }
.title { fill: var(--ink); font-size: 15px; font-weight: 600; }
.name { fill: var(--ink); }
.grid { stroke: var(--line); }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.band { opacity: 0.2; stroke: none; }
.l0 { stroke: var(--s0); } .l1 { stroke: var(--s1); stroke-dasharray: 7 3; }
.l2 { stroke: var(--s2); stroke-dasharray: 2 2; }
.l3 { stroke: var(--s3); stroke-dasharray: 9 3 2 3; }
.b0 { fill: var(--s0); } .b1 { fill: var(--s1); } .b2 { fill: var(--s2); } .b3 { fill: var(--s3); }
"""


def _english_seconds(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:g} s"
    return f"{seconds / 60:g} min" if seconds < 3600 else f"{seconds / 3600:g} h"


def _english_day(day: date, is_named: bool) -> str:
    return f"{day:%a}" if is_named else f"{day:%-d %b}"


class Words(NamedTuple):
    """The words of a picture.

    Attributes
    ----------
    within, late : str
        The titles of the two charts. `late` may have ``{time}``.
    seconds, percent, number : callable
        Format a duration, a share from 0 to 1, and a number of people.
    day : callable
        Formats a day: its name, or its date if there are many.
    """

    within: str = "Launches that are ready within a time"
    late: str = "People an hour who wait longer than {time}"
    seconds: Callable[[float], str] = _english_seconds
    percent: Callable[[float], str] = "{:.0%}".format
    number: Callable[[float], str] = "{:,g}".format
    day: Callable[[date, bool], str] = _english_day


_ENGLISH = Words()


def picture(
    report: SimulationReport, words: Words = _ENGLISH, *, on_page: bool = False, width: int = 480
) -> str:
    """Return a picture of a report.

    It adapts to the colour scheme.

    Parameters
    ----------
    report : SimulationReport
    words : Words
    on_page : bool
        Whether a page in the same colour scheme is the background.
    width : int
        For which it is made, in pixels; at least 320. It can be shown larger, and a little smaller.
    """
    outcomes = report.outcomes
    legend = _LEGEND * len(outcomes) + 8
    late = words.late.replace("{time}", words.seconds(report.late_seconds))
    titles = [
        _wrapped(text, (width - 2 * _MARGIN) // _TITLE_LETTER) for text in (words.within, late)
    ]
    first, second = (_TITLE + _LINE * (len(lines) - 1) for lines in titles)
    chart = legend + first + _HEIGHT + _AXIS
    height = chart + second + _HEIGHT + _AXIS
    plot = width - _LEFT - _RIGHT
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            'width="100%" role="img">'
        ),
        f"<title>{escape(words.within)}. {escape(late)}</title>",
        f"<style>{_STYLE}</style>",
        *(["<style>svg { background: none; }</style>"] if on_page else []),
        *_legend(outcomes, (width - 50) // _LETTER),
        *_title(legend, titles[0]),
        *_within(outcomes, legend + first, plot, words),
        *_title(chart, titles[1]),
        *_late(outcomes, chart + second, plot, words),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _wrapped(text: str, most: int) -> list[str]:
    """Divide a title into lines, if it is longer than one, of about the same length."""
    lines = wrap(text, most)
    return wrap(text, len(text) // len(lines) + 8) if len(lines) > 1 else lines


def _legend(outcomes: Sequence[Outcome], most: int) -> Iterator[str]:
    for number, outcome in enumerate(outcomes):
        y = _LEGEND * (number + 1) - 4
        name = outcome.name
        if len(name) > most:
            name = f"{name[: most - 1]}…"
        style = number % _SERIES
        yield f'<path class="line l{style}" d="M{_MARGIN} {y - 4}h26"/>'
        yield f'<text class="name" x="{_MARGIN + 34}" y="{y}">{escape(name)}</text>'


def _title(y: float, lines: Sequence[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        below = y + 22 + _LINE * number
        yield f'<text class="title" x="{_MARGIN}" y="{below}">{escape(line)}</text>'


def _within(outcomes: Sequence[Outcome], top: float, plot: float, words: Words) -> Iterator[str]:
    """Yield the distribution of durations, on a logarithmic scale."""
    first, last = _TICKS[0], _TICKS[-1]

    def x(seconds: float) -> float:
        return _LEFT + plot * math.log(seconds / first) / math.log(last / first)

    yield from _rules(
        top, plot, [(share, words.percent(share)) for share in (0, 0.25, 0.5, 0.75, 1)]
    )
    for seconds in _TICKS:
        is_last = seconds == last
        label = "" if is_last and plot < _WIDE else words.seconds(seconds)
        yield from _tick(x(seconds), top, label, is_last=is_last)
    for number, outcome in enumerate(outcomes):
        points = [(x(point.seconds), point.share) for point in outcome.within]
        yield from _series(number, points, top)


def _late(outcomes: Sequence[Outcome], top: float, plot: float, words: Words) -> Iterator[str]:
    """Yield those who wait, by hour."""
    highest = max(band.high for outcome in outcomes for band in outcome.late_by_hour)
    step = _step(highest)
    count = max(math.ceil(highest / step), 1)
    scale = step * count
    yield from _rules(top, plot, [(n / count, words.number(n * step)) for n in range(count + 1)])
    hours = outcomes[0].hours

    def x(hour: float) -> float:
        return _LEFT + plot * hour / hours

    began, days = outcomes[0].began, hours // 24
    for day in range(0, days, max(math.ceil(days / 8), math.ceil(_DAY * days / plot), 1)):
        named = days <= _MOST_NAMED_DAYS
        label = words.day(datetime.fromtimestamp(began + day * 86400.0, UTC).date(), named)
        yield from _tick(x(24 * day), top, label, is_between=named)
    for number, outcome in enumerate(outcomes):
        points = []
        for hour, band in enumerate(outcome.late_by_hour):
            part = Band(band.middle / scale, band.low / scale, band.high / scale)
            points += [(x(hour), part), (x(hour + 1), part)]
        yield from _series(number, points, top)


def _step(highest: float) -> float:
    """Return a round distance of grid lines, of which there are at most five."""
    power = 10.0 ** math.floor(math.log10(max(highest, 1.0)))
    return next(
        size
        for size in (0.2 * power, 0.5 * power, power, 2 * power, 5 * power)
        if size >= 1 and highest / size <= 5
    )


def _rules(top: float, plot: float, lines: Sequence[tuple[float, str]]) -> Iterator[str]:
    for share, label in lines:
        y = round(top + _HEIGHT * (1 - share), 1)
        yield f'<path class="grid" d="M{_LEFT} {y}h{plot}"/>'
        yield f'<text text-anchor="end" x="{_LEFT - 6}" y="{y + 4:g}">{label}</text>'


def _tick(
    x: float, top: float, label: str, *, is_between: bool = False, is_last: bool = False
) -> Iterator[str]:
    bottom = top + _HEIGHT
    yield f'<path class="grid" d="M{x:.1f} {bottom}v5"/>'
    # The last label would not fit in the middle.
    anchor = "start" if is_between else ("end" if is_last else "middle")
    yield f'<text text-anchor="{anchor}" x="{x:.1f}" y="{bottom + 20}">{escape(label)}</text>'


def _series(number: int, points: Sequence[tuple[float, Band]], top: float) -> Iterator[str]:
    def at(x: float, share: float) -> str:
        return f"{x:.1f} {top + _HEIGHT * (1 - share):.1f}"

    style = number % _SERIES
    if any(band.low != band.high for _, band in points):
        edge = [at(x, band.high) for x, band in points]
        edge += [at(x, band.low) for x, band in reversed(points)]
        yield f'<path class="band b{style}" d="M{"L".join(edge)}Z"/>'
    yield (
        f'<path class="line l{style}" d="M{"L".join(at(x, band.middle) for x, band in points)}"/>'
    )
