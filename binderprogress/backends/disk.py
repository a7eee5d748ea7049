"""The disk: when it is full, and what is kept on it."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["GRACE", "full_disk_fails"]

GRACE = 900.0
"""Seconds after its last use for which an environment or image is kept: a launch may start it."""

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def full_disk_fails() -> Iterator[None]:
    """Turn the error of a full disk into the failure of a build.

    Raises
    ------
    LaunchFailedError
        If the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            # Imported here, because the processes of a build do not need it.
            from ..core.log.reasons import failure

            raise failure("disk-full") from error
        raise
