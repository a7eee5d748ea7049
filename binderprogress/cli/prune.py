"""``binderprogress prune``."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from traitlets import Bool, Unicode

from ..backends.disk import GRACE
from ..backends.local.builder import LocalBuilder
from ..backends.processes.child import run
from ..backends.repo2docker.builder import Repo2dockerBuilder
from ..deploy.composition import setting
from ..deploy.standalone import Standalone
from ..errors import ConfigError
from .base import Command, readable_size

__all__ = ["PruneApp"]

_SIZES = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_TIMES = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """An environment or an image, and how to remove it."""

    name: str
    size: int
    last_used: float
    in_use: bool
    remove: Callable[[float], Awaitable[bool]]


class PruneApp(Command):
    """Show the environments and images that were built here, and remove those that are not used.

    Without --all, --older-than or --budget, nothing is removed. What a Jupyter server, a container
    or a build uses is never removed. With a budget, what was used within 15 minutes is kept, too,
    because a launch may be about to start it. Servers may keep running. Exit codes: 0 if it
    succeeded, 1 if it failed, 2 for wrong usage, 130 if interrupted.
    """

    name = "prune"
    classes = [Standalone, LocalBuilder, Repo2dockerBuilder]  # noqa: RUF012 - traitlets' way
    aliases = {  # noqa: RUF012
        **Command.aliases,
        "older-than": "PruneApp.older_than",
        "budget": "PruneApp.keep",
        "engine": "Standalone.engine",
    }
    flags = {  # noqa: RUF012
        **Command.flags,
        "all": ({"PruneApp": {"all": True}}, "Remove everything that is not in use."),
        "dry-run": ({"PruneApp": {"dry_run": True}}, "Only show what would be removed."),
        "json": ({"PruneApp": {"json": True}}, "Print one JSON object."),
    }

    all = Bool(False, help="Remove everything that is not in use.").tag(config=True)

    older_than = Unicode(
        help='Remove what was not used for this time, such as "30d", "12h" or "45m".'
    ).tag(config=True)

    keep = Unicode(
        help="""
        Remove the least recently used until the others have at most this size, such as "10G" or
        "500M".
        """
    ).tag(config=True)

    dry_run = Bool(False, help="Only show what would be removed.").tag(config=True)

    json = Bool(False, help="Print one JSON object.").tag(config=True)

    async def main(self) -> int:
        """Show what there is, and remove what was asked for."""
        older_than, budget = self._older_than(), self._budget()
        stored = await self._find()
        chosen = self._choose(stored, older_than, budget)
        removed = [
            one
            for one in chosen
            if self.dry_run or await one.remove(0.0 if self.all else older_than)
        ]
        if self.json:
            print(json.dumps(_summary(stored, removed, dry_run=self.dry_run)))
        else:
            self._print(stored, removed)
        return 0

    def _older_than(self) -> float:
        if not self.older_than:
            return GRACE
        match = re.fullmatch(r"(\d+)([smhd])", self.older_than)
        if match is None:
            self.usage(f'{self.older_than!r} is no time. Write it as in "30d", "12h" or "45m".')
        return float(match[1]) * _TIMES[match[2]] if match else 0.0

    def _budget(self) -> float:
        if not self.keep:
            return 0.0 if self.all or self.older_than else float("inf")
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)(?:i?B)?", self.keep)
        if match is None:
            self.usage(f'{self.keep!r} is no size. Write it as in "10G" or "500M".')
        return float(match[1]) * _SIZES[match[2]] if match else 0.0

    async def _find(self) -> list[Stored]:
        named = "engine" in self.config.Standalone
        engine = setting(self.config, Standalone, "engine") if named else "local"
        if engine == "kubernetes":
            raise ConfigError("Images on Kubernetes are removed by the cluster and its registry.")
        if engine == "local":
            environments = LocalBuilder(parent=self).stored
            return [
                Stored(
                    name=one.folder.name,
                    size=one.size,
                    last_used=one.last_used,
                    in_use=one.in_use,
                    remove=_in_thread(environments.remove, one.folder),
                )
                for one in await asyncio.to_thread(environments.find)
            ]
        images = Repo2dockerBuilder(parent=self, engine=engine).images
        await _check_engine(engine)
        return [
            Stored(
                name=one.name,
                size=one.size,
                last_used=one.last_used,
                in_use=one.in_use,
                remove=_of_image(images.remove, one),
            )
            for one in await images.find()
        ]

    def _choose(self, stored: list[Stored], older_than: float, budget: float) -> list[Stored]:
        """Return what is to be removed, the least recently used first."""
        total, now = sum(one.size for one in stored), time.time()
        chosen = []
        for one in stored:
            is_old = self.all or now - one.last_used > older_than
            if total > budget and is_old and not one.in_use:
                chosen.append(one)
                total -= one.size
        return chosen

    def _print(self, stored: list[Stored], removed: list[Stored]) -> None:
        width = max([len(one.name) for one in stored], default=4)
        print(f"{'name':{width}}  {'size':>9}  last used         ")
        for one in stored:
            used = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.last_used))
            state = "in use" if one.in_use else ""
            if one in removed:
                state = "would be removed" if self.dry_run else "removed"
            print(f"{one.name:{width}}  {readable_size(one.size):>9}  {used}  {state}".rstrip())
        total = sum(one.size for one in stored)
        print(f"{len(stored)} in all, {readable_size(total)}.", end="")
        freed = readable_size(sum(one.size for one in removed))
        would = " would be" if self.dry_run else ""
        print(f" {len(removed)}{would} removed, {freed}." if removed else "")


async def _check_engine(engine: str) -> None:
    try:
        code, output = await run([engine, "version"], timeout=20, keep_daemons=True)
    except FileNotFoundError:
        raise ConfigError(f"{engine} is not installed.") from None
    if code:
        raise ConfigError(f"{engine} does not answer.\n{output.strip()}")


def _in_thread(remove: Callable[..., bool], *what: Any) -> Callable[[float], Awaitable[bool]]:
    async def call(unused_for: float) -> bool:
        return await asyncio.to_thread(remove, *what, unused_for=unused_for)

    return call


def _of_image(
    remove: Callable[..., Awaitable[bool]], *what: Any
) -> Callable[[float], Awaitable[bool]]:
    return lambda unused_for: remove(*what, unused_for=unused_for)


def _summary(stored: list[Stored], removed: list[Stored], *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "size": sum(one.size for one in stored),
        "freed": sum(one.size for one in removed),
        "items": [
            {
                "name": one.name,
                "size": one.size,
                "last_used": one.last_used,
                "in_use": one.in_use,
                "removed": one in removed,
            }
            for one in stored
        ],
    }
