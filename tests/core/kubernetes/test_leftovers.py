"""Which build pods are removed, and which ones never."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import pytest

from binderprogress.core.kubernetes.leftovers import Leftover, Rules, leftover

NOW = 1_700_000_000.0
RULES = Rules(installation="ours", finished_after=300.0, aged_after=3600.0)


def stamp(age: float) -> str:
    return datetime.fromtimestamp(NOW - age, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pod(
    phase: str = "Running", *, age: float = 60.0, ended: float | None = None, **annotations: str
) -> dict[str, Any]:
    """Return a build pod of a BinderHub, or with an annotation, of an installation."""
    status: dict[str, Any] = {"phase": phase}
    if ended is not None:
        state = {"terminated": {"exitCode": 0, "finishedAt": stamp(ended)}}
        status["containerStatuses"] = [{"name": "builder", "state": state}]
    metadata: dict[str, Any] = {"name": "build-a", "creationTimestamp": stamp(age)}
    if annotations:
        metadata["annotations"] = {f"binderprogress/{k}": v for k, v in annotations.items()}
    return {"metadata": metadata, "status": status}


def why(
    found: dict[str, Any], wanted: Collection[str] | None = (), rules: Rules = RULES
) -> Leftover | None:
    return leftover(found, rules, wanted=wanted, now=NOW)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_pods_that_have_ended_are_kept_until_their_log_must_have_been_read(phase: str) -> None:
    assert why(pod(phase, age=1000, ended=301)) == "finished"
    assert why(pod(phase, age=1000, ended=299)) is None
    # It was evicted before its container was started.
    assert why(pod(phase, age=301)) == "finished"
    assert why(pod(phase, age=299)) is None


def test_pods_that_run_for_too_long_are_removed_whoever_made_them() -> None:
    assert why(pod(age=3601)) == "aged"
    assert why(pod(age=3599)) is None
    assert why(pod("Pending", age=3601)) == "aged"
    assert why(pod(age=1e9), rules=Rules(installation="", finished_after=1, aged_after=0)) is None


def test_pods_that_no_launch_wants_are_removed_only_if_they_are_ours() -> None:
    assert why(pod(installation="ours")) == "orphaned"
    assert why(pod("Pending", installation="ours")) == "orphaned"
    assert why(pod(installation="another's")) is None
    assert why(pod(image="of a BinderHub")) is None
    assert why(pod()) is None
    # As long as it is not known what is wanted, all may be.
    assert why(pod(installation="ours"), wanted=None) is None
    assert why(pod("Succeeded", ended=301), wanted=None) == "finished"


def test_what_is_wanted_or_being_removed_is_never_removed() -> None:
    for found in (pod("Succeeded", ended=1e6), pod(age=1e6), pod(installation="ours")):
        assert why(found) is not None
        assert why(found, wanted={"build-a"}) is None
        found["metadata"]["deletionTimestamp"] = stamp(0)
        assert why(found) is None


def test_pods_without_times_are_new() -> None:
    found = pod("Succeeded")
    del found["metadata"]["creationTimestamp"]
    assert why(found) is None
    found["metadata"]["creationTimestamp"] = "yesterday"
    del found["status"]
    assert why(found) is None
