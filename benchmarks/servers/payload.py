"""What is sent: lines of a build, each with its number and the time when it was due."""

from __future__ import annotations

import json
import time
from typing import Any

MARK = b"<~"
"""In front of a line's number and time; JSON leaves it as it is."""

NUMBER = slice(2, 10)
TIME = slice(11, 27)
"""Where they stand, from the mark on."""

_LINE = "Collecting a-package-with-an-ordinary-name==1.2.3 (from requirements.txt line 7)"


def line(number: int, due: float) -> str:
    """Return a line of a build's log: its number, and the monotonic seconds when it was due."""
    return f"{_LINE} <~{number:08d} {due:016.6f}~>\n"


def record(number: int, due: float) -> str:
    """Return the same as repo2docker writes it with ``--json-logs``.

    Not with `json`: what a build does to print a line is no work of the server that reads it.
    """
    return f'{{"message": "{_LINE} <~{number:08d} {due:016.6f}~>\\n", "phase": "building"}}\n'


def event(number: int, due: float) -> dict[str, Any]:
    """Return the same as peers get it: the fields that an event of ours has while it builds."""
    return {
        "id": number + 6,
        "phase": "building",
        "time": round(time.time(), 3),
        "elapsed": 1.982,
        "progress": 1.575,
        "message": line(number, due),
        "curve": {"from": 1.575, "to": 66.733509459958, "tau": 83.05847161630575},
        "eta": 118.0,
        "eta_low": 63.4,
        "eta_high": 218.2,
        "eta_latest": 341.7,
        "eta_late": 378.3,
    }


def compact(number: int, due: float) -> str:
    """Return such an event as JSON, without blanks."""
    return json.dumps(event(number, due), separators=(",", ":"))
