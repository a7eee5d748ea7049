"""People who launch, watch, cancel, lose their connection, and leave."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from binderprogress.core.events import Encoded
from binderprogress.core.specs import Spec, from_address
from binderprogress.errors import (
    NotFoundError,
    ServerStoppingError,
    StorageError,
    TooManyRequestsError,
)
from binderprogress.launches import Caller, Launch, Viewer

from ..support.invariants import Connection, Launched, View
from .loop import VirtualLoop
from .processes import Died, Process

if TYPE_CHECKING:
    from .scenario import Scenario

__all__ = ["Person"]


class _Events:
    """The format of the connections: the events themselves."""

    says_when = True
    keepalive: Any = ()

    def frame(self, events: Sequence[Encoded]) -> Any:
        return events


_EVENTS = _Events()


class _Connected(Viewer):
    """A connection to a process, as that process sees it."""

    def __init__(self, scenario: Scenario, process: Process, connection: Connection) -> None:
        super().__init__()
        self.over: asyncio.Future[str] = scenario.loop.create_future()
        self._scenario = scenario
        self._process = process
        self._connection = connection

    def send(self, data: Any) -> bool:
        if self.over.done():
            # Nobody is there any more, which the process does not know yet.
            return True
        self._connection.events += [(each.id, each.json) for each in data]
        scenario = self._scenario
        if scenario.slow and scenario.random.random() < scenario.slow:
            wait = scenario.random.choice([0.1, 1.0, 20.0])
            scenario.loop.call_later(wait, self._read)
            return False
        return True

    def _read(self) -> None:
        if self.audience is not None:
            self.drained()

    def end(self) -> None:
        self.close("end")

    def drop(self) -> None:
        self.close("drop")

    def forget(self) -> None:
        self.close("forgotten")

    def restart(self, delay: float) -> None:
        self.close("restart")

    def close(self, why: str) -> None:
        self.leave()
        self.lose(why)

    def lose(self, why: str) -> None:
        if not self.over.done():
            self.over.set_result(why)


class Person:
    """Somebody who launches a repository, and the pages in which the launch is shown.

    Parameters
    ----------
    scenario : Scenario
    name : str
    """

    def __init__(self, scenario: Scenario, name: str) -> None:
        self.name = name
        self.launched: list[Launched] = []
        self._scenario = scenario
        self._random: Random = scenario.random
        self._loop: VirtualLoop = scenario.loop

    async def live(self) -> None:
        """Launch, and watch the launch to its end or for a while."""
        random = self._random
        await asyncio.sleep(random.random() * self._scenario.spread)
        repository = random.choice(self._scenario.world.repositories)
        spec = from_address(repository.url, f"branch-{self.name}")
        started = await self._start(spec)
        if started is None:
            return
        user, launch_id = started
        launched = Launched(launch_id, [])
        self.launched.append(launched)
        self._scenario.launched[launch_id] = launched
        self._scenario.users[launch_id] = user
        self._scenario.wanted[launch_id] = repository
        pages = []
        for number in range(random.choice([1, 1, 1, 2, 3])):
            view = View(f"{self.name}.{number}")
            launched.views.append(view)
            pages.append(asyncio.create_task(self._watch(view, launch_id, user)))
        if random.random() < 0.15:
            pages.append(asyncio.create_task(self._cancel(launch_id, user)))
        await asyncio.gather(*pages)

    async def _start(self, spec: Spec) -> tuple[str, str] | None:
        for attempt in range(20):
            process = self._scenario.choose()
            if process is not None:
                # Another user each time: what was started, and not answered, is somebody else's.
                user = f"{self.name}-{attempt}"
                caller = Caller(base_url="http://here.invalid/", user=user)
                try:
                    launch: Launch = await process.call(process.manager.start(spec, caller))
                    return user, launch.id
                except (Died, ServerStoppingError, StorageError, TooManyRequestsError):
                    pass
            await asyncio.sleep(1.0 + 4 * self._random.random())
        return None

    async def _watch(self, view: View, launch_id: str, user: str) -> None:
        random = self._random
        # Some leave, for good or not.
        leaves = random.choice([0, 0, 0, 1, 2])
        stays = random.random() < 0.9
        while True:
            leave_after = random.random() * self._scenario.spread * 2 if leaves else 0.0
            leaves = max(leaves - 1, 0)
            if await self._connect(view, launch_id, user, leave_after):
                return
            if leave_after and not leaves and not stays:
                view.stayed = False
                return
            await asyncio.sleep(random.choice([0.1, 1.0, 3.0]) * (0.2 + random.random()))

    async def _connect(self, view: View, launch_id: str, user: str, leave_after: float) -> bool:
        """Connect once. Return whether the stream is over."""
        scenario = self._scenario
        process = scenario.choose()
        if process is None:
            return False
        try:
            launch = await process.call(process.manager.find(launch_id, user=user))
        except (Died, StorageError):
            return False
        except NotFoundError:
            scenario.note(f"{view.name}: {process.name} does not know the launch")
            if scenario.is_forgotten(launch_id):
                view.stayed = False
                return True
            assert scenario.many, (
                f"{process.name} does not know the launch of {view.name}:"
                f" {scenario.database.leases.get(f'launch.{launch_id}')}"
            )
            return False
        if process.is_dead:
            return False
        connection = view.connect()
        viewer = _Connected(scenario, process, connection)
        process.connections[viewer] = None
        process.soon(process.fanout.join, viewer, launch, connection.after, _EVENTS)
        timer = None
        if leave_after:
            timer = self._loop.call_later(leave_after, viewer.lose, "left")
        why = await viewer.over
        if timer is not None:
            timer.cancel()
        process.connections.pop(viewer, None)
        scenario.note(f"{view.name}: {why} at {view.last}")
        if why == "left":
            process.soon(viewer.leave)
        return why == "end"

    async def _cancel(self, launch_id: str, user: str) -> None:
        await asyncio.sleep(self._random.random() * self._scenario.spread * 3)
        for _ in range(100):
            process = self._scenario.choose()
            if process is not None:
                try:
                    await process.call(_cancel(process.manager, launch_id, user))
                    return
                except (Died, StorageError):
                    pass
                except NotFoundError:
                    if not self._scenario.many or self._scenario.is_forgotten(launch_id):
                        return
            await asyncio.sleep(1.0)


async def _cancel(manager: Any, launch_id: str, user: str) -> None:
    manager.cancel(await manager.find(launch_id, user=user))
