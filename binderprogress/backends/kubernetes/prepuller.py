"""Keeps popular images on all nodes, so that launches find them there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from traitlets import Bool, Dict, Float, Integer, List, Unicode
from traitlets.config import LoggingConfigurable

from ...core.kubernetes.nodes import USER_NODE_TOLERATIONS
from ...core.kubernetes.prepull import Limits
from ...core.kubernetes.prepull_report import PrepullReport
from ...core.kubernetes.ranking import EventCounter, PastImage, past_images, rank_images
from ...errors import ConfigError
from .api import CUT, KubeApi, KubeError
from .builder import KubernetesBuilder
from .cluster_api import ClusterApi
from .event_logs import EventLogs
from .leader import Leader
from .pulling import Pulling, PullSettings

__all__ = ["Prepuller"]

# Seconds.
_RANKED_EVERY = 60.0
_LOGS_READ_EVERY = 300.0
# Requests to the registry at the same time, and how many may fail in a row.
_MOST_REQUESTS = 4
_MOST_FAILURES = 8


class Prepuller(LoggingConfigurable):
    """Pulls popular images to all nodes in advance.

    Parameters
    ----------
    builder : KubernetesBuilder
        Says where the cluster and its registry are.
    identity : str
        The name of this process, which no other has.
    past : callable
        Returns the images that were launched here.
    """

    enabled = Bool(
        False, help="Pull popular images to all nodes in advance. Needs the engine kubernetes."
    ).tag(config=True)

    node_selector = Dict(
        help='Labels of the nodes, such as {"hub.jupyter.org/node-purpose": "user"}. Empty: all.'
    ).tag(config=True)

    tolerations = List(
        Dict(), help="Taints of these nodes, besides those of z2jh's nodes for users."
    ).tag(config=True)

    budget = Integer(
        50 * 2**30, min=0, help="Bytes on each node for images that are pulled in advance."
    ).tag(config=True)

    budget_reserve = Float(
        0.2,
        min=0.0,
        max=0.9,
        help="""
        The share of the budget that is kept for images that become popular later, such as those of
        new commits. Without it, the budget of a node is full when the node is some hours old, and
        nothing new is pulled: Kubernetes cannot remove an image from a node.
        """,
    ).tag(config=True)

    max_pulls = Integer(
        5, min=1, help="Maximum number of pulls at the same time, on all nodes together."
    ).tag(config=True)

    max_images = Integer(500, min=1, help="Maximum number of images in the ranking.").tag(
        config=True
    )

    image_gc_threshold = Float(
        0.8,
        min=0.0,
        max=1.0,
        help="""
        The share of a node's disk at which images are removed. The default is that of the image
        cleaner in BinderHub's chart; a kubelet has 0.85 (imageGCHighThresholdPercent).
        """,
    ).tag(config=True)

    disk_reserve = Float(
        0.2,
        min=0.0,
        max=1.0,
        help="""
        The share of a node's disk that is kept free for what is no image, such as files of users
        and logs. All images on a node may take what is left below image_gc_threshold.
        """,
    ).tag(config=True)

    unpacked_factor = Float(
        4.5,
        min=1.0,
        help="""
        How many times its compressed size an image takes on a node. Registries say the compressed
        size, and so do nodes with containerd. The default is that of containerd, which keeps what
        it has downloaded beside what it has unpacked. If it does not (discard_unpacked_layers), it
        is about 3.5. Nodes with other runtimes report what an image takes.
        """,
    ).tag(config=True)

    unknown_size = Integer(
        4 * 2**30, min=1, help="Bytes of an image whose size neither nodes nor the registry say."
    ).tag(config=True)

    pull_timeout = Float(
        1800.0, min=1.0, help="Seconds after which a pull has failed. It is tried again later."
    ).tag(config=True)

    image_pull_secrets = List(
        Unicode(), help="The names of secrets with which the images may be pulled."
    ).tag(config=True)

    user_namespace = Unicode(
        help="The namespace of users' servers. The default is KubernetesBuilder.namespace."
    ).tag(config=True)

    user_selector = Unicode(
        "component=singleuser-server",
        help="The labels of pods of users' servers. While one of them waits on a node for its "
        "image, nothing is pulled there in advance.",
    ).tag(config=True)

    event_logs = List(
        Unicode(),
        help="""
        Event logs of BinderHubs with the same registry, as files or URLs: their launches count,
        too. {date} stands for the date of each of the last days, as in
        https://archive.analytics.mybinder.org/events-{date}.jsonl.
        """,
    ).tag(config=True)

    event_log_days = Integer(14, min=1, help="Number of days of event logs with a date.").tag(
        config=True
    )

    lease = Unicode(
        "binderprogress-prepull",
        help="The name of the lease, in the namespace of builds, that the one process has which "
        "pulls.",
    ).tag(config=True)

    def __init__(
        self,
        *,
        builder: KubernetesBuilder,
        identity: str,
        past: Callable[[], Awaitable[Sequence[PastImage]]],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._builder = builder
        self._past = past
        options: dict[str, Any] = {
            "kubeconfig": builder.kubeconfig,
            "timeout": builder.request_timeout,
            "patience": builder.patience,
        }
        self._api = ClusterApi(builder.namespace, **options)
        self._users = KubeApi(self.user_namespace or builder.namespace, **options)
        self._event_logs = EventLogs(self.event_logs, days=self.event_log_days, log=self.log)
        self._logged: Sequence[EventCounter] = ()
        self._logs_due = 0.0
        # Bytes in the registry, by image.
        self._sizes: dict[str, int] = {}
        self._leader = Leader(
            self._api,
            self.lease,
            identity,
            changed=lambda: self._pulling.wake(),
            log=self.log,
        )
        self._pulling = Pulling(
            self._api, self._users, self._pull_settings(), self._leader, log=self.log
        )
        self._running: asyncio.Task[None] | None = None

    def _pull_settings(self) -> PullSettings:
        share = self.image_gc_threshold - self.disk_reserve
        if share <= 0:
            raise ConfigError(
                "c.Prepuller.image_gc_threshold leaves no room for images: it must be larger than "
                "c.Prepuller.disk_reserve."
            )
        return PullSettings(
            limits=Limits(
                budget=self.budget,
                reserve=int(self.budget * self.budget_reserve),
                max_pulls=self.max_pulls,
                most_of_disk=share,
            ),
            node_selector=",".join(f"{name}={value}" for name, value in self.node_selector.items()),
            user_selector=self.user_selector,
            pull_timeout=self.pull_timeout,
            unknown_size=self.unknown_size,
            unpacked_factor=self.unpacked_factor,
            tolerations=[*USER_NODE_TOLERATIONS, *self.tolerations],
            secrets=self.image_pull_secrets,
        )

    def start(self) -> None:
        """Begin to pull, in the background."""
        self._running = asyncio.create_task(self._run(), name="prepuller")

    async def close(self) -> None:
        """End it. Pulls that run are taken up by the next process, or go on until their end."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self._leader.release()
        await self._api.close()
        await self._users.close()

    def report(self) -> PrepullReport:
        """Return the state of nodes and images."""
        return self._pulling.report()

    async def next_report(self) -> PrepullReport:
        """Wait until the state was looked at again, and return it."""
        await self._pulling.next_plan()
        return self.report()

    async def look(self) -> PrepullReport:
        """Look at the cluster, and change nothing.

        Raises
        ------
        ConfigError
            If Kubernetes does not answer, or does not let us.
        """
        await self._rank()
        try:
            return await self._pulling.look()
        except (KubeError, *CUT) as error:
            raise ConfigError(f"Kubernetes does not show its nodes and pods: {error}") from error

    async def pull_once(self) -> PrepullReport:
        """Pull until nothing is left to do.

        Raises
        ------
        ConfigError
            If Kubernetes does not answer, or does not let us.
        """
        await self.look()
        async with asyncio.TaskGroup() as group:
            leading = group.create_task(self._leader.run())
            await self._pulling.run(until=_is_done)
            leading.cancel()
        return self.report()

    async def _run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._leader.run())
                group.create_task(self._pulling.run())
                group.create_task(self._rank_again())
        except* Exception:
            self.log.exception("Images are not pulled in advance any more")

    async def _rank_again(self) -> None:
        while True:
            await self._rank()
            await asyncio.sleep(_RANKED_EVERY)

    async def _rank(self) -> None:
        prefix = self._builder.image_prefix
        now = time.time()
        past = [each for each in await self._past() if each.image.startswith(prefix)]
        if now >= self._logs_due:
            self._logs_due = now + _LOGS_READ_EVERY
            self._logged = await self._event_logs.read(now)
        for counter in self._logged:
            past += past_images(counter, prefix=prefix, now=now)
        ranking = rank_images(past, most=self.max_images)
        await self._ask_sizes([image.name for image in ranking])
        sized = [
            msgspec.structs.replace(
                image, size=int(self._sizes.get(image.name, 0) * self.unpacked_factor)
            )
            for image in ranking
        ]
        self._pulling.rank(sized)

    async def _ask_sizes(self, images: Sequence[str]) -> None:
        """Ask the registry for sizes that are not known yet."""
        self._sizes = {name: self._sizes[name] for name in images if self._sizes.get(name)}
        missing = iter([name for name in images if name not in self._sizes])
        failures = 0

        async def ask() -> None:
            nonlocal failures
            for name in missing:
                size = self._sizes[name] = await self._builder.registry.size(name)
                failures = 0 if size else failures + 1
                if failures >= _MOST_FAILURES:
                    # It is away. The rest is asked for the next time.
                    return

        async with asyncio.TaskGroup() as group:
            for _ in range(_MOST_REQUESTS):
                group.create_task(ask())


def _is_done(report: PrepullReport) -> bool:
    """Whether nothing is left to pull, except where something hinders it."""
    return not report.running and all(node.obstacle or not node.missing for node in report.nodes)
