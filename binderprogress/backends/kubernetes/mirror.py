"""Knows all objects of one kind, from a list and a watch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from .api import CUT, KubeError, Listing

__all__ = ["Mirror"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 15.0

Object = dict[str, Any]


class Mirror:
    """The objects that a selector chooses, as they are now.

    Parameters
    ----------
    list_all : callable
        Lists them; see `KubeApi.pods`.
    watch : callable
        Watches them; see `KubeApi.watch_pods`.
    selector : str
    changed : callable
        Called after each change.
    log : logging.Logger

    Attributes
    ----------
    objects : dict of str to dict
        By name.
    listed : asyncio.Event
        Set when they are known.
    """

    def __init__(
        self,
        list_all: Callable[[str], Awaitable[Listing]],
        watch: Callable[[str, str], AsyncGenerator[tuple[str, Object]]],
        selector: str,
        *,
        changed: Callable[[], None],
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self.objects: dict[str, Object] = {}
        self.listed = asyncio.Event()
        self._list_all = list_all
        self._watch = watch
        self._selector = selector
        self._changed = changed
        self._log = log

    async def refresh(self) -> str:
        """List all objects, and return the version from which a watch goes on.

        Raises
        ------
        KubeError, aiohttp.ClientError, TimeoutError
            If they cannot be listed.
        """
        listing = await self._list_all(self._selector)
        self.objects = {found["metadata"]["name"]: found for found in listing.items}
        self.listed.set()
        self._changed()
        return listing.version

    def put(self, found: Object) -> None:
        """Note an object that was just created."""
        self.objects[found["metadata"]["name"]] = found

    async def run(self) -> None:
        """List and watch for ever. A watch that is cut goes on from the last version."""
        version, pause = "", _FIRST_PAUSE
        while True:
            try:
                version = version or await self.refresh()
                async with aclosing(self._watch(self._selector, version)) as changes:
                    async for kind, found in changes:
                        version = found["metadata"]["resourceVersion"]
                        pause = _FIRST_PAUSE
                        self._note(kind, found)
            except KubeError as error:
                if error.status == 410:
                    # That version is forgotten. What happened meanwhile is in the list.
                    version = ""
                    continue
                self._warn(error, pause)
            except CUT as error:
                self._warn(error, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _note(self, kind: str, found: Object) -> None:
        name = found["metadata"].get("name", "")
        if kind == "DELETED":
            self.objects.pop(name, None)
        elif kind != "BOOKMARK":
            self.objects[name] = found
        self._changed()

    def _warn(self, error: Exception, pause: float) -> None:
        self._log.warning("Kubernetes cannot be watched, trying again in %g s: %s", pause, error)
