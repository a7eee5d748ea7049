"""The date of the commit that was fetched: a file beside the checkout.

The process that fetches writes it. git must not run outside of its namespace, because the checkout
has git's configuration, which may name programs.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["note_commit_date", "read_commit_date"]

_NAME = "commit-date"
_DATE = re.compile(rb"\d{1,12}")
"""Seconds since 1970. Attack: a date with a million digits."""


def note_commit_date(checkout: Path, seconds: str) -> None:
    """Write the date of a checkout's commit, in seconds since 1970."""
    checkout.with_name(_NAME).write_text(seconds)


def read_commit_date(checkout: Path) -> float | None:
    """Return the date of a checkout's commit, in seconds since 1970, and remove its file.

    None if it is not known, as that of a record.
    """
    path = checkout.with_name(_NAME)
    try:
        # Attack: code that runs while fetching replaces it with a link to a secret, or with a pipe.
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        text = os.read(file, 20)
    finally:
        os.close(file)
        path.unlink(missing_ok=True)
    return float(text) if _DATE.fullmatch(text) else None
