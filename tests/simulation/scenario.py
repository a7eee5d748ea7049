"""One simulation: some people, some servers one after the other, and what fails meanwhile."""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context
from pathlib import Path
from random import Random
from typing import Any

from binderprogress.core.specs import from_address, parse
from binderprogress.errors import NotFoundError, StorageError
from binderprogress.launches import LaunchManager
from binderprogress.launches.event_writer import Clock
from binderprogress.launches.fanout import Fanout
from binderprogress.launches.leader import LEADER
from binderprogress.launches.standby import Standby

from ..support import invariants
from ..support.invariants import Launched, View
from ..support.invariants import World as Left
from .loop import StuckError, VirtualLoop
from .people import Person
from .processes import Process
from .replaced import IDS, QUIET, Kept
from .store import Database, SimulatedStore
from .world import Repository, SimulatedBackend, World

__all__ = ["Scenario"]

LIMIT = 4 * 3600.0
"""Seconds after which everything must be over."""

SETTINGS = {
    "abandon_after": 60.0,
    "forget_after": 300.0,
    "build_timeout": 300.0,
    "launch_timeout": 200.0,
    "stuck_after": 30.0,
    "storage_patience": 300.0,
}

_STALLS = 0.03
"""How likely a server stalls after it has taken something over."""

_LONG_AGO = 1_700_000_000.0
"""When simulations begin, in seconds since 1970."""


class _Settings:
    """Of the fan-out."""

    keepalive = 0.0
    viewer_timeout = 30.0


class Server(Process):
    """A server: the real launches, with a simulated store and a simulated backend."""

    manager: LaunchManager
    standby: Standby | None = None
    opening: asyncio.Task[None]

    def __init__(self, scenario: Scenario, name: str) -> None:
        super().__init__(scenario.loop, name)
        self.is_open = False
        self.connections: dict[Any, None] = {}
        self.fanout = Fanout(_Settings())
        self._scenario = scenario
        self.store = SimulatedStore(scenario.database, self)
        if scenario.many:
            self.store.took = lambda: scenario.took(self)
        # Not that of other hosts, or of the time before a restart of the machine.
        offset = scenario.random.random() * 10_000
        self._clock = Clock(
            monotonic=lambda: scenario.loop.now + offset,
            utc=lambda: _LONG_AGO + scenario.loop.now + scenario.skew,
        )
        self.at_death.append(self._end)

    async def run(self) -> None:
        """Open it. Tried again as long as the store is away."""
        backend = SimulatedBackend(self._scenario.world, self)
        self.manager = LaunchManager(
            channels=self.store,
            backend=backend,
            clock=self._clock,
            logs=self._scenario.folder,
            max_builds=self._scenario.max_builds,
            log=self._scenario.log_of(self),
            **SETTINGS,
        )
        while True:
            try:
                await self.manager.open()
            except StorageError:
                await asyncio.sleep(1.0)
            else:
                break
        if self._scenario.standby:
            self.standby = self._make_standby(backend)
            self.standby.start()
        self.is_open = True

    def _make_standby(self, backend: SimulatedBackend) -> Standby:
        """Return what keeps servers ready, of the first repositories."""
        scenario = self._scenario

        async def no_ranking(_: int) -> list[str]:
            return []

        return Standby(
            launches=self.manager,
            backend=backend,
            make_probe=lambda **_: backend,
            read_spec=parse,
            ranking=no_ranking,
            clock=self._clock,
            repositories={
                str(from_address(each.url, "main")): scenario.standing
                for each in scenario.world.repositories[:2]
            },
            budget=4,
            max_age=100.0,
            resolve_every=60.0,
            log=scenario.log_of(self),
        )

    async def close(self) -> None:
        """Hand its launches over, and send its viewers away."""
        self.fanout.hold()
        if self.standby is not None:
            await self.standby.close(hand_over=True)
        await self.manager.close(hand_over=True)
        await self.fanout.close(lambda: self._scenario.random.random())

    def _end(self) -> None:
        self.is_open = False
        for log in self.logs:
            log.lose()
        self.hang_up(3.0)

    def stall(self) -> None:
        """Stop it as SIGSTOP does. Others will notice."""
        self.pause()
        self.hang_up(35.0)
        if self._scenario.many:
            self.store.lapse()

    def go_on(self) -> None:
        """Continue it, and say that it is alive."""
        self.wake()
        self.store.wake()

    def hang_up(self, within: float) -> None:
        """Have all viewers notice some time that nobody answers."""
        for viewer in self.connections:
            after = self._scenario.random.random() * within
            self._scenario.loop.call_later(after, viewer.lose, "lost")


