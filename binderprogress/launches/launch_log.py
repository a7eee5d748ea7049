"""The log of a launch, in chunks of UTF-8."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from .launch import Launch
from .parts import messages_of

__all__ = ["log_of"]

_READ = 512
"""Number of events that are read at a time."""


async def log_of(launch: Launch) -> AsyncGenerator[bytes]:
    """Return the log of a launch so far. It ends early if the launch is forgotten meanwhile.

    Raises
    ------
    StorageError
        If the store cannot be read.
    """
    build = launch.build
    if build is not None and (build.channel.is_followed or not build.full_log.size):
        # The full log of the build is on a disk of the replica that runs it, or has run it.
        after, end = 0, launch.end
        while after < end and not launch.forgotten:
            events = await launch.read(after, limit=min(_READ, end - after))
            for chunk in messages_of(events):
                yield chunk
            after = events[-1].id
        return
    chunks = await launch.log()
    # In a thread, because the disk may be slow.
    while not launch.forgotten and (chunk := await asyncio.to_thread(next, chunks, b"")):
        yield chunk
