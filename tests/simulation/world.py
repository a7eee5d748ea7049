"""The world around the servers: repositories, builds, and a JupyterHub. It survives them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextvars import Context
from random import Random
from typing import Any, TypeVar

from binderprogress.backends.base import (
    PLAIN_CODEC,
    Attempt,
    BackendProfile,
    BuildResult,
    LaunchRequest,
    Prepared,
    Record,
    ResolvedSpec,
    RunningServer,
    ServerPlan,
    WaitForTurn,
)
from binderprogress.core.log.reasons import failure
from binderprogress.core.phases import Phase
from binderprogress.core.specs import Spec

from ..support import invariants
from .loop import VirtualLoop
from .processes import Process

__all__ = ["SimulatedBackend", "World"]

T = TypeVar("T")

_ATTEMPTS = 3

Line = tuple[float, Record | Attempt]


class Repository:
    """A repository, and how its build goes: the same each time it is started.

    Attributes
    ----------
    lines : list of (float, Record or Attempt)
        What a build prints, and after how many seconds.
    end : str
        ``built``, ``failed`` or ``hangs``.
    """

    def __init__(self, number: int, random: Random, pace: float) -> None:
        self.url = f"https://git.invalid/{number}"
        self.commit = f"{number:040x}"
        self.pace = pace
        self.missing = random.random() < 0.03
        self.notice = "The link is out of date." if random.random() < 0.1 else ""
        self.build_only = random.random() < 0.05
        self.end = random.choices(["built", "failed", "hangs"], [90, 7, 3])[0]
        self.lines: list[Line] = []
        pause = lambda: pace * random.random()  # noqa: E731 - it is only used here
        self.lines.append((pause(), _line("fetching", f"Cloning {number}\n")))
        for line in range(random.randint(0, 6)):
            if random.random() < 0.04:
                number = 2 + sum(isinstance(each, Attempt) for _, each in self.lines)
                self.lines.append((pause(), Attempt(number, "The disk was full.")))
            # Some come at once.
            after = pause() if random.random() < 0.6 else 0.0
            self.lines.append((after, _line("building", f"Step {line + 1}/6 : RUN {line}\n")))
        if random.random() < 0.2:
            self.lines.append((pause(), _line("pushing", "Pushing image\n")))


def _line(phase: str, text: str) -> Record:
    return Record("repo2docker", f'{{"phase": "{phase}", "message": {_quoted(text)}}}')


def _quoted(text: str) -> str:
    return '"' + text.replace("\n", "\\n") + '"'


class HubServer:
    """A server of the Hub, and what the Hub says of it."""

    def __init__(self, name: str, user: str) -> None:
        self.record = invariants.Server(
            name, launch=user, url=f"http://hub.invalid/{name}/", starts=0, is_running=False
        )
        self.state = "none"
        self.steps = 2
        self.events: list[Record] = []
        self.changed = asyncio.Event()

    def say(self, progress: int, message: str) -> None:
        self.events.append(Record("jupyterhub", {"progress": progress, "message": message}))
        self.changed.set()


class World:
    """Everything outside of the processes.

    Parameters
    ----------
    loop : VirtualLoop
    random : Random
    repositories : int
        How many there are.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        random: Random,
        *,
        note: Callable[[str], None],
        repositories: int,
    ) -> None:
        self.loop = loop
        self.note = note
        self.random = random
        pace = random.choice([0.05, 1.0, 5.0])
        self.repositories = [Repository(n, random, pace) for n in range(1, repositories + 1)]
        self.by_url = {each.url: each for each in self.repositories}
        self.images: set[str] = set()
        self.builds: dict[int, tuple[Process, str]] = {}
        """Builds of processes that run, which end with their process."""
        self.most_builds = 0
        """How many ran at the same time."""
        self.servers: dict[str, HubServer] = {}
        self.users: set[str] = set()
        """Users of the Hub, each for one server of the same name."""
        self.hub_away = False
        self.spawn_fails = random.choice([0.0, 0.0, 0.1])
        self.spawn_hangs = random.choice([0.0, 0.0, 0.03])
        self.spawn_pace = random.choice([0.05, 1.0, 8.0])
        self._arrival = 0.0
        self._context = Context()

    def died(self, process: Process) -> None:
        """End the builds of a process, as its supervisor does."""
        for number, (owner, _) in list(self.builds.items()):
            if owner is process:
                del self.builds[number]

    # -- requests of processes

    async def ask(self, answer: Callable[[], T]) -> T:
        """Send a request to the Hub. It arrives even if the process ends meanwhile.

        Requests arrive in the order in which they are sent.

        Raises
        ------
        ConnectionError
            If the Hub does not answer.
        """
        future: asyncio.Future[T] = self.loop.create_future()

        def arrive() -> None:
            if self.hub_away:
                self.later(0.5, lambda: _settle(future, error=ConnectionError()))
            else:
                result = answer()
                self.later(self.random.random() * 0.1, lambda: _settle(future, result))

        self._arrival = max(self._arrival, self.loop.now + self.random.random() * 0.1)
        self.later(self._arrival - self.loop.now, arrive)
        # Not two at the same time, which the loop may exchange.
        self._arrival += 1e-6
        return await future

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """Do something later, whatever happens to the processes."""
        self.loop.call_later(seconds, call, context=self._context)

    def start(self, name: str, user: str) -> HubServer:
        """Start a server, unless it runs or is starting."""
        self.users.add(name)
        server = self.servers.get(name)
        if server is None:
            server = self.servers[name] = HubServer(name, user)
        if server.state in {"starting", "ready"}:
            return server
        self.note(f"the Hub starts {name} for {user}")
        server.state = "starting"
        server.events = []
        server.record.starts += 1
        server.record.is_running = True
        server.steps = 2 + self.random.choice([0, 0, 1, 3])
        server.say(0, "Server requested")
        self._continue(server, server.record.starts, 1)
        return server

    def _continue(self, server: HubServer, start: int, step: int) -> None:
        def go() -> None:
            if server.state != "starting" or server.record.starts != start:
                return
            if step == 1:
                server.say(50, "Spawning server...")
                if self.random.random() >= self.spawn_hangs:
                    self._continue(server, start, 2)
            elif step < server.steps:
                server.say(50 + 10 * step, f"It is at {step}")
                self._continue(server, start, step + 1)
            elif self.random.random() < self.spawn_fails:
                server.state = "failed"
                server.record.failures += 1
                server.record.is_running = False
                server.changed.set()
            else:
                server.state = "ready"
                server.changed.set()

        self.later(self.random.random() * self.spawn_pace, go)

    def make_user(self, name: str) -> None:
        """Make a user before its server is asked for."""
        self.note(f"the Hub makes the user {name}")
        self.users.add(name)

    def left_users(self) -> list[str]:
        """Return the users without a server that runs."""
        running = {name for name, each in self.servers.items() if each.record.is_running}
        return sorted(self.users - running)

    def stop(self, name: str) -> None:
        """Remove a server and its user."""
        self.users.discard(name)
        server = self.servers.get(name)
        self.note(f"the Hub stops {name}")
        if server is not None:
            if server.state in {"starting", "ready"}:
                server.record.failures += 1
            server.state = "stopped"
            server.record.is_running = False
            server.changed.set()


