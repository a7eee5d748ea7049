"""Knows all objects of one kind, from a list and a watch."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from .api import Listing
from .list_and_watch import Source, list_and_watch

__all__ = ["Mirror"]

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
        self._source = Source(list_all, watch, selector)
        self._changed = changed
        self._log = log

    async def refresh(self) -> None:
        """List all objects.

        Raises
        ------
        KubeError, aiohttp.ClientError, TimeoutError
            If they cannot be listed.
        """
        self._listed((await self._source.list_all(self._source.selector)).items)

    def put(self, found: Object) -> None:
        """Note an object that was just created."""
        self.objects[found["metadata"]["name"]] = found

    async def run(self) -> None:
        """List and watch for ever."""
        await list_and_watch(self._source, listed=self._listed, changed=self._note, log=self._log)

    def _listed(self, objects: list[Object]) -> None:
        self.objects = {found["metadata"]["name"]: found for found in objects}
        self.listed.set()
        self._changed()

    def _note(self, kind: str, found: Object) -> None:
        name = found["metadata"]["name"]
        if kind == "DELETED":
            self.objects.pop(name, None)
        else:
            self.objects[name] = found
        self._changed()
