"""Knows the pods of servers, and what Kubernetes says of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from traitlets import Bool, Unicode
from traitlets.config import LoggingConfigurable

from ...core.kubernetes.pods import involved_uid, server_of
from .api import KubeApi, KubeError
from .builder import KubernetesBuilder
from .list_and_watch import Source, list_and_watch

__all__ = ["ServerPods"]

_REFUSED_FOR = 600.0
"""Seconds after which a right that was missing is looked for again."""

_MOST_EVENTS = 2000
"""The newest events, which may be about a pod that is not known yet."""

Object = dict[str, Any]


class ServerPods(LoggingConfigurable):
    """Shows the events of the pods of servers, besides those that JupyterHub forwards.

    Two requests for all launches, from the first launch on.
    """

    enabled = Bool(
        True,
        help="Whether the events of the pods of servers are shown, also those that JupyterHub does "
        "not forward. With the engine kubernetes only. Without the right to read them, the log "
        "says so, and launches show what JupyterHub forwards.",
    ).tag(config=True)

    namespace = Unicode(
        help="The namespace of users' servers. The default is KubernetesBuilder.namespace."
    ).tag(config=True)

    selector = Unicode(
        "component=singleuser-server", help="The labels of pods of users' servers."
    ).tag(config=True)

    def __init__(self, *, builder: KubernetesBuilder, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._api = KubeApi(
            self.namespace or builder.namespace,
            kubeconfig=builder.kubeconfig,
            timeout=builder.request_timeout,
            patience=builder.patience,
        )
        # By uid.
        self._pods: dict[str, Object] = {}
        self._events: deque[Object] = deque(maxlen=_MOST_EVENTS)
        self._watches: set[_Watch] = set()
        self._running: asyncio.Task[None] | None = None

    @contextmanager
    def watch(self, user: str, server: str, heard: Callable[[Object], None]) -> Iterator[None]:
        """Have a function called with each event about a server's pod; see `PodEvents.watch`.

        What is deleted already is the pod of an earlier server. Its events do not count.
        """
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="pods of servers")
        watch = _Watch((user, server), heard)
        self._watches.add(watch)
        try:
            for pod in self._pods.values():
                watch.see(pod, self._events)
            yield
        finally:
            self._watches.discard(watch)

    async def close(self) -> None:
        """End it."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self._api.close()

    async def _run(self) -> None:
        api = self._api
        pods = Source(api.pods, api.watch_pods, self.selector)
        events = Source(api.events, api.watch_events, "involvedObject.kind=Pod")
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    for source, listed, changed in (
                        (pods, self._pods_listed, self._pod_changed),
                        (events, self._events_listed, self._event_changed),
                    ):
                        group.create_task(
                            list_and_watch(
                                source, listed=listed, changed=changed, lost=_lost, log=self.log
                            )
                        )
            except* _RefusedError as refusals:
                self.log.warning(
                    "What Kubernetes says of the pods of servers is not shown, but for what "
                    "JupyterHub forwards: %s. Grant these rights, or set "
                    "c.ServerPods.enabled = False.",
                    refusals.exceptions[0],
                )
            except* Exception:
                self.log.exception("What Kubernetes says of the pods of servers is not shown")
            await asyncio.sleep(_REFUSED_FOR)

    def _pods_listed(self, pods: list[Object]) -> None:
        self._pods.clear()
        for pod in pods:
            self._pod_changed("ADDED", pod)

    def _pod_changed(self, kind: str, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if kind == "DELETED":
            self._pods.pop(uid, None)
            return
        # All that is needed of it.
        self._pods[uid] = {"metadata": pod["metadata"]}
        for watch in self._watches:
            watch.see(pod, self._events)

    def _events_listed(self, events: list[Object]) -> None:
        for event in events:
            self._event_changed("ADDED", event)

    def _event_changed(self, kind: str, event: Object) -> None:
        if kind == "DELETED":
            return
        # It says who has changed which field, which nobody needs.
        event["metadata"].pop("managedFields", None)
        self._events.append(event)
        for watch in self._watches:
            watch.hear(event)


class _RefusedError(Exception):
    """The API server does not let us."""


def _lost(error: Exception) -> None:
    if isinstance(error, KubeError) and error.is_of_rights:
        raise _RefusedError(str(error).rstrip(".")) from error


class _Watch:
    """What one launch wants to know."""

    def __init__(self, server: tuple[str, str], heard: Callable[[Object], None]) -> None:
        self._server = server
        self._heard = heard
        self._uids: set[str] = set()

    def see(self, pod: Object, events: deque[Object]) -> None:
        """Follow a pod if it is that of the server, and pass on what was said of it before."""
        metadata = pod["metadata"]
        uid = metadata["uid"]
        is_ending = bool(metadata.get("deletionTimestamp"))
        if uid in self._uids or is_ending or server_of(pod) != self._server:
            return
        self._uids.add(uid)
        for event in events:
            self.hear(event)

    def hear(self, event: Object) -> None:
        """Pass on an event, if it is about such a pod."""
        if involved_uid(event) in self._uids:
            self._heard(event)
