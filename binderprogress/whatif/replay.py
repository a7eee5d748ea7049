"""Runs launches through a policy, on a virtual clock."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Generator
from random import Random
from statistics import median
from typing import Any

import msgspec
from simpy import Environment, Event

from ..core.rendezvous import ranked
from .demand import Demand, Request
from .hub import Hub
from .policy import Policy

__all__ = ["HOUR", "Run", "replay"]

HOUR = 3600.0


class Run(msgspec.Struct, kw_only=True):
    """What happened in a simulation.

    Attributes
    ----------
    seconds : array of float
        Duration of each launch that was ready, shortest first.
    failed : Counter
        Other launches, by reason: ``build``, ``quota`` or ``no-room``.
    begun, late : list of int
        Launches that began in each hour, and those of them that took longer than
        `Launches.late_seconds` or failed.
    handed_over : int
        Launches that got a standing server.
    placed, found : int
        Launches that started a server, and those of them whose image was on the node.
    builds : int
    most_waiting : int
        The largest number of launches in progress at the same time.
    node_hours, cost : float
    most_nodes : int
        The largest number of nodes, of all hubs together.
    """

    seconds: array[float]
    failed: Counter[str]
    begun: list[int]
    late: list[int]
    handed_over: int = 0
    placed: int = 0
    found: int = 0
    builds: int = 0
    most_waiting: int = 0
    node_hours: float = 0.0
    cost: float = 0.0
    most_nodes: int = 0

    @property
    def launches(self) -> int:
        """Number of launches."""
        return len(self.seconds) + self.failed.total()


def replay(demand: Demand, policy: Policy, rand: Random) -> Run:
    """Run launches through a policy.

    Parameters
    ----------
    demand : Demand
    policy : Policy
    rand : Random
        Decides to which hub a launch goes, if the policy leaves that to chance, and no record says
        it.
    """
    return _Replay(demand, policy, rand).run()


class _Replay:
    def __init__(self, demand: Demand, policy: Policy, rand: Random) -> None:
        self._demand = demand
        self._policy = policy
        self._rand = rand
        self._env = Environment()
        hours = int(-(-demand.seconds // HOUR))
        self._run = Run(seconds=array("d"), failed=Counter(), begun=[0] * hours, late=[0] * hours)
        self._open = 0
        self._done = self._env.event()
        self._has_all_begun = False
        self._late = policy.launches.late_seconds
        shared = {number for number, image in enumerate(demand.images) if image.is_built}
        is_shared = policy.hubs.shared_registry
        starts = [request.start for request in demand.requests]
        start_seconds = median(starts) if starts else policy.launches.start_seconds
        self._hubs = [
            Hub(
                self._env,
                policy,
                demand,
                built=shared if is_shared else set(shared),
                start_seconds=start_seconds,
            )
            for _ in range(policy.hubs.count)
        ]
        self._routes: dict[int, Hub] = {}
        recorded = demand.hubs
        self._is_as_recorded = recorded is not None and (recorded.count, recorded.routing) == (
            policy.hubs.count,
            policy.hubs.routing,
        )

    def run(self) -> Run:
        """Run until the last launch has ended."""
        self._env.process(self._arrive())
        self._env.run(until=self._done)
        run = self._run
        run.seconds = array("d", sorted(run.seconds))
        for hub in self._hubs:
            run.builds += hub.builds
            run.node_hours += hub.cluster.total_node_seconds() / HOUR
            run.most_nodes += hub.cluster.most_nodes
        run.cost = run.node_hours * self._policy.nodes.price
        return run

    def _arrive(self) -> Generator[Event, Any, None]:
        env, run = self._env, self._run
        for request in self._demand.requests:
            if request.time > env.now:
                yield env.timeout(request.time - env.now)
            self._open += 1
            run.most_waiting = max(run.most_waiting, self._open)
            env.process(self._launch(request))
        rest = self._demand.seconds - env.now
        yield env.timeout(max(rest, 0.0))
        self._has_all_begun = True
        if not self._open:
            self._done.succeed()

    def _hub(self, request: Request, repository: int) -> Hub:
        if len(self._hubs) == 1:
            return self._hubs[0]
        if self._is_as_recorded and request.hub >= 0:
            return self._hubs[request.hub]
        if self._policy.hubs.routing == "random":
            return self._rand.choice(self._hubs)
        hub = self._routes.get(repository)
        if hub is None:
            names = {f"hub-{number}": hub for number, hub in enumerate(self._hubs)}
            first = ranked(self._demand.repositories[repository], names)[0]
            hub = self._routes[repository] = names[first]
        return hub

    def _launch(self, request: Request) -> Generator[Event, Any, None]:
        env, image = self._env, request.image
        repository = self._demand.images[image].repository
        hub = self._hub(request, repository)
        yield env.timeout(request.check)
        if image not in hub.built and not (yield from hub.build(request)):
            self._failed(request, "build")
            return
        if hub.refuses(repository):
            self._failed(request, "quota")
            return
        hub.launched(repository, image)
        hub.begin(repository)
        standing = hub.take(image)
        if standing is not None:
            self._run.handed_over += 1
            node = standing.node
            yield env.timeout(self._policy.launches.handover_seconds)
        else:
            placed = yield from self._place(hub, image)
            if placed is None:
                hub.running[repository] -= 1
                self._failed(request, "no-room")
                return
            node = placed
            there = hub.cluster.pull(node, image)
            self._run.placed += 1
            self._run.found += there <= env.now
            yield env.timeout(max(there - env.now, 0.0) + request.start)
        self._ended(request, env.now - request.time)
        self._run.seconds.append(env.now - request.time)
        stay = env.timeout(request.stay + 60.0 * self._policy.servers.idle_minutes)
        stay.callbacks.append(lambda _: hub.end(repository, node, image))

    def _place(self, hub: Hub, image: int) -> Generator[Event, Any, Any]:
        """Wait for a place. Return its node; None if there is none for too long."""
        cluster = hub.cluster
        if not cluster.waiting and (node := cluster.place(image)) is not None:
            cluster.grow()  # its placeholders may lack room now
            return node
        event = cluster.wait(image)
        yield event | self._env.timeout(60.0 * self._policy.servers.patience_minutes)
        if event.triggered:
            return event.value
        cluster.leave(event)
        return None

    def _failed(self, request: Request, reason: str) -> None:
        self._run.failed[reason] += 1
        self._ended(request, float("inf"))

    def _ended(self, request: Request, seconds: float) -> None:
        hour = min(int(request.time // HOUR), len(self._run.begun) - 1)
        self._run.begun[hour] += 1
        self._run.late[hour] += seconds > self._late
        self._open -= 1
        if self._has_all_begun and not self._open:
            self._done.succeed()
