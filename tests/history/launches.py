"""Finished launches for tests."""

from __future__ import annotations

from typing import Any

from binderprogress.core.phases import Phase
from binderprogress.core.timing.spans import PastLaunch, Span

NOON = 1_795_435_200.0
"""Noon of 2026-11-23, in seconds since 1970."""


def past(**fields: Any) -> PastLaunch:
    """A cold launch of 65 seconds with a build step and a pull, unless `fields` says otherwise."""
    known = {
        "began": NOON,
        "provider": "gh",
        "repository": "https://github.com/ada/penguins",
        "ref": "HEAD",
        "commit": "a" * 40,
        "image": "registry.example.org/penguins:aaaa",
        "outcome": Phase.READY,
        "cold": True,
        "spans": spans(),
    }
    return PastLaunch(**{**known, **fields})


def spans(building: float = 40.0, pulling: float = 10.0) -> list[Span]:
    """The spans of a launch whose build and pull take this long."""
    built, pulled = 10.0 + building, 10.0 + building + pulling
    return [
        Span(Phase.WAITING, 0.0, 4.0, step="resolving", label="Looking up HEAD"),
        Span(Phase.FETCHING, 4.0, 10.0, step="cloning", label="Cloning the repository"),
        Span(Phase.BUILDING, 10.0, built, "step", "Step 2 of 5", 2, 5, "d1", True, 2),
        Span(Phase.LAUNCHING, built, pulled, step="pulling", label="Pulling the image"),
        Span(Phase.LAUNCHING, pulled, pulled + 5.0, step="starting", label="Starting the server"),
    ]
