"""What a simulation finds."""

from __future__ import annotations

import msgspec

__all__ = [
    "TRUSTED",
    "Accuracy",
    "Answer",
    "Band",
    "Goal",
    "Outcome",
    "Point",
    "Recorded",
    "SimulationReport",
    "Try",
]

TRUSTED = 0.10
"""How far p50 and p95 of a replay may be from the record."""


class Band(msgspec.Struct, frozen=True):
    """A value in several runs: the middle one, the lowest and the highest."""

    middle: float
    low: float
    high: float


class Point(msgspec.Struct, frozen=True):
    """The share of launches that are ready within `seconds`."""

    seconds: float
    share: Band


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a policy brings.

    Attributes
    ----------
    name : str
        Of the policy.
    runs : int
    began : float
        Beginning of the period, in seconds since 1970.
    hours : int
        Its length.
    launches : Band
    p50, p95 : Band
        Seconds of the launches that were ready.
    late : Band
        Launches that took longer than `Launches.late_seconds`, or failed, in an hour on average.
    late_peak : Band
        The same in the worst hour.
    waiting_peak : Band
        The largest number of launches in progress at the same time.
    failures : Band
        Launches that were not ready.
    failed : dict of str to Band
        The same by reason: ``build``, ``quota`` or ``no-room``.
    handed_over : Band
        Share of the launches that got a standing server.
    image_hits : Band
        Share of the started servers whose image was on the node.
    builds, node_hours, cost : Band
    cost_per_launch : Band
    most_nodes : Band
    within : list of Point
        The distribution: share of all launches, failed ones included.
    begun_by_hour, late_by_hour : list of Band
    """

    name: str
    runs: int
    began: float
    hours: int
    launches: Band
    p50: Band
    p95: Band
    late: Band
    late_peak: Band
    waiting_peak: Band
    failures: Band
    failed: dict[str, Band]
    handed_over: Band
    image_hits: Band
    builds: Band
    node_hours: Band
    cost: Band
    cost_per_launch: Band
    most_nodes: Band
    within: list[Point]
    begun_by_hour: list[Band]
    late_by_hour: list[Band]


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to the launches of a period.

    Attributes
    ----------
    launches : int
        That were ready.
    failed, left_out : int
        Launches whose build failed, and those that ended otherwise: cancelled, or failed for a
        reason that a simulation does not have.
    hubs : list of str
        The hubs that launched them.
    p50, p95 : float
        Seconds of those that were ready.
    p95_range : tuple of float
        What p95 could be by chance, with a confidence of 95 %; see `outcome.chance`.
    """

    launches: int
    failed: int
    left_out: int
    hubs: list[str]
    p50: float
    p95: float
    p95_range: tuple[float, float]


class Accuracy(msgspec.Struct, frozen=True, kw_only=True):
    """How far the replay of the recorded policy is from what was recorded.

    Attributes
    ----------
    recorded : Recorded
    p50, p95 : float
        Relative: 0.05 says that the replay's is 5 % longer.
    """

    recorded: Recorded
    p50: float
    p95: float

    @property
    def is_close(self) -> bool:
        """Whether both are within `TRUSTED`."""
        return abs(self.p50) <= TRUSTED and abs(self.p95) <= TRUSTED

    @property
    def is_by_chance(self) -> bool:
        """Whether only p95 is further off, and the replay's is what the record's could be."""
        low, high = self.recorded.p95_range
        replayed = self.recorded.p95 * (1.0 + self.p95)
        is_far = not self.is_close and abs(self.p50) <= TRUSTED
        return is_far and low <= replayed <= high


class Goal(msgspec.Struct, frozen=True):
    """So many of all launches should be ready within a time.

    Attributes
    ----------
    share : float
        From 0 to 1. Failed launches count as launches.
    seconds : float
    """

    share: float
    seconds: float


class Try(msgspec.Struct, frozen=True):
    """What a value brings: the share of launches within the goal's time in the worst run."""

    value: int
    share: float


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a search has found.

    Attributes
    ----------
    key : str
        What was varied.
    goal : Goal
    value : int or None
        The smallest value with which the goal is reached in each run; None if there is none.
    tries : list of Try
        All values that were tried, in their order.
    """

    key: str
    goal: Goal
    value: int | None
    tries: list[Try]


class SimulationReport(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a question.

    Attributes
    ----------
    currency : str
    late_seconds : float
        As in `Launches`.
    outcomes : list of Outcome
        One for each policy.
    accuracy : Accuracy or None
        None if nothing was recorded.
    answer : Answer or None
        If something was searched.
    """

    currency: str
    late_seconds: float
    outcomes: list[Outcome]
    accuracy: Accuracy | None = None
    answer: Answer | None = None
