"""How a durable store keeps logs of builds for all replicas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import msgspec

__all__ = ["KeptLog", "SharedLogs"]


class KeptLog(msgspec.Struct, frozen=True, kw_only=True):
    """The log of a build that has ended, as it is kept for all replicas.

    Attributes
    ----------
    build : str
        The id of the build.
    ended : float
        In seconds since 1970.
    size : int
        Bytes of the log.
    parts : int
        In how many parts it is kept.
    times : bytes
        When its lines were written, see `launches.log_times`.
    """

    build: str
    ended: float
    size: int
    parts: int
    times: bytes = b""


class SharedLogs(Protocol):
    """Keeps logs of builds that have ended, so that each replica can return them.

    All methods raise `StorageError` if the store cannot be reached.
    """

    async def put(self, log: KeptLog, parts: Iterable[bytes], *, key: str) -> None:
        """Keep a log, in place of an earlier one of the same build.

        Parameters
        ----------
        log : KeptLog
        parts : iterable of bytes
            It is iterated in a thread, and may raise `OSError`.
        key : str
            Of the environment that the build has made. Empty: it has made none.
        """
        ...

    async def find(self, build: str) -> KeptLog | None:
        """Return what is known of the log of a build, if it is kept."""
        ...

    async def part(self, build: str, number: int) -> bytes | None:
        """Return a part of a log, counted from 0. None: it is not kept any more."""
        ...

    async def newest(self, key: str) -> KeptLog | None:
        """Return the log of the newest build of an environment, without its times."""
        ...

    async def tidy(self, *, until: float, budget: int) -> None:
        """Delete old logs.

        Parameters
        ----------
        until : float
            Logs of builds that ended before are deleted; in seconds since 1970.
        budget : int
            Bytes of all logs. The oldest ones are deleted if there are more.
        """
        ...
