"""What the estimator says."""

from __future__ import annotations

from typing import NamedTuple

from ..events import Curve

__all__ = ["Estimate", "Left"]


class Left(NamedTuple):
    """Quantiles of the seconds that are left.

    Attributes
    ----------
    low, median, high : float
        The quartiles.
    latest : float
        The ninth decile.
    """

    low: float
    median: float
    high: float
    latest: float


class Estimate(NamedTuple):
    """The position of the bar and the time left.

    Attributes
    ----------
    progress : float
        Current position in percent.
    curve : Curve or None
        How the bar moves from now on; None: it stands.
    eta, low, high : float or None
        Seconds until ready: median and quartiles. None after a failure.
    latest : float or None
        Seconds until ready in nine of ten such launches.
    late : float or None
        Seconds until the launch takes longer than nine of ten others; 0 if it already does.
    """

    progress: float
    curve: Curve | None
    eta: float | None
    low: float | None
    high: float | None
    latest: float | None
    late: float | None
