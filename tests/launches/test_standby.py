"""Servers that stand ready: each is handed out once, and only if it answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from binderprogress.core.phases import Phase
from binderprogress.errors import ConfigError
from binderprogress.launches import standby_keeper
from binderprogress.launches.history_entry import past_of
from binderprogress.launches.stored import retirement_lease

from ..support.asynchronous import asynchronous
from ..support.durable import DurableMemoryStore, Memory
from ..support.standing import SPEC, Repositories, Site, StandingHub, eventually
from .lives import kill
from .parts import WITHIN, events_of


@asynccontextmanager
async def site(**settings: Any) -> AsyncIterator[Site]:
    async with Site(StandingHub(), Repositories(), **settings) as one:
        yield one


@asynchronous(60)
async def test_a_launch_takes_a_server_that_stands_ready() -> None:
    async with site() as one:
        before = await one.until_ready(2)
        launch = await one.start(ip="192.0.2.1")
        events = await events_of(launch)
        assert [event.phase for event in events] == [Phase.WAITING, Phase.BUILT, Phase.READY]
        assert events[1].message == "Took a server that stood ready.\n"
        assert events[1].step_key == "standby"
        last = events[-1]
        assert (last.url, last.token) in {
            (s.served.url, s.served.token) for s in before if s.served
        }
        assert last.binder_launch_host == "http://here/"
        assert last.binder_request == f"v2/{SPEC}"
        assert launch.state().commit == "1" * 40
        # It is replaced, and the one that was handed out goes on.
        await one.until_ready(2)
        assert len(one.hub.starts) == 3
        assert one.hub.stopped == []
        assert one.counts["taken"] == 1
        past = past_of(launch, launch.spans(), host="")
        assert past.took_standby
        assert not past.cold


@asynchronous(60)
async def test_each_server_is_handed_out_once() -> None:
    async with site(repositories={SPEC: 8}, budget=8) as one:
        await one.until_ready(8)
        launches = await asyncio.gather(*(one.start() for _ in range(50)))
        ends = [(await events_of(launch))[-1] for launch in launches]
        assert all(end.phase is Phase.READY for end in ends)
        assert len({end.url for end in ends}) == 50
        assert one.counts["taken"] >= 8
        assert one.counts["taken"] + one.counts["missed"] == 50
        assert set(one.hub.starts.values()) == {1}


@asynchronous(60)
async def test_launches_of_others_and_of_other_commits_take_none() -> None:
    async with site() as one:
        await one.until_ready(2)
        other = await one.start("gh/ada/others/HEAD")
        build_only = await one.start(build_only=True)
        for launch in (other, build_only):
            assert "standby" not in {event.step_key for event in await events_of(launch)}
        assert len(one.ready()) == 2
        assert one.counts == {"started": 2}


@asynchronous(60)
async def test_a_server_that_is_dead_is_not_handed_out() -> None:
    async with site() as one:
        oldest, other = sorted(await one.until_ready(2), key=lambda server: server.since)
        assert oldest.served is not None and other.served is not None
        del one.hub.running[oldest.served.url]
        launch = await one.start()
        assert (await events_of(launch))[-1].url == other.served.url
        await one.until_ready(2)
        assert one.hub.stopped == [oldest.request.key]
        assert one.counts["dead"] == 1


@asynchronous(60)
async def test_a_server_that_has_the_address_of_one_that_is_gone_is_not_handed_out() -> None:
    """Attack: whoever gets a port that became free is sent the token of another."""
    async with site(repositories={SPEC: 1}) as one:
        (server,) = await one.until_ready(1)
        assert server.served is not None
        one.hub.running[server.served.url] = "the token of another"
        launch = await one.start()
        assert (await events_of(launch))[-1].url != server.served.url


@asynchronous(60)
async def test_dead_servers_are_replaced_before_anybody_needs_them() -> None:
    async with site() as one:
        await one.until_ready(2)
        one.hub.running.clear()
        one.look()
        await eventually(lambda: one.counts["dead"] == 2)
        assert all(s.served and s.served.url in one.hub.running for s in await one.until_ready(2))


@asynchronous(60)
async def test_servers_of_an_earlier_commit_are_replaced() -> None:
    repositories = Repositories()
    async with Site(StandingHub(), repositories) as one:
        before = {server.request.key for server in await one.until_ready(2)}
        # Also an image that was built again is another one.
        repositories.commit = "2" * 40
        one.look()
        await eventually(lambda: set(one.hub.stopped) == before)
        after = await one.until_ready(2)
        assert {server.request.image for server in after} == {f"image:{'2' * 40}"}
        # It was built for them.
        assert repositories.builds == 1
        assert one.counts["replaced"] == 2
        launch = await one.start()
        assert (await events_of(launch))[-1].url in {s.served.url for s in after if s.served}


@asynchronous(60)
async def test_servers_stay_while_their_repository_cannot_be_reached() -> None:
    repositories = Repositories()
    async with Site(StandingHub(), repositories) as one:
        await one.until_ready(2)
        repositories.is_away = True
        one.look()
        await eventually(lambda: one.standby._due)
        await one.until_ready(2)
        assert one.hub.stopped == []


@asynchronous(60)
async def test_what_cannot_be_started_is_tried_again_after_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(standby_keeper, "_SHORTEST_HOLD", 0.1)
    async with site(repositories={SPEC: 1}) as one:
        one.hub.fails = True
        one.look()
        await eventually(lambda: one.counts["failed"])
        assert not one.ready()
        one.hub.fails = False
        one.look()
        await asyncio.sleep(0.2)
        one.look()
        await one.until_ready(1)


@asynchronous(60)
async def test_a_repository_that_fails_is_looked_up_less_and_less_often(
    caplog: pytest.LogCaptureFixture,
) -> None:
    repositories = Repositories()
    repositories.is_away = True
    async with Site(StandingHub(), repositories, repositories={SPEC: 1, "gh/ada/none": 0}) as one:
        for failures in range(1, 4):
            await eventually(lambda count=failures: caplog.text.count("again in") == count)  # type: ignore[misc] # it is bound now
            one.look()
        await eventually(lambda: caplog.text.count("again in") == 4)
        for pause in (30, 60, 120, 240):
            assert f"again in {pause} s." in caplog.text
        repositories.is_away = False
        one.look()
        # Of what nobody wants, nothing is looked up.
        await one.until_ready(1)
        assert "gh/ada/none" not in caplog.text


@asynchronous(60)
async def test_popular_repositories_have_servers_too() -> None:
    ranking = ["gh/ada/others/HEAD", "not a spec", SPEC]
    async with site(popular=3, popular_count=1, ranking=ranking) as one:
        servers = await one.until_ready(3)
        assert sorted(str(server.spec) for server in servers) == ["gh/ada/others/HEAD", SPEC, SPEC]


@asynchronous(60)
async def test_memory_is_a_budget() -> None:
    async with site(repositories={SPEC: 5}, memory=3 * 2**30, memory_per_server=2**30) as one:
        await one.until_ready(3)
        one.look()
        await asyncio.sleep(0.05)
        assert len(one.hub.starts) == 3


@asynchronous(60)
async def test_a_launch_that_is_cancelled_meanwhile_gives_its_server_back() -> None:
    async with site(repositories={SPEC: 1}) as one:
        (server,) = await one.until_ready(1)
        one.hub.answering.clear()
        one.hub.asked.clear()
        launch = await one.start()
        await asyncio.wait_for(one.hub.asked.wait(), WITHIN)
        assert server.is_reserved
        one.manager.cancel(launch)
        one.hub.answering.set()
        await events_of(launch)
        assert await one.until_ready(1) == [server]
        assert not server.is_reserved
        assert (await events_of(await one.start()))[-1].url == server.served.url  # type: ignore[union-attr] # it is ready


@asynchronous(60)
async def test_servers_are_stopped_with_the_last_process() -> None:
    async with site() as one:
        await one.until_ready(2)
        launch = await one.start()
        url = (await events_of(launch))[-1].url
        await one.until_ready(2)
        await one.close()
        # That of a user stays.
        assert list(one.hub.running) == [url]


@asynchronous(60)
async def test_servers_whose_jupyterhub_ends_are_forgotten() -> None:
    memory = Memory()
    one = Site(StandingHub(), Repositories(), store=stored(memory, 1))
    await one.__aenter__()
    await one.until_ready(2)
    await one.standby.close(forget=True)
    await one.manager.close()
    assert one.hub.stopped == []
    assert not_ended(memory, "standby.") == []


# -- over restarts


def stored(memory: Memory, number: int) -> DurableMemoryStore:
    return DurableMemoryStore(memory, f"process {number}")


def not_ended(memory: Memory, prefix: str) -> list[str]:
    return [
        lease.name
        for lease in memory.leases.values()
        if lease.name.startswith(prefix) and not lease.ended
    ]


async def end(one: Site) -> None:
    """End a process as SIGKILL does."""
    store = one.manager._ledger.store
    assert isinstance(store, DurableMemoryStore)
    store.die()
    one.standby._keeper._is_handing_over = True
    for task in [one.standby._running, *one.standby._keeper._starts.values()]:
        assert task is not None
        task.cancel()
    await kill(one.manager, store)


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "handed over"])
@asynchronous(60)
async def test_the_next_process_goes_on_with_the_servers(is_killed: bool) -> None:
    memory, hub, repositories = Memory(), StandingHub(), Repositories()
    first = Site(hub, repositories, store=stored(memory, 1))
    await first.__aenter__()
    before = {server.request.key for server in await first.until_ready(2)}
    await (end(first) if is_killed else first.close(hand_over=True))
    assert len(hub.running) == 2
    # Also if its repository cannot be reached at the moment.
    repositories.is_away = True
    async with Site(hub, repositories, store=stored(memory, 2)) as second:
        after = {server.request.key for server in await second.until_ready(2)}
        assert after == before
        repositories.is_away = False
        second.look()
        await eventually(lambda: second.standby._targets)
        launch = await second.start()
        assert (await events_of(launch))[-1].url in map(hub.address, before)
        assert set(hub.starts.values()) == {1}
    assert len(hub.running) == 1
    assert not_ended(memory, "") == ["leader"]


@asynchronous(60)
async def test_the_next_process_starts_what_was_being_started() -> None:
    memory, hub, repositories = Memory(), StandingHub(), Repositories()
    first = Site(hub, repositories, store=stored(memory, 1), repositories={SPEC: 1})
    hub.answering.clear()
    await first.__aenter__()
    await eventually(lambda: hub.running)
    await end(first)
    hub.answering.set()
    async with Site(hub, repositories, store=stored(memory, 2), repositories={SPEC: 1}) as second:
        await second.until_ready(1)
        assert list(hub.starts.values()) == [1]


@asynchronous(60)
async def test_a_launch_keeps_its_server_if_its_process_is_killed_at_that_moment() -> None:
    memory, hub, repositories = Memory(), StandingHub(), Repositories()
    first = Site(hub, repositories, store=stored(memory, 1), repositories={SPEC: 1})
    await first.__aenter__()
    (server,) = await first.until_ready(1)
    # Nothing that comes after the transaction is stored.
    ledger = first.manager._ledger
    claim = ledger.claim

    async def claim_and_die(*arguments: Any) -> bool:
        await claim(*arguments)
        ledger.store.die()  # type: ignore[union-attr] # it is the double
        return True

    ledger.claim = claim_and_die  # type: ignore[method-assign]
    launch = await first.start()
    await eventually(lambda: ledger.store.is_dead)
    await end(first)
    async with Site(hub, repositories, store=stored(memory, 2), repositories={SPEC: 1}) as second:
        again = await second.manager.find(launch.id)
        events = await events_of(again)
        assert events[-1].phase is Phase.READY
        assert events[-1].url == hub.address(server.request.key)
        (other,) = await second.until_ready(1)
        assert other.request.key != server.request.key
        assert set(hub.starts.values()) == {1}


@asynchronous(60)
async def test_a_server_whose_state_cannot_be_read_is_forgotten() -> None:
    memory, hub, repositories = Memory(), StandingHub(), Repositories()
    store = stored(memory, 1)
    await store.open()
    await store.lease("standby.broken", b"not a state")
    store.die()
    async with Site(hub, repositories, store=stored(memory, 2)) as second:
        await second.until_ready(2)
        assert "standby.broken" not in memory.leases


# -- with replicas


@asynchronous(60)
async def test_replicas_share_the_servers() -> None:
    memory, hub, repositories = Memory(), StandingHub(), Repositories()
    first = Site(hub, repositories, store=stored(memory, 1), budget=2)
    await first.__aenter__()
    await first.until_ready(2)
    async with Site(hub, repositories, store=stored(memory, 2), budget=2) as second:
        await eventually(lambda: second.manager.standby.wanted)
        launches = [await second.start() for _ in range(2)]
        urls = {(await events_of(launch))[-1].url for launch in launches}
        assert len(urls) == 2
        assert second.counts["taken"] == 2
        assert not second.pool
        # The first one replaces them.
        first.look()
        await eventually(lambda: len(hub.running) == 4 and len(not_ended(memory, "standby.")) == 2)
        # Then the second one goes on with them.
        await end(first)
        second.look()
        assert {s.served.url for s in await second.until_ready(2) if s.served}.isdisjoint(urls)
        assert list(hub.starts.values()) == [1, 1, 1, 1]


@asynchronous(60)
async def test_two_replicas_that_want_the_same_server_do_not_both_get_it() -> None:
    memory, hub, repositories = Memory(), StandingHub(), Repositories()
    async with (
        Site(hub, repositories, store=stored(memory, 1), repositories={SPEC: 4}, budget=4) as first,
        Site(hub, repositories, store=stored(memory, 2), repositories={SPEC: 4}, budget=4) as other,
    ):
        await eventually(
            lambda: len(not_ended(memory, "standby.")) == 4 and other.manager.standby.wanted
        )
        sites = [first, other] * 10
        launches = await asyncio.gather(*(one.start() for one in sites))
        ends = [(await events_of(launch))[-1] for launch in launches]
        assert len({end.url for end in ends}) == 20
        assert set(hub.starts.values()) == {1}


@asynchronous(60)
async def test_a_server_is_not_stopped_after_another_replica_took_it() -> None:
    memory, hub, repositories = Memory(), StandingHub(), Repositories()
    async with Site(hub, repositories, store=stored(memory, 1), repositories={SPEC: 1}) as first:
        (server,) = await first.until_ready(1)
        store = stored(memory, 2)
        await store.open()
        await store.lease("launch.elsewhere", b"")
        assert await store.claim(server.lease, to="launch.elsewhere", state=b"")
        first.standby._keeper._end(server)
        await first.until_ready(1)
        assert hub.address(server.request.key) in hub.running
        assert hub.stopped == []
        await store.drop("launch.elsewhere")
        await store.shutdown()


@asynchronous(60)
async def test_a_server_that_another_replica_stopped_is_stopped_again_after_its_start() -> None:
    """Its replica was paused as it started it, and is told to stop before it notices."""
    memory, hub, repositories = Memory(), StandingHub(), Repositories()
    silent = stored(memory, 1)
    first = Site(hub, repositories, store=silent, repositories={SPEC: 1})
    hub.answering.clear()
    await first.__aenter__()
    await eventually(lambda: hub.running)
    (server,) = first.pool.values()
    silent.pause()
    other = stored(memory, 2)
    await other.open()
    await other.take(server.lease)
    retirement = retirement_lease(server.id)
    await other.lease(retirement, b"")
    assert await other.claim(server.lease, to=retirement, state=b"")
    await other.drop(retirement)
    await other.shutdown()
    await first.close(hand_over=True)
    assert not_ended(memory, "cleanup.") == [retirement]
    hub.answering.set()
    async with Site(hub, repositories, store=stored(memory, 3), repositories={}):
        await eventually(lambda: not not_ended(memory, "cleanup."))
        assert hub.stopped == [server.request.key]
        assert not hub.running


# -- settings


def test_settings_that_cannot_be() -> None:
    hub, repositories = StandingHub(), Repositories()
    with pytest.raises(ConfigError, match=r"c\.Standby\.repositories: 'nonsense' is not valid"):
        Site(hub, repositories, repositories={"nonsense": 1})
    with pytest.raises(ConfigError, match=r"c\.Standby\.max_age is 1200 s, but .* after 900 s"):
        Site(hub, repositories, culled_after=900.0)
