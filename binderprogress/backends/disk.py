"""A disk that is full is the reason of a failure, and no error of ours."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ..core.log.reasons import failure

__all__ = ["full_disk_fails"]

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
            raise failure("disk-full") from error
        raise
