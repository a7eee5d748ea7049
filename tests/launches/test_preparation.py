"""What is done for a server while its environment is built."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from binderprogress.backends.base import (
    BuildItems,
    BuildResult,
    LaunchRequest,
    PairedBackend,
    Prepared,
    Record,
    ResolvedSpec,
    RunningServer,
    ServerPlan,
    WaitForTurn,
)
from binderprogress.channels.base import ChannelStore
from binderprogress.channels.durable import LeaseLimit
from binderprogress.core.log.reasons import failure
from binderprogress.core.phases import Phase
from binderprogress.core.specs import Spec, parse
from binderprogress.core.timing.breakdown import chrome
from binderprogress.errors import LeaseLimitError, TooManyRequestsError
from binderprogress.launches import Caller, Launch, LaunchManager

from ..support.asynchronous import asynchronous
from ..support.channels import SuspendingChannelStore
from ..support.durable import DurableMemoryStore, Memory
from ..support.replay import PlayedBuilder, PlayedLauncher
from .lives import kill
from .parts import WITHIN, events_of, until

SPEC = parse("gh/ada/penguins/HEAD")
BUILDING = Record("repo2docker", '{"phase": "building", "message": "Step 1/2 : RUN x\\n"}')


class Launcher(PlayedLauncher):
    """Prepares when a test says so, and counts what it made and removed."""

    prepares = True

    def __init__(self) -> None:
        super().__init__()
        self.plans: list[ServerPlan[ResolvedSpec]] = []
        self.discarded: list[ServerPlan[ResolvedSpec]] = []
        self.makes = asyncio.Event()
        self.begun = asyncio.Event()
        self.was_building: list[bool] = []
        self.holds = 0
        self.error: Exception | None = None
        self.seconds = 0.25

    async def prepare(
        self,
        plan: ServerPlan[ResolvedSpec],
        *,
        building: asyncio.Event,
        done: Callable[[Prepared], None],
    ) -> None:
        self.plans.append(plan)
        self.begun.set()
        if self.error is not None:
            raise self.error
        await self.makes.wait()
        await asyncio.sleep(self.seconds)
        done(Prepared("jupyterhub-user", "JupyterHub user made", self.seconds))
        self.was_building.append(building.is_set())
        await building.wait()
        self.holds += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.holds -= 1

    async def discard(self, plan: ServerPlan[ResolvedSpec]) -> None:
        assert not self.holds, "it is still being prepared"
        self.discarded.append(plan)

    async def stop(self, request: LaunchRequest[Any, Any]) -> None:
        assert not self.holds
        await super().stop(request)


class Server:
    """A server with such a launcher."""

    def __init__(self, store: ChannelStore | None = None, **settings: Any) -> None:
        self.builder = PlayedBuilder()
        self.launcher = Launcher()
        self.store = store or SuspendingChannelStore()
        self.manager = LaunchManager(
            channels=self.store, backend=PairedBackend(self.builder, self.launcher), **settings
        )

    async def start(self, **caller: Any) -> Launch:
        return await self.manager.start(SPEC, Caller(**caller))

    async def over(self, launch: Launch) -> None:
        """Wait until a launch is over and cleaned up."""
        await events_of(launch)
        while (task := self.manager._running.tasks.get(launch.id)) is not None:
            await asyncio.wait_for(asyncio.wait([task]), WITHIN)


@contextlib.asynccontextmanager
async def server(store: ChannelStore | None = None, **settings: Any) -> AsyncIterator[Server]:
    there = Server(store, **settings)
    await there.manager.open()
    try:
        yield there
    finally:
        await there.manager.close()


async def begun(there: Server) -> ServerPlan[ResolvedSpec]:
    await asyncio.wait_for(there.launcher.begun.wait(), WITHIN)
    return there.launcher.plans[-1]


@asynchronous(60)
async def test_a_user_is_made_during_the_build_and_the_trace_says_so() -> None:
    async with server() as there:
        there.launcher.seconds = 1.1
        launch = await there.start(user="ada")
        plan = await begun(there)
        assert (plan.name, plan.user, plan.resumed) == (SPEC.title, "ada", False)
        there.builder.put(BUILDING)
        await until(launch, lambda event: event.phase is Phase.BUILDING)
        there.launcher.makes.set()
        while not there.launcher.holds:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        there.builder.put(BuildResult("image"))
        there.launcher.put(RunningServer("http://hub.invalid/user/x/", "token"))
        await there.over(launch)
        (request,) = there.launcher.requests
        assert request.key == plan.key
        assert there.launcher.discarded == []
        assert there.launcher.holds == 0
        made = launch.trace().ahead[-1]
        assert (made.what, made.label) == ("jupyterhub-user", "JupyterHub user made")
        assert made.saved == pytest.approx(1.1, abs=0.002)
        assert 0.0 <= made.start <= made.end <= launch.trace().seconds
        slices = chrome(launch.trace())["traceEvents"]
        (shown,) = [each for each in slices if each.get("cat") == "jupyterhub-user"]
        assert shown["args"] == {"saved": made.saved}
        events = await events_of(launch)
        assert events[-1].ahead == launch.trace().ahead
        said = [event.message for event in events]
        assert "JupyterHub user made during the build (1 s saved).\n" in said
        assert {"name": "At the same time"} in [each.get("args") for each in slices]


@asynchronous(60)
async def test_what_takes_longer_than_the_build_saves_nothing() -> None:
    async with server() as there:
        launch = await there.start()
        await begun(there)
        there.builder.put(BuildResult("image", found=True))
        there.launcher.put(RunningServer("http://hub.invalid/user/x/", "token"))
        await there.over(launch)
        assert [done.what for done in launch.ahead] == ["look-up"]
        assert there.launcher.holds == 0


@pytest.mark.parametrize("end", ["failed", "cancelled"])
@asynchronous(60)
async def test_nothing_is_left_of_a_launch_without_a_server(end: str) -> None:
    async with server() as there:
        launch = await there.start()
        plan = await begun(there)
        there.launcher.makes.set()
        there.builder.put(BUILDING)
        await until(launch, lambda event: event.phase is Phase.BUILDING)
        if end == "failed":
            there.builder.put(failure("build-failed"))
        else:
            there.manager.cancel(launch)
        await there.over(launch)
        assert there.launcher.discarded == [plan]
        assert there.launcher.requests == there.launcher.stopped == []


@asynchronous(60)
async def test_nothing_is_prepared_if_no_server_is_wanted() -> None:
    async with server() as there:
        launch = await there.start(build_only=True)
        there.builder.put(BuildResult("image"))
        await there.over(launch)
        assert there.launcher.plans == there.launcher.discarded == []


@asynchronous(60)
async def test_a_launch_needs_no_preparation(caplog: pytest.LogCaptureFixture) -> None:
    async with server() as there:
        there.launcher.error = RuntimeError("a bug")
        launch = await there.start()
        await begun(there)
        there.builder.put(BuildResult("image"))
        there.launcher.put(RunningServer("http://hub.invalid/user/x/", "token"))
        await there.over(launch)
        assert launch.last.phase is Phase.READY
        assert "Nothing is prepared for" in caplog.text


class InTurn(PlayedBuilder):
    """Its builds wait for their turn."""

    async def build(self, target: ResolvedSpec) -> BuildItems:
        yield WaitForTurn()
        async with contextlib.aclosing(super().build(target)) as items:
            async for item in items:
                yield item


@asynchronous(60)
async def test_what_costs_something_waits_for_the_turn_of_the_build() -> None:
    there = Server(max_builds=1)
    there.manager._factory.backend.builder = InTurn()  # type: ignore[attr-defined] # it is a pair
    there.launcher.makes.set()
    try:
        first = await there.start(user="ada")
        while not there.launcher.holds:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        second = await there.manager.start(parse("gh/grace/penguins/HEAD"), Caller(user="grace"))
        await until(second, lambda event: event.step_key == "queued")
        while len(there.launcher.was_building) < 2:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        assert there.launcher.was_building[1] is False
        assert there.launcher.holds == 1
        there.manager.cancel(first)
        while len(there.launcher.discarded) < 1 or there.launcher.holds != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        there.manager.cancel(second)
        await there.over(second)
        assert there.launcher.holds == 0
    finally:
        await there.manager.close()


@pytest.mark.fault(
    part="The server",
    fault="is killed while something is prepared for a launch, whose build then fails",
    promise="the next server goes on with it, and removes what was prepared",
)
@pytest.mark.parametrize("ends", ["ready", "failed"])
@asynchronous(60)
async def test_a_successor_goes_on_or_removes_it(ends: str) -> None:
    memory = Memory()
    first = Server(DurableMemoryStore(memory, "one"))
    await first.manager.open()
    launch = await first.start(user="ada")
    plan = await begun(first)
    first.launcher.makes.set()
    first.builder.put(BUILDING)
    await until(launch, lambda event: event.phase is Phase.BUILDING)
    await kill(first.manager, first.store)  # type: ignore[arg-type] # it is durable
    assert first.launcher.discarded == []
    async with server(DurableMemoryStore(memory, "two")) as second:
        again = await second.manager.find(launch.id, user="ada")
        resumed = await begun(second)
        assert (resumed.key, resumed.resolved, resumed.resumed) == (plan.key, plan.resolved, True)
        if ends == "failed":
            second.builder.put(failure("build-failed"))
        else:
            second.launcher.makes.set()
            while not second.launcher.was_building:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)
            second.builder.put(BuildResult("image"))
            second.launcher.put(RunningServer("http://hub.invalid/user/x/", "token"))
        await second.over(again)
        assert [each.key for each in second.launcher.discarded] == (
            [plan.key] if ends == "failed" else []
        )
        assert [each.key for each in second.launcher.requests] == (
            [] if ends == "failed" else [plan.key]
        )
    async with server(DurableMemoryStore(memory, "three")) as third:
        # The trace outlives them.
        ended = await third.manager.find(launch.id, user="ada")
        assert ("jupyterhub-user" in [done.what for done in ended.trace().ahead]) is (
            ends == "ready"
        )


class SlowStore(DurableMemoryStore):
    """Stores launches when a test says so, or refuses them."""

    def __init__(self) -> None:
        super().__init__(Memory(), "slow")
        self.may = asyncio.Event()
        self.is_full = False

    async def lease(
        self,
        name: str,
        state: bytes,
        *,
        key: str = "",
        user: str = "",
        client: str = "",
        limits: Sequence[LeaseLimit] = (),
    ) -> None:
        if name.startswith("launch."):
            await self.may.wait()
            if self.is_full:
                raise LeaseLimitError(number=0, count=3)
        await super().lease(name, state, key=key, user=user, client=client, limits=limits)


class Resolving(PlayedBuilder):
    """Says when it looks up a commit."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = asyncio.Event()
        self.may = asyncio.Event()
        self.is_cancelled = False

    async def resolve(self, spec: Spec) -> ResolvedSpec:
        self.looks.set()
        try:
            await self.may.wait()
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise
        return await super().resolve(spec)


