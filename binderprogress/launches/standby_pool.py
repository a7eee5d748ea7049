"""The servers that stand ready, and how launches take them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from zlib import crc32

import msgspec

from ..backends.base import ResolvedSpec, RunningServer
from ..channels.base import Broadcast
from ..channels.durable import Lease
from ..core.standby import State
from ..errors import StorageError
from .launch import Launch
from .ledger import Ledger
from .server_cleanups import ServerCleanups
from .standby_server import StandbyServer
from .stored import STANDBYS

__all__ = ["ASKED", "CHANGES", "Answers", "StandbyPool"]

Answers = Callable[[RunningServer], Awaitable[bool]]
"""Returns whether a server answers, with its token."""

ASKED = ("taken", "missed")
"""How launches of an environment end of which servers are to stand ready: they have taken one, or
found none."""

CHANGES = ("started", "failed", "dead", "replaced")
"""What becomes of servers: they are started, or could not be; they did not answer any more; they
were too old or too many, or of an earlier commit."""


class StandbyPool:
    """Hands out servers, each to one launch.

    In one process, a server is reserved before anything is awaited. Among replicas, and over a
    crash, the store decides: the lease of the server ends in the transaction in which the launch
    gets it.

    Parameters
    ----------
    ledger : Ledger
    cleanups : ServerCleanups
        Stops servers.
    log : logging.Logger
    """

    def __init__(
        self,
        ledger: Ledger,
        cleanups: ServerCleanups,
        *,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self.ledger = ledger
        self.cleanups = cleanups
        self._log = log
        self._answers: Answers | None = None
        self._dead: set[str] = set()
        """Servers of other replicas that did not answer here. Their owners find out, too."""
        self.servers: dict[str, StandbyServer] = {}
        """The servers that this process started or has taken over, by their ids."""
        self.wanted: dict[str, str] = {}
        """The keys of the environments of which servers are to stand ready, by spec."""
        self.counts: Counter[str] = Counter()
        """The numbers of `ASKED` and `CHANGES`, of this process."""
        self.claimed: set[str] = set()
        """The servers that launches of this process are taking."""
        self.changed = Broadcast()
        """Notified when a server was taken, or did not answer."""

    def open(self, answers: Answers) -> None:
        """Hand out servers from now on.

        Parameters
        ----------
        answers : callable
            Returns whether a server answers, with its token.
        """
        self._answers = answers

    def close(self) -> None:
        """Hand out nothing more."""
        self._answers = None

    async def take(self, launch: Launch, resolved: ResolvedSpec) -> RunningServer | None:
        """Return a server that stands ready, for a launch; None if there is none.

        It is the launch's from now on, also after a crash: what the launcher was asked for is
        `Launch.request`, and stored.

        Raises
        ------
        StorageError
            If it cannot be stored whose it is. If it is the launch's, that stops it.
        """
        answers = self._answers
        if answers is None or resolved.key not in self.wanted.values():
            return None
        while ready := self.ready(resolved.key):
            # It is reserved, or removed from the pool.
            if await self._take(ready[0], launch, resolved, answers):
                return ready[0].served
        for server in await self._elsewhere(resolved.key):
            if await self._take(server, launch, resolved, answers):
                return server.served
        self.counts["missed"] += 1
        return None

    def ready(self, key: str) -> list[StandbyServer]:
        """List the servers here that can be taken, the oldest first."""
        return sorted(
            (
                server
                for server in self.servers.values()
                if server.key == key and server.state is State.READY and not server.is_reserved
            ),
            key=lambda server: server.since,
        )

    def states(self) -> Counter[State]:
        """Count the servers here by what they do."""
        return Counter(server.state for server in self.servers.values())

    async def stored(self) -> dict[str, Lease]:
        """Return the leases of the servers of all replicas that no launch has taken, by id.

        Raises
        ------
        StorageError
            If the store cannot be read.
        """
        store = self.ledger.store
        leases = [] if store is None else await store.leases(STANDBYS, ended=False)
        return {lease.name.removeprefix(STANDBYS): lease for lease in leases}

    async def restored(self, lease: Lease) -> StandbyServer | None:
        """Return a server as it is stored; None if that cannot be read."""
        try:
            return await StandbyServer.restored(lease, self.ledger.codec)
        except Exception as error:  # noqa: BLE001 - whatever a codec raises, such as of a newer version
            self._log.warning("A server that stands ready cannot be read: %s", error)
            return None

    async def _elsewhere(self, key: str) -> list[StandbyServer]:
        """List the servers of other replicas that may be taken."""
        if not self.ledger.is_shared:
            return []
        try:
            leases = await self.stored()
        except StorageError as error:
            self._log.warning("Servers of other replicas cannot be looked up: %s", error)
            return []
        self._dead &= leases.keys()
        ids = leases.keys() - self.servers.keys() - self._dead - self.claimed
        servers = [server for each in ids if (server := await self.restored(leases[each]))]
        found = [one for one in servers if one.key == key and one.state is State.READY]
        # So that replicas do not all ask for the same one.
        return sorted(found, key=lambda one: crc32(f"{one.id} {self.ledger.replica}".encode()))

    async def _take(
        self, server: StandbyServer, launch: Launch, resolved: ResolvedSpec, answers: Answers
    ) -> bool:
        """Take a server, if it answers and no other launch has taken it."""
        assert server.served is not None  # noqa: S101 - it is ready
        server.is_reserved = True
        try:
            server.is_dead = not await answers(server.served)
        except BaseException:
            server.is_reserved = False
            raise
        if server.is_dead:
            self._dead.add(server.id)
            self.changed.notify()
            return False
        # Before it is stored: if the launch fails meanwhile, it stops the server.
        launch.request = msgspec.structs.replace(
            server.running,
            resolved=resolved,
            repo_url=launch.spec.repo_url,
            options=resolved.binder_fields(
                launch_host=launch.caller.base_url, client_ip=launch.caller.ip
            ),
        )
        self.servers.pop(server.id, None)
        self.claimed.add(server.id)
        try:
            is_ours = await self.ledger.claim(server.lease, launch)
        finally:
            self.claimed.discard(server.id)
            self.changed.notify()
        if is_ours:
            self.counts["taken"] += 1
            self._log.info("%r took %r", launch, server)
        else:
            launch.request = None
        return is_ours