class Scenario:
    """A simulation.

    Parameters
    ----------
    seed : int
        Decides everything.
    folder : Path
        For the logs of builds.
    many : bool
        Whether several servers run at the same time, with the same store.
    standby : bool
        Whether servers of some repositories stand ready.
    trace : bool
        Whether what happens is kept in `lines`.
    """

    def __init__(
        self,
        seed: int,
        folder: Path,
        *,
        many: bool = False,
        standby: bool = False,
        trace: bool = False,
    ) -> None:
        self.seed = seed
        self.folder = folder
        self.random = random = Random(seed)  # noqa: S311 - no secrets
        IDS.seed(seed)
        self.loop = VirtualLoop(random, limit=LIMIT)
        self.many = many
        self.standby = standby
        self.standing = 1 + seed % 3
        """How many servers of a repository stand ready."""
        self.database = Database(self.loop, random, shared=self.many)
        self.world = World(
            self.loop, random, note=self.note, repositories=random.choice([1, 1, 2, 4])
        )
        self.spread = random.choice([0.1, 5.0, 30.0])
        """Seconds in which people come."""
        self.max_builds = random.choice([1, 1, 2, 32])
        self.slow = random.choice([0.0, 0.0, 0.1])
        """Chance that a viewer does not read for a while."""
        self.skew = 0.0
        """By how much the clocks are wrong."""
        self.servers: list[Server] = []
        self.launched: dict[str, Launched] = {}
        self.users: dict[str, str] = {}
        self.wanted: dict[str, Repository] = {}
        """What each launch is for."""
        self.lines: list[str] | None = [] if trace else None
        self._lasting: list[asyncio.Task[None]] = []
        self._is_calm = False
        """Whether nothing fails any more."""
        # With several servers at the same time, other faults show more than kills do.
        self._lives = random.choice([2, 3, 4, 6] if many else [2, 4, 8, 16])
        """How many servers there are, one after the other."""
        self._disturbances = random.choice([1, 2, 4] if many else [0, 0, 1, 2])
        """How many other faults there are, for each server at the same time."""

    def note(self, what: str) -> None:
        """Keep what happened, for people."""
        if self.lines is not None:
            self.lines.append(f"{self.loop.now:10.3f} {what}")

    def log_of(self, server: Server) -> logging.Logger:
        """Return the log of a server, which is kept only with a trace."""
        return QUIET if self.lines is None else Kept(self.note, server.name)

    def run(self) -> None:
        """Run it, and check what everybody saw.

        Raises
        ------
        AssertionError
            If something is wrong.
        """
        try:
            self.loop.run(self._main())
        except StuckError as error:
            raise StuckError("\n".join([str(error), *self._under_way()])) from None
        problems = self._problems()
        assert not problems, "\n".join(problems)

    # -- what people ask

    def choose(self) -> Server | None:
        """Return a server that answers."""
        servers = [one for one in self.servers if one.is_open and one.answers]
        return self.random.choice(servers) if servers else None

    def is_forgotten(self, launch_id: str) -> bool:
        """Whether a launch was over so long ago that it may be forgotten."""
        expires = self.database.expires.get(f"launch.{launch_id}")
        return expires is not None and expires <= _LONG_AGO + self.loop.now + self.skew

    def took(self, server: Server) -> None:
        """Stall a server that has just taken something over, sometimes."""
        if not self._is_calm and self.random.random() < _STALLS:
            # Before it goes on with what it took, or soon after.
            after = self.database.latency * 20 * self.random.random()
            # Not a part of the server, with which it would stall.
            stalling = self.loop.create_task(self._stall(server, after), context=Context())
            self._lasting.append(stalling)

    async def _stall(self, server: Server, after: float) -> None:
        await asyncio.sleep(after)
        self.note(f"{server.name} stalls")
        server.stall()
        await asyncio.sleep(10.0 + 30.0 * self.random.random())
        self.note(f"{server.name} goes on")
        server.go_on()

    # -- what happens

    async def _main(self) -> None:
        slots = 2 if self.many else 1
        servers = [self._begin_server() for _ in range(slots)]
        people = [Person(self, f"p{number}") for number in range(self.random.choice([2, 4, 8, 16]))]
        faults = [asyncio.create_task(self._faults(server)) for server in servers]
        await asyncio.gather(*(person.live() for person in people))
        await asyncio.gather(*faults)
        while self._lasting:
            # Meanwhile, there may be more.
            lasting, self._lasting = self._lasting, []
            await asyncio.gather(*lasting)
        self._is_calm = True
        self._let_go()
        await self._settle()
        await self._inspect()
        await self._close()

    def _begin_server(self) -> Server:
        server = Server(self, f"replica-{len(self.servers) + 1}")
        self.servers.append(server)
        self.note(f"{server.name} begins")
        if len(self.servers) < self._lives and self.random.random() < 0.9:
            server.crash_at = int(10 ** (0.7 + 2.3 * self.random.random()))
        server.at_death.append(lambda: self.note(f"{server.name} is killed"))
        server.opening = server.start(server.run())
        return server

    async def _faults(self, server: Server) -> None:
        """Let a server end, and begin the next one; meanwhile let other things fail."""
        for _ in range(self._disturbances):
            after = self.random.random() * 2 * self.spread
            self._lasting.append(asyncio.create_task(self._fault(after)))
        while len(self.servers) < self._lives:
            if server.crash_at < 0:
                await asyncio.sleep(self.random.random() * 2 * self.spread)
                await self._stop(server)
            else:
                # It may never get to that step.
                await asyncio.wait([server.died], timeout=20 * self.spread)
                if not server.is_dead:
                    server.crash()
            await asyncio.sleep(0.5 + self.random.random())
            server = self._begin_server()

    async def _stop(self, server: Server) -> None:
        """Stop a server as SIGTERM does, and kill it if it takes too long."""
        self.note(f"{server.name} is stopped")
        server.is_open = False
        server.opening.cancel()
        closing = server.start(server.close())
        await asyncio.wait([closing, server.died], timeout=self.random.choice([0.1, 60.0, 60.0]))
        server.crash()

    async def _fault(self, after: float) -> None:
        await asyncio.sleep(after)
        lasts = self.random.choice([0.1, 5.0, 60.0]) * (0.5 + self.random.random())
        kinds = ["away", "full", "losing", "slow", "hub", "clock", "pause"]
        if self.many:
            # While others take what it has.
            kinds += ["pause", "pause", "silent", "silent", "silent"]
        kind = self.random.choice(kinds)
        self.note(f"{kind} for {lasts:.1f} s")
        database = self.database
        if kind == "away":
            database.away = True
        elif kind == "full":
            database.full = True
        elif kind == "losing":
            database.losing = 0.5
        elif kind == "slow":
            database.latency *= 20
        elif kind == "hub":
            self.world.hub_away = True
        elif kind == "clock":
            self.skew += self.random.choice([-3600.0, -1.0, 1.0, 3600.0])
        alive = [server for server in self.servers if not server.is_dead] or self.servers
        server = self.random.choice(alive) if self.many else self.servers[-1]
        if kind == "pause":
            server.stall()
        elif kind == "silent":
            server.store.leave()
        await asyncio.sleep(lasts)
        self.note(f"{kind} is over")
        if kind in {"pause", "silent"}:
            server.go_on()
        elif kind == "slow":
            database.latency /= 20
        database.away = database.full = self.world.hub_away = False
        database.losing = 0.0

    def _let_go(self) -> None:
        """Want no servers any more, so that those that stand ready are stopped."""
        # Also in a server that is still starting.
        self.standing = 0
        for server in self.servers:
            if server.standby is not None:
                server.standby.want({})

    async def _settle(self) -> None:
        """Wait until nothing is under way, and a replica that was paused knows it."""
        await asyncio.sleep(5.0)
        while self._under_way():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(5.0)
        self.note("everything is over")

    async def _inspect(self) -> None:
        """Read each launch as it is stored, also those of which nobody was told."""
        server = self.servers[-1]
        for name in list(self.database.leases):
            if not name.startswith("launch."):
                continue
            launch_id = name.removeprefix("launch.")
            user = self.database.leases[name].user
            launched = self.launched.setdefault(launch_id, Launched(launch_id, []))
            view = View("the store")
            launched.views.append(view)
            try:
                launch = await server.call(server.manager.find(launch_id, user=user))
                events = await server.call(launch.read(0, limit=10**6))
                while launch.forgotten:
                    # Meanwhile: its time was over.
                    launch = await server.call(server.manager.find(launch_id, user=user))
                    events = await server.call(launch.read(0, limit=10**6))
            except NotFoundError:
                # Or it was never shown to anybody, and its next owner has removed it.
                assert self.is_forgotten(launch_id) or name not in self.database.leases
                launched.views.remove(view)
                continue
            view.connect().events += [(each.id, each.json) for each in events]
            self.users[launch_id] = user

    async def _close(self) -> None:
        for server in self.servers:
            server.crash_at = -1
            if not server.is_dead:
                # There is nothing to take over any more, and looking for it takes time.
                await server.call(server.manager._successor.stop())
        # Until all is forgotten.
        await asyncio.sleep(SETTINGS["forget_after"] + 1.0)
        for server in self.servers:
            if server.is_dead:
                continue
            for budget in (server.manager.budgets.memory, server.manager.budgets.disk):
                assert budget.meter.used == 0, f"{budget.meter.used} bytes are never given back"
            assert not server.manager.storage.count, "something waits for the store for ever"
            if server.standby is not None:
                await server.call(server.standby.close())
            await server.call(server.manager.close())

    # -- what is left

    def _under_way(self) -> list[str]:
        """Say what is not over."""
        leases = self.database.leases.values()
        return [
            *(
                f"{lease.name} of {lease.owner} has not ended"
                for lease in leases
                if not lease.ended and lease.name != LEADER
            ),
            *(
                f"{launch!r} runs in {server.name}"
                for server in self.servers
                if not server.is_dead
                for launch in server.manager.under_way()
            ),
        ]

    def _problems_of_end(self, launch: Launched) -> list[str]:
        """Say whether a launch ended for a reason that there was none for.

        The store is never away for as long as launches wait for it.
        """
        repository = self.wanted.get(launch.name)
        never = {"store-failed", "internal"}
        if repository is not None and repository.end != "failed":
            never.add("build-failed")
        if repository is not None and not repository.missing:
            never.add("private-or-missing")
        reasons = {event.reason for event in launch.events()[-1:]} & never
        return [f"{launch.name} ended with the reason {reason}" for reason in reasons]

    def _problems(self) -> list[str]:
        problems = [*self.loop.problems]
        if not self.many and self.world.most_builds > self.max_builds:
            problems.append(f"{self.world.most_builds} builds ran, not {self.max_builds}")
        launches = [*self.launched.values()]
        for launch in launches:
            problems += invariants.problems_of_launch(launch)
            problems += self._problems_of_end(launch)
        if problems:
            return problems
        # Builds for servers that stand ready are launches of nobody.
        by_user = {user: launch_id for launch_id, user in self.users.items() if user}
        servers = [server.record for server in self.world.servers.values()]
        for record in servers:
            record.launch = by_user.get(record.launch, record.launch)
        leases = self.database.leases
        left = Left(
            servers=servers,
            builds=[key for _, key in self.world.builds.values()],
            leases=[name for name, lease in leases.items() if not lease.ended and name != LEADER],
            channels={name: each.lease for name, each in self.database.channels.items()},
            known_leases=leases,
            others=[
                *self.database.queue.names(),
                *(f"the user {user}" for user in self.world.left_users()),
            ],
        )
        return invariants.problems_of_world(launches, left)
