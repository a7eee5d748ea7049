"""Events of Kubernetes about the pod of a build."""

from __future__ import annotations

import pytest

from binderprogress.core.log.reader import Normalizer, Note, Record
from binderprogress.core.phases import Phase


def note(**event: object) -> Note:
    found = Normalizer().read(Record("kubernetes", {"lastTimestamp": "T", **event}))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("reason", "step"),
    [
        ("FailedScheduling", "waiting-for-node"),
        ("Pulling", "pulling"),
        ("FailedMount", "waiting-for-storage"),
    ],
)
def test_events_begin_steps(reason: str, step: str) -> None:
    found = note(reason=reason, message="as Kubernetes says it", type="Warning")
    assert found.message == "T [Warning] as Kubernetes says it\n"
    assert found.phase is Phase.WAITING
    assert found.step is not None
    assert found.step.key == step


def test_a_started_build_does_not_wait_for_a_server() -> None:
    assert note(reason="Started", message="Started container builder").step is None


def test_attack_values_that_cannot_be_encoded() -> None:
    assert note(reason="Odd", message="\ud800").message == "T [Normal] \ufffd\n"
