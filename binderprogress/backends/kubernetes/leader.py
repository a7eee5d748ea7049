"""Chooses one of several processes, with a lease of Kubernetes.

Kubernetes' own leader election is `kubernetes_asyncio.leaderelection`. It compares local times of
day, and a request that fails ends it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from .api import CUT, KubeError
from .cluster_api import ClusterApi

__all__ = ["Leader"]

# Seconds. Whoever has not renewed the lease for so long has lost it …
_DURATION = 30
# … and knows earlier, even if its clock is slower.
_OWN_DURATION = 20.0
_EVERY = 5.0
_TIMEOUT = 10.0
_RELEASE_TIMEOUT = 3.0


class Leader:
    """Whether this process is the one, which changes with time.

    Parameters
    ----------
    api : ClusterApi
    name : str
        Of the lease.
    identity : str
        The name of this process, which no other has.
    changed : callable
        Called when this process becomes the leader.
    log : logging.Logger
    """

    def __init__(
        self,
        api: ClusterApi,
        name: str,
        identity: str,
        *,
        changed: Callable[[], None],
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self.holder = ""
        """The process that holds the lease, as last seen."""
        self._api = api
        self._name = name
        self._identity = identity
        self._changed = changed
        self._log = log
        # On our own clock, because those of other machines may differ.
        self._renewed = self._seen = -float("inf")
        self._record: object = None

    @property
    def is_leader(self) -> bool:
        """Whether this process may act now."""
        return time.monotonic() - self._renewed < _OWN_DURATION

    async def run(self) -> None:
        """Get the lease and keep it, for ever."""
        while True:
            was_leader = self.is_leader
            try:
                async with asyncio.timeout(_TIMEOUT):
                    await self._try()
            except (KubeError, *CUT) as error:
                if not (isinstance(error, KubeError) and error.status == 409):
                    self._log.warning("The lease %s cannot be renewed: %s", self._name, error)
            if self.is_leader and not was_leader:
                self._changed()
            await asyncio.sleep(_EVERY)

    async def release(self) -> None:
        """Let another process have it at once."""
        if not self.is_leader:
            return
        self._renewed = -float("inf")
        try:
            async with asyncio.timeout(_RELEASE_TIMEOUT):
                lease = await self._api.lease(self._name)
                if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                    spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                    await self._api.replace_lease({**lease, "spec": spec})
        except (KubeError, *CUT) as error:
            self._log.warning("The lease %s cannot be released: %s", self._name, error)

    async def _try(self) -> None:
        began = time.monotonic()
        lease = await self._api.lease(self._name)
        if lease is None:
            metadata = {"name": self._name, "namespace": self._api.namespace}
            kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
            await self._api.create_lease({**kind, "metadata": metadata, "spec": self._spec({})})
        else:
            spec = lease.get("spec") or {}
            record = (spec.get("holderIdentity"), spec.get("renewTime"))
            if record != self._record:
                self._record, self._seen = record, began
            self.holder = spec.get("holderIdentity") or ""
            is_free = not self.holder or began - self._seen > _DURATION
            if self.holder != self._identity and not is_free:
                return
            # Fails if another process has changed it since we read it.
            await self._api.replace_lease({**lease, "spec": self._spec(spec)})
        self._renewed, self.holder = began, self._identity

    def _spec(self, before: dict[str, Any]) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec = {
            **before,
            "holderIdentity": self._identity,
            "leaseDurationSeconds": _DURATION,
            "renewTime": now,
        }
        if before.get("holderIdentity") != self._identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = int(before.get("leaseTransitions") or -1) + 1
        return spec