def _settle(
    future: asyncio.Future[Any], result: Any = None, error: Exception | None = None
) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


class SimulatedBackend:
    """A process's way to the world; see `backends.base.Backend`.

    Parameters
    ----------
    world : World
    process : Process
    """

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process
        self._cleanups: dict[str, asyncio.Task[None]] = {}
        self.profile = BackendProfile(
            typical={Phase.FETCHING: 1.0, Phase.BUILDING: 5.0, Phase.LAUNCHING: 3.0}
        )
        self.codec = PLAIN_CODEC
        process.at_death.append(lambda: world.died(process))

    async def resolve(self, spec: Spec) -> ResolvedSpec:
        repository = self._world.by_url[spec.repo_url]
        await asyncio.sleep(self._world.random.random() * repository.pace)
        if repository.missing:
            raise failure("private-or-missing")
        return ResolvedSpec(
            spec, repository.commit, notice=repository.notice, build_only=repository.build_only
        )

    async def build(
        self, resolved: ResolvedSpec
    ) -> AsyncGenerator[Record | Attempt | WaitForTurn | BuildResult, None]:
        world = self._world
        repository = world.by_url[resolved.spec.repo_url]
        await asyncio.sleep(world.random.random() * 0.1)
        image = f"image-{repository.commit}"
        if image in world.images:
            yield BuildResult(image, found=True)
            return
        yield WaitForTurn()
        number = world.loop.steps
        world.builds[number] = self._process, resolved.key
        world.most_builds = max(world.most_builds, len(world.builds))
        try:
            for after, line in repository.lines:
                if after:
                    await asyncio.sleep(after)
                yield line
            if repository.end == "hangs":
                await asyncio.sleep(10_000.0)
            if repository.end == "failed":
                raise failure("build-failed")
            world.images.add(image)
            yield BuildResult(image)
        finally:
            try:
                # Its processes take a moment to end.
                await asyncio.sleep(0.01)
            finally:
                world.builds.pop(number, None)

    async def launch(
        self, request: LaunchRequest[ResolvedSpec, BuildResult]
    ) -> AsyncGenerator[Record | Attempt | RunningServer, None]:
        world = self._world
        for attempt in range(request.attempt, _ATTEMPTS + 1):
            server = await self._ask(lambda: world.start(request.key, request.user))
            sent = 0
            while server.state in {"starting", "ready"}:
                server.changed.clear()
                for record in server.events[sent:]:
                    yield record
                sent = len(server.events)
                if server.state == "ready":
                    yield RunningServer(server.record.url, request.token)
                    return
                await server.changed.wait()
            if attempt < _ATTEMPTS:
                yield Attempt(attempt + 1, "The spawn failed.")
                await self._ask(lambda: world.stop(request.key))
                await asyncio.sleep(1.0)
        raise failure("spawn-failed")

    prepares = True

    async def prepare(
        self,
        plan: ServerPlan[ResolvedSpec],
        *,
        building: asyncio.Event,
        done: Callable[[Prepared], None],
    ) -> None:
        try:
            await self._world.ask(lambda: self._world.make_user(plan.key))
        except ConnectionError:
            return
        done(Prepared("jupyterhub-user", "JupyterHub user made", 0.1))
        await building.wait()

    async def discard(self, plan: ServerPlan[ResolvedSpec]) -> None:
        await self._ask(lambda: self._world.stop(plan.key))

    async def _ask(self, answer: Callable[[], T]) -> T:
        for _ in range(60):
            try:
                return await self._world.ask(answer)
            except ConnectionError:
                await asyncio.sleep(1.0)
        raise failure("hub-unreachable")

    async def stop(self, request: LaunchRequest[ResolvedSpec, BuildResult]) -> None:
        await self._ask(lambda: self._world.stop(request.key))

    async def answers(self, served: RunningServer) -> bool:
        """Ask a server whether it answers."""

        def answer() -> bool:
            servers = self._world.servers.values()
            return any(one.record.url == served.url and one.state == "ready" for one in servers)

        try:
            return await self._world.ask(answer)
        except ConnectionError:
            return False

    async def close(self) -> None:
        pass
