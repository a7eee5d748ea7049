"""Watches the build pods of a namespace, for all builds at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from .api import KubeApi, KubeError
from .list_and_watch import Source, list_and_watch

__all__ = ["PodWatcher", "WatchedPod"]

# Events of a pod that are kept until somebody reads them.
_MOST_EVENTS = 1000


class WatchedPod:
    """What is known of the pod of a name.

    Attributes
    ----------
    pod : dict or None
        The newest state of the pod that was chosen, or of any while none is.
    may_be_gone : bool
        Whether it was missing in a list, or was deleted.
    events : deque of dict
        The events about pods of this name that were not read yet.
    """

    def __init__(self, pod: dict[str, Any] | None) -> None:
        self.pod = pod
        self.may_be_gone = False
        self.events: deque[dict[str, Any]] = deque(maxlen=_MOST_EVENTS)
        self._uid = ""
        self._changed = asyncio.Event()

    def choose(self, pod: dict[str, Any]) -> None:
        """Follow this pod, and no other one of its name."""
        self._uid = pod["metadata"]["uid"]
        self.may_be_gone = False
        if self.pod is None or self.pod["metadata"]["uid"] != self._uid:
            self.pod = pod

    def update(self, pod: dict[str, Any] | None) -> None:
        """Note the state of the pod of this name."""
        if self._uid and (pod is None or pod["metadata"]["uid"] != self._uid):
            self.may_be_gone = True
        else:
            self.pod = pod
        self.wake()

    def add(self, event: dict[str, Any]) -> None:
        """Note an event."""
        self.events.append(event)
        self.wake()

    def wake(self) -> None:
        """Let whoever waits for a change look."""
        self._changed.set()

    async def changed(self) -> None:
        """Wait for the next change."""
        await self._changed.wait()
        self._changed.clear()


class PodWatcher:
    """Knows the pods with certain labels, and the events about them.

    Two requests at a time, whatever the number of builds and viewers.

    Parameters
    ----------
    api : KubeApi
    selector : str
        The labels.
    log : logging.Logger
    """

    def __init__(
        self, api: KubeApi, selector: str, *, log: logging.Logger | logging.LoggerAdapter[Any]
    ) -> None:
        self._api = api
        self._selector = selector
        self._log = log
        self._pods: dict[str, dict[str, Any]] = {}
        self._watched: dict[str, set[WatchedPod]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._unlisted = {"pods", "events"}
        self._known = asyncio.Event()
        self._problems: dict[str, Exception] = {}
        self._refused_since: dict[str, float] = {}

    async def open(self) -> None:
        """Begin, unless it has begun, and wait until pods and events are known.

        Raises
        ------
        KubeError, aiohttp.ClientError, TimeoutError
            If they cannot be listed, or not be watched.
        """
        if not self._tasks:
            api = self._api
            pods = Source(api.pods, api.watch_pods, self._selector)
            events = Source(api.events, api.watch_events, "involvedObject.kind=Pod")
            following = [
                list_and_watch(
                    pods,
                    listed=self._pods_listed,
                    changed=self._pod_changed,
                    works=partial(self._is_watched, "pods"),
                    lost=partial(self._lost, "pods"),
                    log=self._log,
                ),
                list_and_watch(
                    events,
                    listed=self._events_listed,
                    changed=self._event_added,
                    works=partial(self._is_watched, "events"),
                    lost=partial(self._lost, "events"),
                    log=self._log,
                ),
            ]
            self._tasks = list(map(asyncio.create_task, following))
        await self._known.wait()
        self.check()

    def check(self) -> None:
        """Raise what keeps pods or events from being known; see `open`."""
        for problem in self._problems.values():
            raise problem

    async def close(self) -> None:
        """End it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    @property
    def pods(self) -> list[dict[str, Any]]:
        """All pods that there are now."""
        return list(self._pods.values())

    def is_watched(self, name: str) -> bool:
        """Whether somebody here watches the pod of this name."""
        return name in self._watched

    @contextmanager
    def watch(self, name: str) -> Iterator[WatchedPod]:
        """Watch one pod, which need not exist."""
        watched = WatchedPod(self._pods.get(name))
        self._watched.setdefault(name, set()).add(watched)
        try:
            yield watched
        finally:
            others = self._watched[name]
            others.discard(watched)
            if not others:
                del self._watched[name]

    # -- what is listed and watched

    def _pods_listed(self, pods: list[dict[str, Any]]) -> None:
        now = {pod["metadata"]["name"]: pod for pod in pods}
        for name in [*self._pods.keys() - now.keys(), *now]:
            self._note(name, now.get(name))
        self._is_listed("pods")

    def _pod_changed(self, kind: str, pod: dict[str, Any]) -> None:
        name = pod["metadata"]["name"]
        if kind == "DELETED":
            # With its last state, which may say how it ended.
            for each in self._watched.get(name, ()):
                each.update(pod)
        self._note(name, None if kind == "DELETED" else pod)

    def _note(self, name: str, pod: dict[str, Any] | None) -> None:
        if pod is None:
            self._pods.pop(name, None)
        else:
            self._pods[name] = pod
        for each in self._watched.get(name, ()):
            each.update(pod)

    def _events_listed(self, events: list[dict[str, Any]]) -> None:
        for event in events:
            self._event_added("ADDED", event)
        self._is_listed("events")

    def _event_added(self, kind: str, event: dict[str, Any]) -> None:
        if kind in {"ADDED", "MODIFIED"}:
            name = _involved(event).get("name")
            for each in self._watched.get(str(name), ()):
                each.add(event)

    def _is_listed(self, kind: str) -> None:
        self._unlisted.discard(kind)
        self._problems.pop(kind, None)
        if not self._unlisted:
            self._known.set()

    def _is_watched(self, kind: str) -> None:
        self._refused_since.pop(kind, None)
        self._problems.pop(kind, None)

    def _lost(self, kind: str, error: Exception) -> None:
        if isinstance(error, KubeError) and error.is_of_rights:
            since = self._refused_since.setdefault(kind, time.monotonic())
            is_refused = time.monotonic() - since >= self._api.rights_patience
        else:
            self._refused_since.pop(kind, None)
            is_refused = False
        if is_refused or kind in self._unlisted:
            self._problems[kind] = error
            self._known.set()
            for each in [one for ones in self._watched.values() for one in ones]:
                each.wake()


def _involved(event: dict[str, Any]) -> dict[str, Any]:
    found = event.get("involvedObject")
    return found if isinstance(found, dict) else {}
