"""The health endpoint: whether launches can be started, and how recent ones went."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from ..core.phases import Phase
from ..core.standby import State
from ..launches import LaunchManager
from .base import ApiHandler

__all__ = ["HealthHandler"]


class HealthHandler(ApiHandler):
    """GET /health: BinderHub's format with additional fields."""

    public = True

    async def get(self) -> None:
        """Send the results of all checks, with status 200 if they passed, else 503."""
        results = await asyncio.gather(*(check.result() for check in self.web.checks))
        checks = [_check_launches(self.web.launches), *results]
        ok = all(check["ok"] for check in checks)
        self.set_status(200 if ok else 503)
        replicas = self.web.launches.replicas
        self.write_json(
            {"ok": ok, "replica": replicas.name, "replicas": replicas.count, "checks": checks}
        )

    async def head(self) -> None:
        """Send only the status. Tornado omits the body."""
        await self.get()


def _check_launches(launches: LaunchManager) -> dict[str, Any]:
    in_all = launches.replicas.in_all
    room = launches.max_launches - in_all.running
    memory, disk = launches.budgets.memory, launches.budgets.disk
    storage = launches.storage
    return {
        "service": "launches",
        # A full disk truncates logs, but launches can still start.
        "ok": room > 0 and not memory.is_over and not storage.count,
        "latency": 0.0,
        "running": launches.running,
        "waiting": launches.phases()[Phase.WAITING],
        "building": launches.building,
        "all_replicas": msgspec.to_builtins(in_all),
        "capacity": launches.max_launches,
        "standby": launches.standby.states()[State.READY],
        "retained": len(launches.budgets),
        "memory": {"used": memory.meter.used, "limit": memory.meter.limit},
        "disk": {"used": disk.meter.used, "limit": disk.meter.limit},
        "storage": {
            "waiting": storage.count,
            "problem": storage.problem if storage.count else "",
        },
        "recent": msgspec.to_builtins(launches.outcomes.recent()),
    }
