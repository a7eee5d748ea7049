"""The health of upstream BinderHubs, and their order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from traitlets import TraitError

from binderprogress.backends.binderhub.failover import Tour
from binderprogress.backends.binderhub.upstreams import Upstream, Upstreams
from binderprogress.core import specs
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
