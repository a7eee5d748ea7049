"""What others show: their rules for a bar, read in their sources."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from statistics import fmean

from binderprogress.core.events import Event
from binderprogress.core.phases import Phase

__all__ = ["Rule", "Shown", "mean_of_past", "ours", "rules"]

Shown = Callable[[float], float]
"""Where the bar stands after so many seconds, in percent."""
Rule = Callable[[list[Event]], Shown]

_BINDERHUB = {
    # The whole width of the phases up to the present one (binderhub-react-components' Progress).
    Phase.WAITING: 10.0,
    Phase.FETCHING: 10.0,
    Phase.BUILDING: 60.0,
    Phase.PUSHING: 90.0,
    Phase.BUILT: 90.0,
    Phase.LAUNCHING: 100.0,
}


def ours(events: list[Event]) -> Shown:
    """Return what the curves of the events show."""
    times = [event.elapsed for event in events]

    def shown(at: float) -> float:
        event = events[max(bisect_right(times, at) - 1, 0)]
        return event.curve.at(at - event.elapsed) if event.curve else event.progress

    return shown


def binderhub(events: list[Event]) -> Shown:
    """BinderHub's page: fixed widths of phases."""
    return _stairs([(event.elapsed, _BINDERHUB.get(event.phase, 100.0)) for event in events])


def kubespawner(events: list[Event]) -> Shown:
    """KubeSpawner: each event goes a third of the way to 90; before that there is nothing."""
    stairs, progress = [(0.0, 0.0)], 0.0
    for event in events:
        if event.phase is Phase.LAUNCHING and event.message:
            progress += (90 - progress) / 3
            stairs.append((event.elapsed, progress))
    return _stairs(stairs)


def nbgitpuller(_events: list[Event]) -> Shown:
    """nbgitpuller: a hundredth of the rest every 0.9 seconds."""
    return lambda at: 100 * (1 - 0.99 ** int(at / 0.9))


def nprogress(_events: list[Event]) -> Shown:
    """NProgress: begins at 8 percent, trickles every 0.2 seconds, ever slower, to 99.4."""
    places, at = [0.08], 0.08
    while at < 0.994:
        step = 0.1 if at < 0.2 else 0.04 if at < 0.5 else 0.02 if at < 0.8 else 0.005
        at = min(at + step if at < 0.99 else 0.994, 0.994)
        places.append(at)
    return lambda seconds: 100 * places[min(int(seconds / 0.2), len(places) - 1)]


def mean_of_past(totals: list[float]) -> Rule:
    """Return the rule: the time so far over the mean of past launches."""
    mean = fmean(totals) if totals else 60.0

    def rule(_events: list[Event]) -> Shown:
        return lambda at: min(100 * at / mean, 99.0)

    return rule


def rules() -> dict[str, Rule]:
    """Return the peers' rules by name."""
    return {
        "BinderHub's page": binderhub,
        "KubeSpawner": kubespawner,
        "nbgitpuller": nbgitpuller,
        "NProgress": nprogress,
    }


def _stairs(stairs: list[tuple[float, float]]) -> Shown:
    times = [at for at, _ in stairs]
    return lambda at: stairs[max(bisect_right(times, at) - 1, 0)][1]
