"""``binderprogress prepull``."""

from __future__ import annotations

import asyncio
import sys

import msgspec
from traitlets import Bool

from ..backends.kubernetes.builder import KubernetesBuilder
from ..backends.kubernetes.prepuller import Prepuller
from ..backends.kubernetes.registry import Registry
from ..channels.durable import replica_name
from ..core.kubernetes.prepull_report import NodeReport, PrepullReport
from ..deploy.composition import require
from ..deploy.prepulling import make_prepuller
from ..history.config import History
from .base import Command, readable_size, stop_event

__all__ = ["PrepullApp"]

_MOST_ROWS = 50


class PrepullApp(Command):
    """Pull popular images to all nodes of a Kubernetes cluster, so that launches find them there.

    It pulls until it is stopped, or until nothing is left to do with --once. Servers do the same
    with c.Prepuller.enabled; only one of all of them pulls. Exit codes: 0 if it succeeded, 1 if it
    failed, 2 for wrong usage, 130 if interrupted.
    """

    name = "prepull"
    classes = [Prepuller, KubernetesBuilder, Registry, History]  # noqa: RUF012 - traitlets' way
    flags = {  # noqa: RUF012 - traitlets' way
        **Command.flags,
        "dry-run": ({"PrepullApp": {"dry_run": True}}, "Only show what would be pulled."),
        "once": ({"PrepullApp": {"once": True}}, "End when nothing is left to pull."),
        "json": ({"PrepullApp": {"json": True}}, "Print one JSON object."),
    }

    dry_run = Bool(False, help="Only show what would be pulled.").tag(config=True)

    once = Bool(False, help="End when nothing is left to pull.").tag(config=True)

    json = Bool(False, help="Print one JSON object.").tag(config=True)

    async def main(self) -> int:
        """Pull, or show what would be pulled."""
        require("kubernetes", "escapism", "kubernetes_asyncio")
        # Removing old launches is up to the server.
        history = await asyncio.to_thread(History(parent=self, keep_days=0).open)
        builder = KubernetesBuilder(parent=self)
        try:
            prepuller = make_prepuller(self, builder, lambda: history, identity=replica_name())
            try:
                await self._pull(prepuller)
            finally:
                await prepuller.close()
        finally:
            await builder.close()
            await asyncio.to_thread(history.close)
        return 0

    async def _pull(self, prepuller: Prepuller) -> None:
        if self.dry_run:
            self._print(await prepuller.look())
        elif self.once:
            self._print(await prepuller.pull_once())
        else:
            stop = stop_event()
            self._print(await prepuller.look())
            prepuller.start()
            await stop.wait()

    def _print(self, report: PrepullReport) -> None:
        if self.json:
            sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
            return
        width = max([len(node.name) for node in report.nodes], default=4)
        print(f"{'node':{width}}  {'used':>9}  {'images':>9}  present  missing  now")
        for node in report.nodes:
            print(
                f"{node.name:{width}}  {readable_size(node.used):>9}  "
                f"{readable_size(node.occupied):>9}  {node.present:7}  {node.missing:7}  "
                f"{_now(node)}"
            )
        print(f"\n{'size':>9}  present  missing  no room  image")
        for image in report.images[:_MOST_ROWS]:
            print(
                f"{readable_size(image.size):>9}  {image.present:7}  {image.missing:7}  "
                f"{image.no_room:7}  {image.name}"
            )
            if image.problem:
                print(f"{'':38}{image.problem}")
        if len(report.images) > _MOST_ROWS:
            print(f"… and {len(report.images) - _MOST_ROWS} more")
        missing = sum(node.missing for node in report.nodes)
        print(
            f"\n{len(report.nodes)} nodes, {len(report.images)} images, budget "
            f"{readable_size(report.budget)} on each node. {missing} to pull, at most "
            f"{report.max_pulls} at the same time."
        )


def _now(node: NodeReport) -> str:
    if node.pulling:
        return f"pulls {node.pulling.rpartition('/')[2]}"
    if node.obstacle:
        return node.obstacle
    return f"next: {node.next.rpartition('/')[2]}" if node.next else "complete"
