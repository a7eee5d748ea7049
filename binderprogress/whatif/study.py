"""One question: some policies, what they bring, and how far the replay can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .classes import Described
from .demand import Source
from .outcome import simulate
from .past import Past
from .policy import Policy
from .question import Question
from .report import Accuracy, Outcome, Recorded, SimulationReport

__all__ = ["accuracy_of", "answer", "study"]


def accuracy_of(recorded: Recorded, replayed: Outcome) -> Accuracy:
    """Compare a replay with what was recorded."""

    def off(simulated: float, real: float) -> float:
        return round(simulated / real - 1.0, 4) if real else 0.0

    return Accuracy(
        recorded=recorded,
        p50=off(replayed.p50.middle, recorded.p50),
        p95=off(replayed.p95.middle, recorded.p95),
    )


def study(
    policies: Sequence[tuple[str, Policy]],
    source: Source | None = None,
    *,
    runs: int,
    seed: int,
    progress: Callable[[], None] = lambda: None,
) -> SimulationReport:
    """Run the same launches through several policies.

    Parameters
    ----------
    policies : sequence of (str, Policy)
        With their names. The first is that of the record.
    source : Source, optional
        By default, each policy describes its launches.
    runs, seed : int
        As for `simulate`.
    progress : callable
        Called after each run.
    """
    outcomes = [
        simulate(
            source or Described(policy),
            policy,
            runs=runs,
            seed=seed,
            name=name,
            progress=progress,
        )
        for name, policy in policies
    ]
    first = policies[0][1]
    return SimulationReport(
        currency=first.currency,
        late_seconds=first.launches.late_seconds,
        outcomes=outcomes,
        accuracy=accuracy_of(source.recorded, outcomes[0]) if isinstance(source, Past) else None,
    )


def answer(question: Question) -> SimulationReport:
    """Answer a question.

    Raises
    ------
    ConfigError
        If nothing is launched.
    """
    source = None
    if question.launches is not None:
        source = Past(
            question.launches,
            began=question.began,
            ended=question.ended,
            policy=question.policies[0][1],
        )
    return study(question.policies, source, runs=question.runs, seed=1)
