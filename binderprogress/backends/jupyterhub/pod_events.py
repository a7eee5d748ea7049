"""Adds what Kubernetes says of a server's pod to what JupyterHub says of the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, aclosing
from typing import Any, Protocol

from ...core.kubernetes.pods import event_line
from ...core.log.reader import JUPYTERHUB_STEPS

__all__ = ["PodEvents", "explained"]

Object = dict[str, Any]


class PodEvents(Protocol):
    """Knows the events of servers' pods."""

    def watch(
        self, user: str, server: str, heard: Callable[[Object], None]
    ) -> AbstractContextManager[None]:
        """Have a function called with each event about the pod of a server.

        Parameters
        ----------
        user, server : str
            Their names in JupyterHub. That of a default server is empty.
        heard : callable
            Gets the event as the API server sends it.
        """
        ...

    async def close(self) -> None:
        """End it."""
        ...


async def explained(
    records: AsyncGenerator[Object], pods: PodEvents, user: str, server: str
) -> AsyncGenerator[Object]:
    """Yield JupyterHub's progress events, and the events of the pod in the same form, each once.

    Raises
    ------
    Exception
        Whatever `records` raises, when what was said before was yielded.
    """
    items: asyncio.Queue[Object | None] = asyncio.Queue()
    told = _Told()

    def hear(event: Object) -> None:
        if (record := told.own(event)) is not None:
            items.put_nowait(record)

    async def read() -> None:
        try:
            async with aclosing(records) as progress:
                async for record in progress:
                    if told.is_new(record):
                        items.put_nowait(record)
        finally:
            items.put_nowait(None)

    with pods.watch(user, server, hear):
        reading = asyncio.create_task(read(), name=f"progress of {user}/{server}")
        try:
            while (record := await items.get()) is not None:
                yield record
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


class _Told:
    """Which events of Kubernetes were told. Both may have each event, in any order."""

    def __init__(self) -> None:
        # Versions of events, by the event and what it says.
        self._versions: dict[tuple[str, str], str] = {}

    def is_new(self, record: Object) -> bool:
        """Whether JupyterHub says something that was not told."""
        event = record.get("raw_event")
        if not isinstance(event, dict):
            # Its stream may begin when the pod is further already.
            return not (self._versions and record.get("message") in JUPYTERHUB_STEPS)
        key, version = _identity(event)
        if not key[0]:
            return True
        is_new = key not in self._versions
        self._versions.setdefault(key, version)
        return is_new

    def own(self, event: Object) -> Object | None:
        """Return a progress event for an event of Kubernetes; None if it was told.

        An event that happens again is the same object in another version. It is told as a step,
        without another line in the log.
        """
        key, version = _identity(event)
        before = self._versions.get(key)
        if before == version:
            return None
        self._versions[key] = version
        message = event_line(event).rstrip() if before is None else ""
        return {"message": message, "raw_event": event}


def _identity(event: Object) -> tuple[tuple[str, str], str]:
    """Return what identifies an event, and its version."""
    metadata = event.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    key = (str(metadata.get("uid") or ""), str(event.get("message") or ""))
    return key, str(metadata.get("resourceVersion") or "")
