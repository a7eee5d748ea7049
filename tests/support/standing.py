"""What tests of servers that stand ready have in place of repositories and a JupyterHub."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from binderprogress.backends.base import (
    PLAIN_CODEC,
    Attempt,
    BackendProfile,
    BuildResult,
    LaunchRequest,
    PairedBackend,
    Record,
    ResolvedSpec,
    RunningServer,
    WaitForTurn,
)
from binderprogress.channels.base import ChannelStore
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.log.reasons import failure
from binderprogress.core.phases import Phase
from binderprogress.core.specs import Spec, parse
from binderprogress.core.standby import State
from binderprogress.launches import Caller, Launch, LaunchManager
from binderprogress.launches.standby import Standby
from binderprogress.launches.standby_server import StandbyServer

__all__ = ["SPEC", "Repositories", "Site", "StandingHub", "eventually"]

SPEC = "gh/ada/penguins/HEAD"

WITHIN = 60.0


class Repositories:
    """Repositories that all have the same commit, and their environments.

    Attributes
    ----------
    commit : str
    built : set of str
        The commits whose environments exist.
    builds : int
        How many environments were made.
    is_away : bool
        Whether nothing can be resolved.
    """

    codec = PLAIN_CODEC
    profile = BackendProfile(typical={Phase.LAUNCHING: 5.0})

    def __init__(self) -> None:
        self.commit = "1" * 40
        self.built = {self.commit}
        self.builds = 0
        self.is_away = False

    async def resolve(self, spec: Spec) -> ResolvedSpec:
        await asyncio.sleep(0)
        if self.is_away:
            raise failure("host-unreachable")
        return ResolvedSpec(spec, self.commit)

    async def build(
        self, resolved: ResolvedSpec
    ) -> AsyncGenerator[Record | Attempt | WaitForTurn | BuildResult, None]:
        found = resolved.commit in self.built
        if not found:
            yield WaitForTurn()
            self.builds += 1
            self.built.add(resolved.commit)
        yield BuildResult(f"image:{resolved.commit}", found=found)


class StandingHub:
    """A JupyterHub whose servers start at once, and go on when processes are killed.

    Attributes
    ----------
    running : dict
        The tokens of the servers that run, by address.
    starts : Counter
        How often the server of each key was started.
    stopped : list of str
        The keys of servers that were stopped.
    fails : bool
        Whether servers cannot be started now.
    """

    def __init__(self) -> None:
        self.running: dict[str, str] = {}
        self.starts: Counter[str] = Counter()
        self.stopped: list[str] = []
        self.fails = False
        self.answering = asyncio.Event()
        """Whether servers that run answer; otherwise, requests wait."""
        self.answering.set()
        self.asked = asyncio.Event()

    async def launch(
        self, request: LaunchRequest[ResolvedSpec, BuildResult]
    ) -> AsyncGenerator[Record | Attempt | RunningServer, None]:
        yield Record("jupyterhub", {"progress": 0, "message": "Server requested"})
        if self.fails:
            raise failure("spawn-failed")
        url = self.address(request.key)
        if url not in self.running:
            self.starts[request.key] += 1
            self.running[url] = request.token
        assert self.running[url] == request.token, "two requests have the same key"
        yield RunningServer(url, request.token)

    async def stop(self, request: LaunchRequest[ResolvedSpec, BuildResult]) -> None:
        await asyncio.sleep(0)
        self.stopped.append(request.key)
        self.running.pop(self.address(request.key), None)

    async def close(self) -> None:
        pass

    @staticmethod
    def address(key: str) -> str:
        return f"http://hub.invalid/user/{key}/"

    async def answers(self, server: RunningServer) -> bool:
        """Ask a server, as `JupyterProbe` does."""
        self.asked.set()
        await self.answering.wait()
        return self.running.get(server.url) == server.token


async def eventually(is_true: Callable[[], Any]) -> None:
    """Wait until something is true. There is no event for it."""
    async with asyncio.timeout(WITHIN):
        while not is_true():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)


class _Probe:
    def __init__(self, hub: StandingHub) -> None:
        self.answers = hub.answers

    async def close(self) -> None:
        pass


class Site:
    """A server with servers that stand ready.

    Parameters
    ----------
    hub : StandingHub
    source : Repositories
    store : ChannelStore, optional
    ranking : sequence of str
        The popular repositories.
    settings
        Of `Standby`.
    """

    def __init__(
        self,
        hub: StandingHub,
        source: Repositories,
        *,
        store: ChannelStore | None = None,
        ranking: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        self.hub = hub
        backend = PairedBackend(source, hub)
        self.manager = LaunchManager(
            channels=store or MemoryChannelStore(), backend=backend, max_launches_per_client=0
        )

        async def popular(most: int) -> Sequence[str]:
            return ranking[:most]

        settings = {"repositories": {SPEC: 2}, "starts": 100, **settings}
        self.standby = Standby(
            launches=self.manager,
            backend=backend,
            make_probe=lambda **_: _Probe(hub),
            read_spec=parse,
            ranking=popular,
            **settings,
        )

    async def __aenter__(self) -> Site:
        await self.manager.open()
        self.standby.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, *, hand_over: bool = False) -> None:
        await asyncio.wait_for(self.standby.close(hand_over=hand_over), WITHIN)
        await asyncio.wait_for(self.manager.close(hand_over=hand_over), WITHIN)

    @property
    def pool(self) -> dict[str, StandbyServer]:
        return self.manager.standby.servers

    @property
    def counts(self) -> Counter[str]:
        return self.manager.standby.counts

    def ready(self) -> list[StandbyServer]:
        """List the servers here that stand ready."""
        return [one for one in self.pool.values() if one.state is State.READY]

    async def until_ready(self, count: int) -> list[StandbyServer]:
        """Wait until this number of servers stands ready, and nothing else is done."""
        await eventually(lambda: len(self.ready()) == len(self.pool) == count)
        return self.ready()

    async def start(self, spec: str = SPEC, **caller: Any) -> Launch:
        return await self.manager.start(parse(spec), Caller(base_url="http://here/", **caller))

    def look(self) -> None:
        """Have it look for new commits now, instead of in some minutes."""
        self.standby._due.clear()
        self.standby._ranked_at = None
        self.standby._checked_at = -1e9
        self.standby._is_changed.set()
