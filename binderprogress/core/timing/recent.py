"""Success rate and durations of the launches that ended within the last minutes."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence

import msgspec

from ..phases import Phase

__all__ = ["Ended", "Recent", "Window", "quantile"]


class Ended(msgspec.Struct, frozen=True):
    """One finished launch.

    Attributes
    ----------
    at : float
        When it ended, in monotonic seconds.
    phase : Phase
        Its outcome: ready, failed or cancelled.
    seconds : float
        Its duration.
    reason : str
        Reason of a failed or cancelled launch.
    """

    at: float
    phase: Phase
    seconds: float
    reason: str = ""


class Recent(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of a window.

    Attributes
    ----------
    seconds : float
        Length of the window.
    ready, failed, cancelled : int
        Number of launches by outcome.
    success_rate : float or None
        Fraction of launches that became ready, without cancelled ones. None if there are none.
    launch_seconds : dict
        Durations of the launches that became ready: the median ``p50`` and the ninth decile
        ``p90``, in seconds.
    reasons : dict
        Number of failed launches by reason.
    """

    seconds: float
    ready: int
    failed: int
    cancelled: int
    success_rate: float | None
    launch_seconds: dict[str, float | None]
    reasons: dict[str, int]


class Window:
    """Keeps the launches that ended recently.

    Parameters
    ----------
    seconds : float
        Length of the window.
    limit : int
        Maximum number of launches. The oldest ones are dropped.
    """

    def __init__(self, seconds: float = 600.0, *, limit: int = 10_000) -> None:
        self._seconds = seconds
        self._ended: deque[Ended] = deque(maxlen=limit)

    def add(self, ended: Ended) -> None:
        """Add a launch. Launches must be added in the order of their time."""
        self._ended.append(ended)

    def look(self, now: float) -> Recent:
        """Return the statistics of the window that ends at `now`, in monotonic seconds."""
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
    """Return the smallest value that a fraction `q` of all does not exceed; None if empty."""
    return round(ordered[max(math.ceil(q * len(ordered)) - 1, 0)], 3) if ordered else None
