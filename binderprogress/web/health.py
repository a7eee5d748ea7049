"""GET /health: whether launches can be started, and how they went lately."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from ..launches import LaunchManager
from .base import ApiHandler

__all__ = ["HealthHandler"]


class HealthHandler(ApiHandler):
    """GET /health, in BinderHub's shape, with more in it."""

    public = True

    async def get(self) -> None:
        """Say whether launches can be started."""
        answers = await asyncio.gather(*(check.answer() for check in self.web.checks))
        checks = [_launches(self.web.launches), *answers]
        ok = all(check["ok"] for check in checks)
        self.set_status(200 if ok else 503)
        self.write_json({"ok": ok, "checks": checks})

    async def head(self) -> None:
        """Say so by the status alone; Tornado leaves the body out."""
        await self.get()


def _launches(launches: LaunchManager) -> dict[str, Any]:
    room = launches.max_launches - launches.running
    memory, disk = launches.budgets.memory, launches.budgets.disk
    return {
        "service": "launches",
        # A full disk cuts logs, and keeps no launch from being started.
        "ok": room > 0 and not memory.is_over,
        "latency": 0.0,
        "running": launches.running,
        "waiting": launches.waiting,
        "building": launches.building,
        "capacity": launches.max_launches,
        "retained": len(launches.budgets),
        "memory": {"used": memory.meter.used, "limit": memory.meter.limit},
        "disk": {"used": disk.meter.used, "limit": disk.meter.limit},
        "recent": msgspec.to_builtins(launches.recent()),
    }
