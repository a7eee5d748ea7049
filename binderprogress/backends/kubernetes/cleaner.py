"""Removes build pods and placeholders that nobody needs any more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from ...core.kubernetes.leftovers import Leftover, Rules, leftover
from .api import CUT, KubeApi, KubeError
from .watcher import PodWatcher

__all__ = ["PodCleaner"]

_AT_ONCE = 4
"""Pods that are deleted at the same time."""

_MOST = 50
"""Pods that are deleted in one round, at most. The rest is left to the next one."""


class PodCleaner:
    """Removes pods.

    Parameters
    ----------
    api : KubeApi
    watcher : PodWatcher
    log : logging.Logger
    """

    def __init__(
        self,
        api: KubeApi,
        watcher: PodWatcher,
        *,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self.removed: Counter[Leftover] = Counter()
        """How many were removed, and why."""
        self._api = api
        self._watcher = watcher
        self._log = log

    async def clean_up(
        self, rules: Rules, wanted: Callable[[], Awaitable[Collection[str] | None]]
    ) -> None:
        """Remove what is left, once.

        Parameters
        ----------
        rules : Rules
        wanted : callable
            Return the names of the pods that builds use; None if that is not known.
        """
        try:
            await self._watcher.open()
            # Before it is asked what is wanted: a build is stored before its pod is created.
            pods = self._watcher.pods
            names, now = await wanted(), time.time()
            left = [
                (pod, why)
                for pod in pods
                if (why := leftover(pod, rules, wanted=names, now=now)) is not None
                and not self._watcher.is_watched(pod["metadata"]["name"])
            ]
            if len(left) > _MOST:
                self._log.warning("There are %d pods to be removed.", len(left))
            slots = asyncio.Semaphore(_AT_ONCE)
            await asyncio.gather(*(self._remove(pod, why, slots) for pod, why in left[:_MOST]))
        except (KubeError, *CUT) as error:
            self._log.warning("Build pods cannot be removed, trying again later: %s", error)

    async def _remove(self, pod: dict[str, Any], why: Leftover, slots: asyncio.Semaphore) -> None:
        metadata = pod["metadata"]
        async with slots:
            if await self._api.delete(metadata["name"], uid=metadata["uid"]):
                self.removed[why] += 1
                self._log.info("Removed the pod %s: it is %s.", metadata["name"], why)
