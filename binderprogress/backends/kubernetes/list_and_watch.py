"""Lists objects of Kubernetes, and watches them over as many connections as it takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NamedTuple, NoReturn

from .api import CUT, KubeError, Listing

__all__ = ["Source", "list_and_watch"]

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 15.0

Object = dict[str, Any]


class Source(NamedTuple):
    """Where objects come from.

    Attributes
    ----------
    list_all : callable
        Lists them; see `KubeApi.pods`.
    watch : callable
        Watches them; see `KubeApi.watch_pods`.
    selector : str
        Chooses them.
    """

    list_all: Callable[[str], Awaitable[Listing]]
    watch: Callable[[str, str], AsyncGenerator[tuple[str, Object]]]
    selector: str


async def list_and_watch(
    source: Source,
    *,
    listed: Callable[[list[Object]], None],
    changed: Callable[[str, Object], None],
    works: Callable[[], None] = lambda: None,
    lost: Callable[[Exception], None] = lambda _: None,
    log: logging.Logger | logging.LoggerAdapter[Any],
) -> NoReturn:
    """List and watch for ever. A watch that is cut goes on from the last version.

    Parameters
    ----------
    source : Source
    listed : callable
        Called with all objects: at first, and whenever changes may have been missed.
    changed : callable
        Called with the kind of each change and the object: ``ADDED``, ``MODIFIED``, ``DELETED``.
    works : callable
        Called when a watch is answered.
    lost : callable
        Called with each error. It is tried again afterwards, unless this raises an exception.
    log : logging.Logger
    """
    version, pause = "", _FIRST_PAUSE
    while True:
        try:
            if not version:
                listing = await source.list_all(source.selector)
                listed(listing.items)
                version = listing.version
            async with aclosing(source.watch(source.selector, version)) as changes:
                async for kind, found in changes:
                    version = found["metadata"]["resourceVersion"]
                    pause = _FIRST_PAUSE
                    works()
                    if kind != "BOOKMARK":
                        changed(kind, found)
            works()
        except (KubeError, *CUT) as error:
            if isinstance(error, KubeError) and error.status == 410:
                # That version is forgotten. What happened meanwhile is in the list.
                version = ""
                continue
            lost(error)
            log.warning("Kubernetes cannot be watched, trying again in %g s: %s", pause, error)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
