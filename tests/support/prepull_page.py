"""A state of images that are pulled in advance, with everything that its page can show."""

from __future__ import annotations

from binderprogress.core.kubernetes.prepull_report import (
    ImageReport,
    NodeReport,
    PrepullReport,
    PrepullTotals,
)

__all__ = ["REPORT"]

_GB = 1_000_000_000
_OBSTACLES = ("cordoned", "disk-pressure", "failed-lately", "leaving", "not-ready", "tainted")
_IMAGE = "registry.example.org/binder/ada-2dpenguins-{}:0123456789abcdef"


def _node(number: int, *, obstacle: str = "", pulling: str = "", following: str = "") -> NodeReport:
    return NodeReport(
        name=f"node-pool-with-a-long-name-{number:02}",
        obstacle=obstacle,
        used=number * 3 * _GB,
        disk=100 * _GB if number % 2 else 0,
        occupied=40 * _GB + number,
        present=12 - number,
        missing=number,
        pulling=pulling,
        next=following,
    )


REPORT = PrepullReport(
    leader="host-1/4711",
    budget=50 * _GB,
    running=1,
    max_pulls=4,
    nodes=[
        _node(0, pulling=_IMAGE.format(3)),
        _node(1, following=_IMAGE.format(4)),
        _node(2, obstacle="user-pull"),
        *(_node(number, obstacle=name) for number, name in enumerate(_OBSTACLES, 3)),
        _node(9),
    ],
    images=[
        ImageReport(
            name=_IMAGE.format(number),
            score=10.0 - number,
            size=number * 1_234_567_890,
            present=8 - number,
            missing=number,
            no_room=number % 3,
            problem="" if number != 4 else "manifest unknown",
        )
        for number in range(1, 8)
    ],
    totals=PrepullTotals(pulled=1234, failed=5, given_up=1, pulled_bytes=987 * _GB),
)
