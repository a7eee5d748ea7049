"""Keeps room on a node for a user's server while its image is built."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from traitlets import Bool, Dict, Integer, List, Unicode
from traitlets.config import LoggingConfigurable

from ...core.kubernetes.placeholders import (
    COMPONENT,
    PlaceholderSettings,
    PlaceholderState,
    placeholder_manifest,
    placeholder_name,
    read_placeholder,
)
from ...errors import ConfigError
from ..base import Prepared
from .api import CUT, KubeApi, KubeError
from .watcher import PodWatcher, WatchedPod

__all__ = ["Placeholders"]

_RELEASE = 10.0
"""Seconds for which a placeholder is deleted here. Then it is left to whoever cleans up."""

Object = dict[str, Any]


class Placeholders(LoggingConfigurable):
    """Has a pod of the server's size scheduled while an image is built.

    So an autoscaler adds a node in the meantime, if there is no room for the server.
    """

    enabled = Bool(
        False,
        help="Whether a pod keeps room for each server whose image is being built, with the engine "
        "kubernetes. It costs what a server costs, for the time of the build.",
    ).tag(config=True)

    requests = Dict(
        help="""
        The resources that a user's server requests, such as {"cpu": "500m", "memory": "1Gi"}: the
        guarantees of the spawner.
        """
    ).tag(config=True)

    image = Unicode(
        "registry.k8s.io/pause:3.10", help="The image of the pods, which does nothing."
    ).tag(config=True)

    pulled_images = List(
        Unicode(),
        help="""
        Images that are pulled to the node, too, such as the base image of repo2docker
        (docker.io/library/buildpack-deps:jammy). The layers that an image shares with these need
        not be pulled for the server.
        """,
    ).tag(config=True)

    max_pods = Integer(
        10, min=0, help="Maximum number of these pods. Further servers are built without one."
    ).tag(config=True)

    max_seconds = Integer(
        3600, min=1, help="Seconds after which Kubernetes ends such a pod, whatever happens to us."
    ).tag(config=True)

    node_selector = Dict(help="The labels of nodes for users' servers.").tag(config=True)

    tolerations = List(
        Dict(), help="Taints of these nodes, besides those of z2jh's user nodes."
    ).tag(config=True)

    priority_class = Unicode(
        help="The priority class of these pods. With a lower priority than that of servers, they "
        "give way to them. The autoscaler ignores pods with a priority below -10."
    ).tag(config=True)

    scheduler = Unicode(
        help="The scheduler of users' servers, such as z2jh's. Empty: that of the cluster."
    ).tag(config=True)

    pull_secrets = List(
        Unicode(), help="The names of secrets with which the images are pulled."
    ).tag(config=True)

    def __init__(self, *, api: KubeApi, watcher: PodWatcher, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._api = api
        self._watcher = watcher
        self._held: set[str] = set()
        """The names of the pods that are held here."""
        if self.enabled and not self.requests:
            raise ConfigError(
                "Set c.Placeholders.requests to what a user's server requests, such as "
                '{"cpu": "500m", "memory": "1Gi"}.'
            )

    async def hold(
        self, key: str, *, build: str, installation: str, done: Callable[[Prepared], None]
    ) -> None:
        """Keep room until this is cancelled. It never fails.

        Parameters
        ----------
        key : str
            Of the request of the server.
        build : str
            The name of the pod of the build.
        installation : str
            Whose pod it is; see `base.Cleaner`.
        done : callable
            Called when there is room, and when its images are pulled.
        """
        name = placeholder_name(key)
        try:
            await self._watcher.open()
            there = {pod["metadata"]["name"] for pod in self._watcher.pods if _is_placeholder(pod)}
            # Those that were just created may not be known yet.
            others = (there | self._held) - {name}
            if len(others) >= self.max_pods:
                self.log.info("There are %d placeholders, so %s gets none.", len(others), name)
                return
            self._held.add(name)
            settings = self._settings(installation)
            manifest = placeholder_manifest(settings, name=name, build=build)
            with self._watcher.watch(name) as watched:
                began = monotonic()
                creating = asyncio.create_task(self._create_or_join(manifest))
                try:
                    # If this is cancelled, it may be created nevertheless.
                    pod = await asyncio.shield(creating)
                    watched.choose(pod)
                    await self._follow(pod, watched, done, began=began)
                finally:
                    await self._release(name, creating)
        except (KubeError, *CUT) as error:
            self.log.warning("No room is kept for a server: %s", error)
        finally:
            self._held.discard(name)

    async def remove(self, key: str) -> None:
        """Remove the pod of a server that will not be requested. It never fails."""
        name = placeholder_name(key)
        try:
            await self._watcher.open()
            for pod in self._watcher.pods:
                if pod["metadata"]["name"] == name:
                    await self._delete(pod)
                    return
        except (KubeError, *CUT) as error:
            self.log.warning("%s may be left for a while: %s", name, error)

    async def _create_or_join(self, manifest: Mapping[str, Any]) -> Object:
        """Create the pod; if it is there since before a restart, return that one."""
        try:
            return await self._api.create(manifest)
        except KubeError as error:
            if error.status != 409:
                raise
            pod = await self._api.pod(manifest["metadata"]["name"])
            if pod is None:
                raise
            return pod

    async def _follow(
        self, pod: Object, watched: WatchedPod, done: Callable[[Prepared], None], *, began: float
    ) -> None:
        """Say what is done, until the pod keeps no room any more."""
        waited = told_node = told_pull = False
        scheduled = began
        try:
            while not await self._is_gone(pod, watched):
                self._watcher.check()
                state = read_placeholder(watched.pod) if watched.pod else PlaceholderState()
                if state.is_over:
                    return
                waited = waited or state.waits_for_node
                if state.node and not told_node:
                    told_node, scheduled = True, monotonic()
                    label = "Node added" if waited else "Room on a node kept"
                    done(Prepared("node", label, scheduled - began))
                if state.node and state.has_pulled and not told_pull:
                    told_pull = True
                    done(Prepared("base-image", "Base image pulled", monotonic() - scheduled))
                await watched.changed()
        except asyncio.CancelledError:
            if waited and not told_node:
                # It comes, and the server waits for the rest of the time only.
                done(Prepared("node", "Node requested", monotonic() - began))
            raise

    async def _is_gone(self, pod: Object, watched: WatchedPod) -> bool:
        if not watched.may_be_gone:
            return False
        # A list may have been made just before the pod was created.
        watched.may_be_gone = False
        metadata = pod["metadata"]
        found = await self._api.pod(metadata["name"])
        return found is None or bool(found["metadata"]["uid"] != metadata["uid"])

    async def _release(self, name: str, creating: asyncio.Task[Object]) -> None:
        """Delete a pod at once, because the server needs its room."""
        if creating.done() and (creating.cancelled() or creating.exception() is not None):
            return
        try:
            async with asyncio.timeout(_RELEASE):
                await self._delete(await creating)
        except (KubeError, *CUT) as error:
            self.log.warning("%s is left until it is cleaned up: %s", name, error)

    async def _delete(self, pod: Object) -> None:
        metadata = pod["metadata"]
        await self._api.delete(metadata["name"], uid=metadata["uid"], grace=0)

    def _settings(self, installation: str) -> PlaceholderSettings:
        return PlaceholderSettings(
            requests=self.requests,
            image=self.image,
            pulled_images=self.pulled_images,
            node_selector=self.node_selector,
            tolerations=self.tolerations,
            priority_class=self.priority_class,
            scheduler=self.scheduler,
            pull_secrets=self.pull_secrets,
            max_seconds=self.max_seconds,
            installation=installation,
        )


def _is_placeholder(pod: Mapping[str, Any]) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return bool(labels.get("component") == COMPONENT)
