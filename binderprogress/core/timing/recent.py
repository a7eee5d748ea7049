"""How it went lately: what ended within the last minutes, and how long that took."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence

import msgspec

from ..phases import Phase

__all__ = ["Ended", "Recent", "Window", "quantile"]


class Ended(msgspec.Struct, frozen=True):
    """One launch that is over.

    Attributes
    ----------
    at : float
        When, in monotonic seconds.
    phase : Phase
        How: ready, failed or cancelled.
    seconds : float
        How long it took.
    reason : str
        Of failed and cancelled: why.
    """

    at: float
    phase: Phase
    seconds: float
    reason: str = ""


class Recent(msgspec.Struct, frozen=True, kw_only=True):
    """What a window says.

    Attributes
    ----------
    seconds : float
        How far back it looks.
    success_rate : float or None
        What part of those that were not cancelled became ready; None: there were none.
    launch_seconds : dict
        How long those took that became ready: the median, and what nine of ten kept within.
    reasons : dict
        How many failed for which reason.
    """

    seconds: float
    ready: int
    failed: int
    cancelled: int
    success_rate: float | None
    launch_seconds: dict[str, float | None]
    reasons: dict[str, int]


class Window:
    """Keeps what ended lately.

    Parameters
    ----------
    seconds : float
        How far back it looks.
    limit : int
        How many are kept at most; then the oldest are forgotten early.
    """

    def __init__(self, seconds: float = 600.0, *, limit: int = 10_000) -> None:
        self._seconds = seconds
        self._ended: deque[Ended] = deque(maxlen=limit)

    def add(self, ended: Ended) -> None:
        """Take in one; they come in the order of their time."""
        self._ended.append(ended)

    def look(self, now: float) -> Recent:
        """Say how it went up to `now`."""
        while self._ended and self._ended[0].at <= now - self._seconds:
            self._ended.popleft()
        counts = Counter(ended.phase for ended in self._ended)
        finished = counts[Phase.READY] + counts[Phase.FAILED]
        times = sorted(ended.seconds for ended in self._ended if ended.phase is Phase.READY)
        return Recent(
            seconds=self._seconds,
            ready=counts[Phase.READY],
            failed=counts[Phase.FAILED],
            cancelled=counts[Phase.CANCELLED],
            success_rate=round(counts[Phase.READY] / finished, 4) if finished else None,
            launch_seconds={"p50": quantile(times, 0.5), "p90": quantile(times, 0.9)},
            reasons=dict(
                Counter(ended.reason for ended in self._ended if ended.phase is Phase.FAILED)
            ),
        )


def quantile(ordered: Sequence[float], q: float) -> float | None:
    """Return the smallest value that the part `q` of all does not exceed; None of none."""
    return round(ordered[max(math.ceil(q * len(ordered)) - 1, 0)], 3) if ordered else None
