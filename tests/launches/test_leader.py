"""Which replica cleans up what builds have left."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest

from binderprogress.backends.base import BackendProfile, PairedBackend, ResolvedSpec, WaitForTurn
from binderprogress.channels.base import ChannelStore
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.specs import parse
from binderprogress.launches import Caller, LaunchManager, build_cleaner
from binderprogress.launches.leader import LEADER

from ..support.asynchronous import asynchronous
from ..support.durable import DurableMemoryStore, Memory
from ..support.replay import PlayedBuilder, PlayedLauncher
from .parts import WITHIN, until


class Builder(PlayedBuilder):
    """Its builds may leave something, and never end."""

    profile = BackendProfile(typical={}, leaves_builds=True, builds_go_on=True)

    def __init__(self) -> None:
        super().__init__()
        self.installation = ""
        self.rounds: list[Sequence[ResolvedSpec] | None] = []
        self.cleaned = asyncio.Event()

    def belong_to(self, installation: str) -> None:
        self.installation = installation

    async def clean_up(self, wanted: Callable[[], Awaitable[Sequence[Any] | None]]) -> None:
        self.rounds.append(await wanted())
        self.cleaned.set()


class Server:
    """A server whose builder can clean up."""

    def __init__(self, store: ChannelStore) -> None:
        self.store = store
        self.builder = Builder()
        self.manager = LaunchManager(
            channels=store, backend=PairedBackend(self.builder, PlayedLauncher())
        )

    async def cleaned(self) -> list[str] | None:
        """Wait for a round, and return the commits that were wanted."""
        self.builder.cleaned.clear()
        await asyncio.wait_for(self.builder.cleaned.wait(), WITHIN)
        wanted = self.builder.rounds[-1]
        return None if wanted is None else sorted({one.commit for one in wanted})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_cleaner, "_INTERVAL", 0.01)


@asynchronous(60)
async def test_one_of_several_replicas_cleans_up_and_knows_all_builds() -> None:
    memory = Memory()
    servers = [Server(DurableMemoryStore(memory, f"replica-{number}")) for number in range(2)]
    first, second = servers
    for server in servers:
        await server.manager.open()
    assert first.builder.installation == second.builder.installation
    assert len(first.builder.installation) == 16
    commits = []
    for server, name in ((first, "ada"), (second, "grace")):
        server.builder.put(WaitForTurn())
        launch = await server.manager.start(parse(f"gh/{name}/penguins/HEAD"), Caller())
        await until(launch, lambda event: event.step_key == "looking")
        assert launch.build is not None
        commits.append(launch.build.resolved.commit)
    await first.cleaned()
    assert await first.cleaned() == sorted(commits)
    assert second.builder.rounds == []
    # The other one goes on when this one is gone.
    await first.manager.close(hand_over=True)
    await second.cleaned()
    assert memory.leases[LEADER].owner == second.store.replica  # type: ignore[attr-defined] # it is durable
    await second.manager.close()


@asynchronous(60)
async def test_what_cannot_be_read_may_be_wanted() -> None:
    memory = Memory()
    server = Server(DurableMemoryStore(memory, "replica"))
    await server.manager.open()
    await server.store.lease("build.x", b"of a newer version")  # type: ignore[attr-defined] # it is durable
    await server.cleaned()
    assert await server.cleaned() is None
    lease = memory.leases["build.x"]
    memory.leases["build.x"] = msgspec.structs.replace(lease, ended=True)
    await server.cleaned()
    assert await server.cleaned() == []
    await server.manager.close()


@asynchronous(60)
async def test_without_a_store_each_server_cleans_up_for_itself() -> None:
    servers = [Server(MemoryChannelStore()) for _ in range(2)]
    for server in servers:
        await server.manager.open()
        await server.cleaned()
    assert servers[0].builder.installation != servers[1].builder.installation
    for server in servers:
        await server.manager.close()