@contextlib.asynccontextmanager
async def resolving() -> AsyncGenerator[tuple[Resolving, SlowStore, LaunchManager]]:
    builder, store = Resolving(), SlowStore()
    manager = LaunchManager(channels=store, backend=PairedBackend(builder, PlayedLauncher()))
    await manager.open()
    try:
        yield builder, store, manager
    finally:
        await manager.close()


@asynchronous(60)
async def test_the_commit_is_looked_up_while_the_launch_is_stored() -> None:
    async with resolving() as (builder, store, manager):
        starting = asyncio.create_task(manager.start(SPEC, Caller(build_only=True)))
        await asyncio.wait_for(builder.looks.wait(), WITHIN)
        assert store.memory.leases.keys() & {"launch."} == set()
        await asyncio.sleep(0.05)
        store.may.set()
        launch = await starting
        builder.may.set()
        builder.put(BuildResult("image"))
        await events_of(launch)
        (done,) = launch.trace().ahead
        assert done.what == "look-up"
        assert 0.05 <= done.saved <= done.end


@asynchronous(60)
async def test_a_launch_that_is_refused_looks_up_nothing_any_more() -> None:
    async with resolving() as (builder, store, manager):
        store.is_full = True
        starting = asyncio.create_task(manager.start(SPEC, Caller()))
        await asyncio.wait_for(builder.looks.wait(), WITHIN)
        store.may.set()
        with pytest.raises(TooManyRequestsError):
            await starting
        await asyncio.sleep(0)
        assert builder.is_cancelled
