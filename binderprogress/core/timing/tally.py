"""Mean and spread of what was observed, which starts anew when the values change for good."""

from __future__ import annotations

from math import copysign, sqrt

__all__ = ["Tally"]

_SLACK = 1.0
"""Standard deviations that a value may be off without being a sign of a change."""

_MOST = 3.0
"""What a single value may be off beyond that, so that an outlier is not a change."""

_ALARM = 5.0
"""The sum at which the values have changed. Values of a normal distribution reach it once in some
ten thousand; after a change by four standard deviations, two are enough."""


class Tally:
    """Weighted mean and sum of squared deviations.

    Newer values get larger weights, instead of shrinking the old weights with age. The result is
    the same, and old values need not be updated.
    """

    __slots__ = ("_drift", "_since", "mean", "squares", "weight")

    def __init__(self) -> None:
        self.weight = 0.0
        self.mean = 0.0
        self.squares = 0.0
        self._drift = 0.0
        self._since: Tally | None = None

    def add(self, value: float, weight: float) -> None:
        """Add a value."""
        self.weight += weight
        off = value - self.mean
        self.mean += off * weight / self.weight
        self.squares += weight * off * (value - self.mean)

    def follow(self, value: float, weight: float, spread: float) -> None:
        """Add a value; start anew with the values since a change, if there was one.

        Changes are found with a cumulative sum (Page 1954): values that are off in the same
        direction add up.

        Parameters
        ----------
        value : float
        weight : float
            That of a value now.
        spread : float
            Standard deviation of the values.
        """
        if not self.weight or not self._has_changed(value, weight, spread):
            self.add(value, weight)

    def _start_anew(self, since: Tally) -> None:
        self.weight, self.mean, self.squares = since.weight, since.mean, since.squares
        self._drift, self._since = 0.0, None

    def _has_changed(self, value: float, weight: float, spread: float) -> bool:
        """Take a value as a sign of a change, and start anew if that is now certain."""
        # The mean is not exactly known, either.
        off = (value - self.mean) / (spread * sqrt(1 + weight / self.weight))
        sign = min(abs(off) - _SLACK, _MOST)
        if off * self._drift < 0:
            # In the other direction: values go around their mean.
            self._drift = 0.0
        drift = abs(self._drift) + sign
        if drift <= 0:
            self._drift, self._since = 0.0, None
            return False
        if self._since is None or not self._drift:
            self._since = Tally()
        self._since.add(value, weight)
        self._drift = copysign(drift, off)
        if drift < _ALARM:
            return False
        self._start_anew(self._since)
        return True
