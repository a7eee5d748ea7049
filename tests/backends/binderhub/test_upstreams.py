"""The health of upstream BinderHubs, and their order."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from traitlets import TraitError

from binderprogress.backends.binderhub.failover import Tour, UnusableError
from binderprogress.backends.binderhub.upstreams import Upstream, Upstreams
from binderprogress.core import specs
from binderprogress.core.log.reasons import failure
from binderprogress.core.specs import Spec
from binderprogress.errors import ConfigError

from ...support.asynchronous import asynchronous
from ...support.binderhub import BinderHub, healthy

SPEC = specs.parse("gh/ada/penguins/HEAD")


def three(**settings: Any) -> Upstreams:
    return Upstreams(urls=[f"https://hub-{n}.example.org" for n in range(3)], **settings)


def order(upstreams: Upstreams, spec: Spec = SPEC) -> list[int]:
    return [upstreams.hubs.index(hub) for hub in upstreams.ordered(spec)]


# -- health checks


def test_one_failure_may_be_a_hiccup() -> None:
    hub = Upstream("https://hub.example.org/")
    assert hub.healthy
    seen = []
    for problem in ("one", "two", "three", "", "four"):
        if problem:
            hub.fail(problem)
        else:
            hub.take(healthy(), 0.1)
        seen.append(hub.healthy)
    assert seen == [True, False, False, True, True]
    assert hub.problem == "four"


def test_what_it_says_itself_counts_at_once() -> None:
    hub = Upstream("https://hub.example.org/")
    bad = [{"service": "JupyterHub API", "ok": False}, {"service": "Docker registry", "ok": True}]
    hub.take({"ok": False, "checks": bad}, 0.1)
    assert not hub.healthy
    assert hub.problem == "its health check failed: JupyterHub API"
    hub.take(healthy(), 0.25)
    assert hub.state() == {
        "url": "https://hub.example.org/",
        "ok": True,
        "problem": "",
        "latency": 0.25,
        "running": 0,
        "total_pods": 3,
        "quota": 10,
    }


@pytest.mark.parametrize(
    ("pods", "quota", "room"), [(9, 10, True), (10, 10, False), (10**6, None, True), (0, 0, False)]
)
def test_room(pods: int, quota: int | None, room: bool) -> None:
    hub = Upstream("https://hub.example.org/")
    assert hub.has_room
    hub.take(healthy(pods, quota), 0.1)
    assert hub.has_room is room
    # It says no more of it.
    hub.take({"ok": True, "checks": []}, 0.1)
    assert hub.has_room


@pytest.mark.parametrize(
    "answer", [None, [], "ok", {}, {"ok": "yes"}, {"ok": 1, "checks": []}, {"checks": []}]
)
def test_what_is_no_binderhubs_health_is_a_failure(answer: Any) -> None:
    hub = Upstream("https://hub.example.org/")
    hub.take(answer, 0.1)
    hub.take(answer, 0.1)
    assert not hub.healthy


@pytest.mark.parametrize(
    "checks",
    [
        None,
        [],
        5,
        "ok",
        {"ok": False},
        [1, None],
        [{"service": "Pod quota", "total_pods": "9", "quota": True}],
    ],
)
def test_attack_checks_of_any_shape(checks: Any) -> None:
    hub = Upstream("https://hub.example.org/")
    hub.take({"ok": True, "checks": checks}, 0.1)
    assert hub.healthy
    assert hub.has_room


# -- order


def test_the_ref_does_not_matter_and_the_repository_does() -> None:
    upstreams = three()
    assert order(upstreams, SPEC.at("v2")) == order(upstreams)
    firsts = {order(upstreams, specs.parse(f"gh/ada/repository-{n}/HEAD"))[0] for n in range(100)}
    assert firsts == {0, 1, 2}


def test_those_that_are_well_and_have_room_come_first() -> None:
    upstreams = three()
    first, second, third = order(upstreams)
    upstreams.hubs[first].take(healthy(10, 10), 0.1)
    assert order(upstreams) == [second, third, first]
    upstreams.hubs[third].take({"ok": False}, 0.1)
    assert order(upstreams) == [second, first, third]
    for hub in upstreams.hubs:
        hub.take({"ok": False}, 0.1)
    # None is well: the best all the same.
    assert order(upstreams) == [first, second, third]


def test_headroom_is_kept_free() -> None:
    upstreams = three(headroom=10)
    first, *others = order(upstreams)
    upstreams.hubs[first].take(healthy(89, 100), 0.1)
    assert order(upstreams)[0] == first
    upstreams.hubs[first].take(healthy(90, 100), 0.1)
    assert order(upstreams) == [*others, first]


def shares(upstreams: Upstreams, launches: int = 3000) -> list[float]:
    """Of the launches of one repository, for each BinderHub."""
    firsts = Counter(Tour(upstreams, SPEC).next()[0].url for _ in range(launches))
    return [firsts[hub.url] / launches for hub in upstreams.hubs]


def test_random_goes_where_there_is_room() -> None:
    upstreams = three(routing="random", headroom=10)
    assert shares(upstreams) == pytest.approx([1 / 3] * 3, abs=0.06)
    for hub, pods in zip(upstreams.hubs, (90, 60, 30), strict=True):
        hub.take(healthy(pods, 100), 0.1)
    assert shares(upstreams) == pytest.approx([0, 1 / 3, 2 / 3], abs=0.06)
    # It does not say how much room it has.
    upstreams.hubs[1].take({"ok": True, "checks": []}, 0.1)
    assert shares(upstreams) == pytest.approx([0, 1 / 2, 1 / 2], abs=0.06)
    upstreams.hubs[2].take({"ok": False}, 0.1)
    assert shares(upstreams) == [0, 1, 0]


def test_weights_are_shares() -> None:
    urls = [f"https://hub-{n}.example.org" for n in range(3)]
    weights = {urls[0]: 2.0, f"{urls[1]}/": 5.0}
    random = Upstreams(urls=urls, weights=weights, routing="random")
    assert shares(random) == pytest.approx([2 / 8, 5 / 8, 1 / 8], abs=0.06)
    fixed = Upstreams(urls=urls, weights=weights)
    names = [f"gh/ada/repository-{n}/HEAD" for n in range(2000)]
    firsts = Counter(fixed.ordered(specs.parse(name))[0].url for name in names)
    assert firsts[fixed.hubs[1].url] == pytest.approx(1250, abs=120)
    with pytest.raises(ConfigError, match="is not one of"):
        Upstreams(urls=urls, weights={"https://other.example.org": 2.0})
    with pytest.raises(TraitError):
        Upstreams(urls=urls, weights={urls[0]: 0.0})


def test_a_tour_goes_on_in_its_own_order() -> None:
    """A random order that is drawn again for each attempt would come back to one that failed."""
    upstreams = three(routing="random")
    for _ in range(50):
        tour = Tour(upstreams, SPEC)
        seen = []
        for _ in upstreams.hubs:
            hub, _ = tour.next()
            assert tour.next()[0] is hub
            seen.append(hub)
            tour.fail(hub, UnusableError(failure("host-unreachable")))
        assert set(seen) == set(upstreams.hubs)


def test_a_browser_stays_where_it_was_as_long_as_that_is_well() -> None:
    upstreams = three(routing="random")
    mine = upstreams.hubs[1]
    assert {upstreams.choose(mine.host) for _ in range(50)} == {mine.host}
    assert Tour(upstreams, SPEC, preferred=mine.host).next()[0] is mine
    mine.take(healthy(10, 10), 0.1)
    assert mine.host not in {upstreams.choose(mine.host) for _ in range(50)}
    assert Tour(upstreams, SPEC, preferred=mine.host).next()[0] is not mine
    for hub in upstreams.hubs:
        hub.take({"ok": False}, 0.1)
    assert upstreams.choose("") in {hub.host for hub in upstreams.hubs}


def test_attack_a_cookie_names_any_host() -> None:
    upstreams = three(routing="random")
    hosts = {hub.host for hub in upstreams.hubs}
    assert {upstreams.choose("attacker.example.org") for _ in range(100)} == hosts


def test_where_an_image_is_comes_first_whatever_its_state() -> None:
    upstreams = three()
    first = upstreams.hubs[order(upstreams)[2]]
    first.take({"ok": False}, 0.1)
    hub, attempt = Tour(upstreams, SPEC, first=first).next()
    assert (hub, attempt) == (first, None)


def test_without_any_it_is_a_mistake_of_the_operator() -> None:
    with pytest.raises(ConfigError, match=r"c\.Upstreams\.urls"):
        Tour(Upstreams(), SPEC)


@pytest.mark.parametrize("url", ["ftp://hub.example.org", "hub.example.org", "javascript:1", ""])
def test_addresses_are_of_the_web(url: str) -> None:
    with pytest.raises(TraitError, match="not the address of a BinderHub"):
        Upstreams(urls=[url])


def test_the_same_one_twice_is_one() -> None:
    urls = ["https://a.example.org/binder", "https://a.example.org/binder/"]
    assert [hub.url for hub in Upstreams(urls=urls).hubs] == [urls[1]]


# -- watching the health


@asynccontextmanager
async def watching(*hubs: BinderHub, **settings: Any) -> AsyncIterator[Upstreams]:
    for hub in hubs:
        hub.start()
    upstreams = Upstreams(urls=[hub.url for hub in hubs], **settings)
    try:
        yield upstreams
    finally:
        await upstreams.close()
        for hub in hubs:
            await hub.stop()


@asynchronous(20)
async def test_each_is_watched(caplog: pytest.LogCaptureFixture) -> None:
    one, two = BinderHub(), BinderHub()
    two.health = healthy(12, 10)
    async with watching(one, two, health_interval=0.01) as upstreams:
        with caplog.at_level(logging.WARNING):
            upstreams.start()
            first, second = upstreams.hubs
            await state(lambda: None not in (first.latency, second.latency))
            assert (first.has_room, second.has_room) == (True, False)
            await one.kill()
            await state(lambda: not first.healthy)
            assert "Connection refused" in first.problem
            health = await upstreams.health()
            assert health["ok"] is True
            assert [hub["ok"] for hub in health["upstreams"]] == [False, True]
            two.health = {"ok": False, "checks": [{"service": "JupyterHub API", "ok": False}]}
            await state(lambda: not second.healthy)
            assert (await upstreams.health())["ok"] is False
            one.start()
            await state(lambda: first.healthy)
        assert "not healthy: Connection refused" in caplog.text
        assert f"BinderHub {first.host} is healthy again" in caplog.text


@asynchronous(20)
async def test_one_that_failed_is_left_alone_for_a_while() -> None:
    one, two = BinderHub(), BinderHub()
    settings = {"health_interval": 0.01, "failed_interval": 1000.0}
    async with watching(one, two, **settings) as upstreams:
        first, second = upstreams.hubs
        one.health = {"ok": False}
        upstreams.start()
        await state(lambda: not first.healthy)
        one.health = healthy()
        checked = 0
        # Meanwhile the other one is checked again and again.
        while checked < 20:
            second.latency = None
            await state(lambda: second.latency is not None)
            checked += 1
        assert not first.healthy


async def state(reached: Any) -> None:
    """Wait for a condition of an upstream, limited by the timeout of the test."""
    while not reached():  # noqa: ASYNC110 - what a watch finds tells nobody
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        (b"not found", 404, "its /health returned 404"),
        (b"<!doctype html>", 200, "its /health is not that of a BinderHub"),
        (b"[" * 100_000, 200, "its /health is not that of a BinderHub"),
        (
            b'{"ok": true, "more": "' + b"x" * (1 << 20) + b'"}',
            200,
            "the response is longer than 1,048,576",
        ),
        (None, 200, "no response in time"),
    ],
)
@asynchronous(20)
async def test_attack_health_of_any_shape(body: bytes | None, status: int, problem: str) -> None:
    release = asyncio.Event()

    async def handle(_: web.Request) -> web.Response:
        if body is None:
            await release.wait()
        return web.Response(body=body, status=status)

    app = web.Application()
    app.router.add_get("/health", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstreams = Upstreams(
        urls=[f"http://127.0.0.1:{runner.addresses[0][1]}"],
        health_timeout=0.1 if body is None else 5.0,
    )
    (hub,) = upstreams.hubs
    await upstreams.check(hub)
    await upstreams.check(hub)
    assert problem in hub.problem
    assert not hub.healthy
    release.set()
    await upstreams.close()
    await runner.cleanup()


def test_a_record_goes_to_the_same_one() -> None:
    upstreams = three()
    spec = specs.parse("zenodo/10.5281/zenodo.3242074")
    assert order(upstreams, spec) == order(
        upstreams, specs.parse("zenodo/doi:10.5281/zenodo.3242074")
    )
    others = [specs.parse(f"zenodo/10.5281/zenodo.{number}") for number in range(50)]
    assert {order(upstreams, other)[0] for other in others} == {0, 1, 2}
