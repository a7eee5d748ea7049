"""BinderHub upstreams, with doubles that are as strict as the real one, over real connections."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from binderprogress.backends.base import PairedBackend
from binderprogress.backends.binderhub.backend import UpstreamBuilder, UpstreamLauncher
from binderprogress.backends.binderhub.upstreams import Upstreams
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core import specs
from binderprogress.core.events import Event
from binderprogress.core.phases import Phase
from binderprogress.core.specs import Spec
from binderprogress.launches import Caller, Launch, LaunchManager

from ...launches.parts import events_of, until
from ...support.asynchronous import asynchronous
from ...support.binderhub import FULL, BinderHub, recorded

PAUSES = [0.01] * 5
LOG = [event for event in recorded("ok") if event.get("phase") not in {"launching", "ready"}][:-1]


class Front:
    """A server in front of BinderHubs."""

    def __init__(self, hubs: tuple[BinderHub, ...], settings: dict[str, Any]) -> None:
        urls = [hub.url for hub in hubs]
        self.upstreams = Upstreams(urls=urls, **{"pauses": PAUSES, **settings})
        self.manager = LaunchManager(
            channels=MemoryChannelStore(),
            backend=PairedBackend(
                UpstreamBuilder(self.upstreams), UpstreamLauncher(self.upstreams)
            ),
        )

    def spec(self, first: BinderHub | None = None) -> Spec:
        """Return a spec that is to go to one of them."""
        for number in range(1000):
            spec = specs.parse(f"gh/ada/repository-{number}/HEAD")
            if first is None or self.upstreams.ordered(spec)[0].url == first.url:
                return spec
        raise AssertionError

    async def start(self, first: BinderHub | None = None) -> Launch:
        return await self.manager.start(self.spec(first), Caller(base_url="http://here/", ip="::1"))


@asynccontextmanager
async def front(*hubs: BinderHub, **settings: Any) -> AsyncIterator[Front]:
    for hub in hubs:
        hub.start()
    made = Front(hubs, settings)
    try:
        yield made
    finally:
        await made.manager.close()
        for hub in hubs:
            await hub.stop()


def messages(events: list[Event]) -> list[str]:
    return [event.message for event in events if event.message]


def reached(phase: Phase) -> Callable[[Event], bool]:
    return lambda event: event.phase is phase


def trying(events: list[Event]) -> list[Event]:
    return [event for event in events if "Trying another BinderHub" in event.message]


# -- one BinderHub


@asynchronous(20)
async def test_one_stream_leads_from_the_build_to_the_server() -> None:
    hub = BinderHub()
    async with front(hub) as made:
        events = await events_of(await made.start())
        expected = [event["message"] for event in LOG if event["message"].strip()]
        assert messages(events)[1 : len(expected) + 1] == expected
        last = events[-1]
        assert (last.phase, last.url) == (Phase.READY, f"{hub.url}user/someone/")
        original = recorded("ok")[-1]
        # What it knows better than we do.
        assert last.token == original["token"]
        assert last.image == original["image"]
        assert last.binder_persistent_request == original["binder_persistent_request"]
        assert last.binder_launch_host == "http://here/"
        # The token is for the one who launched, and the build's log is everybody's.
        assert not any(original["token"] in str(event) for event in events[:-1])
        steps = {event.step_key for event in events if event.phase is Phase.LAUNCHING}
        assert {"requested", "starting"} <= steps
        await hub.idle.wait()
        assert (hub.requests, hub.builds, hub.launches) == ([str(made.spec())], 1, 1)


@asynchronous(20)
async def test_launches_share_a_build_and_get_a_server_each() -> None:
    hub = BinderHub()
    async with front(hub) as made:
        hub.go_on.clear()
        launches = [await made.start() for _ in range(20)]
        for launch in launches:
            await until(launch, lambda event: "Waiting for build" in event.message)
        assert len(hub.requests) == 1
        hub.go_on.set()
        ends = [(await events_of(launch))[-1] for launch in launches]
        assert {end.phase for end in ends} == {Phase.READY}
        await hub.idle.wait()
        assert (hub.builds, hub.launches, len(hub.requests)) == (1, 20, 20)
        # One that comes later finds the image.
        events = await events_of(await made.start())
        assert "Found the environment.\n" in messages(events)
        assert (hub.builds, hub.launches) == (1, 21)


@pytest.mark.fault(
    part="A BinderHub",
    fault="loses the connection during a build",
    promise="the build is joined again, without gaps or repeats",
)
@pytest.mark.parametrize("cuts", [{1: 10}, {1: 1, 2: 2, 3: 3}, {1: 10, 2: 20, 3: 5, 4: 25}])
@asynchronous(20)
async def test_a_cut_build_goes_on_without_gaps_or_repeats(cuts: dict[int, int]) -> None:
    hub = BinderHub(cuts=cuts, pace=0.02)
    async with front(hub) as made:
        events = await events_of(await made.start())
        again = [text for text in messages(events) if "Reconnecting" in text]
        assert len(again) == len(cuts)
        assert all(text.startswith("127.0.0.1:") for text in again)
        expected = [event["message"] for event in LOG if event["message"].strip()]
        lines = [text for text in messages(events) if text not in again]
        assert lines[1 : len(expected) + 1] == expected
        assert events[-1].phase is Phase.READY
        assert (hub.builds, hub.launches, len(hub.requests)) == (1, 1, len(cuts) + 1)


@asynchronous(20)
async def test_an_image_that_came_while_the_connection_was_cut_is_not_called_found() -> None:
    hub = BinderHub(cuts={1: 10})
    async with front(hub, pauses=[0.3]) as made:
        events = await events_of(await made.start())
        assert hub.builds == 1
        assert "Built the environment.\n" in messages(events)


@pytest.mark.fault(
    part="A BinderHub",
    fault="loses the connection while it starts a server",
    promise="no second server is requested",
)
@pytest.mark.parametrize("count", [0, 1, 2])
@asynchronous(20)
async def test_a_launch_that_is_cut_is_not_made_twice(count: int) -> None:
    """The BinderHub may have started a server that nobody uses. This must be reported."""
    # After `built`, `launching`, and what follows.
    hub = BinderHub(cuts={1: len(LOG) + 1 + count})
    async with front(hub, BinderHub()) as made:
        launch = await made.start(first=hub)
        last = (await events_of(launch))[-1]
        assert (last.phase, last.reason) == (Phase.FAILED, "connection-lost")
        assert len(hub.requests) == 1
        assert hub.launches == min(count, 1)


@asynchronous(20)
async def test_a_first_request_that_is_cut_unheard_is_made_again_with_a_word() -> None:
    hub = BinderHub(cuts={1: 0})
    async with front(hub) as made:
        events = await events_of(await made.start())
        assert events[-1].phase is Phase.READY
        assert any("an unused server may be starting" in event.message for event in events)
        # Once, and not unseen: to send a GET again is a client's habit.
        assert (len(hub.requests), hub.launches) == (2, 1)


@asynchronous(20)
async def test_an_own_request_that_is_cut_unheard_may_have_a_server() -> None:
    hub = BinderHub(cuts={2: 0})
    async with front(hub) as made:
        hub.gate["launching"] = asyncio.Event()
        launches = [await made.start(), await made.start()]
        for launch in launches:
            await until(launch, reached(Phase.LAUNCHING))
        hub.gate["launching"].set()
        ends = [(await events_of(launch))[-1] for launch in launches]
        assert sorted(end.reason for end in ends) == ["", "connection-lost"]
        assert len(hub.requests) == 2


@asynchronous(20)
async def test_a_failed_build_is_explained_and_its_connection_closed() -> None:
    hub, other = BinderHub("badbuild"), BinderHub()
    async with front(hub, other) as made:
        events = await events_of(await made.start(first=hub))
        last = events[-1]
        assert (last.phase, last.reason) == (Phase.FAILED, "unsatisfiable-requirement")
        assert last.evidence
        # It keeps the connection open for ever; and a repository that is broken is so everywhere.
        await hub.idle.wait()
        assert other.requests == []


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Could not resolve ref for gh:a/b/c. Double check your URL and that …", "unresolved"),
        ("Sorry, a/b/c is not allowed to launch. Please contact admins!", "banned"),
        ("Something else", "unknown"),
    ],
)
@asynchronous(20)
async def test_what_is_wrong_with_a_repository_is_wrong_everywhere(
    message: str, reason: str
) -> None:
    hub, other = BinderHub(), BinderHub()
    hub.refusal = {"phase": "failed", "message": f"{message}\n"}
    async with front(hub, other) as made:
        last = (await events_of(await made.start(first=hub)))[-1]
        assert last.reason == reason
        assert other.requests == []


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"message": "Failed to launch image x\n"}, "spawn-failed"),
        ({"message": "Oh\n"}, "spawn-failed"),
        ({"message": "Internal Server Error\n", "status_code": 500}, "spawn-failed"),
        ({"message": "Server at http://x didn't respond in 30 seconds\n"}, "server-did-not-answer"),
        ({}, "spawn-failed"),
    ],
)
@asynchronous(20)
async def test_a_server_that_does_not_come_up_is_not_sought_elsewhere(
    event: dict[str, Any], reason: str
) -> None:
    hub, other = BinderHub(), BinderHub()
    hub.instead["ready"] = {"phase": "failed", **event}
    async with front(hub, other) as made:
        last = (await events_of(await made.start(first=hub)))[-1]
        assert (last.phase, last.reason) == (Phase.FAILED, reason)
        assert other.requests == []


@pytest.mark.parametrize("url", ["javascript:alert(1)", "file:///etc/passwd", ""])
@asynchronous(20)
async def test_attack_a_server_elsewhere_than_on_the_web(url: str) -> None:
    hub = BinderHub()
    hub.server_url = url
    async with front(hub) as made:
        last = (await events_of(await made.start()))[-1]
        assert (last.phase, last.reason, last.url) == (Phase.FAILED, "spawn-failed", "")
        assert "address that is not http" in last.message


@asynchronous(20)
async def test_folders_of_this_machine_are_not_asked_for() -> None:
    hub = BinderHub()
    async with front(hub) as made:
        spec = specs.from_address("file:///srv/secret")
        last = (await events_of(await made.manager.start(spec, Caller())))[-1]
        assert (last.reason, hub.requests) == ("refused", [])


# -- cancelled launches


@asynchronous(20)
async def test_when_all_leave_a_build_its_stream_is_closed() -> None:
    hub = BinderHub(pace=0.01)
    async with front(hub) as made:
        launches = [await made.start(), await made.start()]
        for launch in launches:
            await until(launch, reached(Phase.BUILDING))
        for launch in launches:
            made.manager.cancel(launch)
        await hub.idle.wait()
        assert (hub.launches, len(hub.requests)) == (0, 1)
        assert made.upstreams.hubs[0].running == 0


@asynchronous(20)
async def test_when_all_leave_as_it_is_built_nobody_takes_the_server(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hub = BinderHub()
    hub.gate["launching"] = asyncio.Event()
    async with front(hub) as made:
        launch = await made.start()

        def leave() -> None:
            if launch.last.phase is Phase.BUILT:
                made.manager.cancel(launch)

        launch.changed.add(leave)
        with caplog.at_level(logging.WARNING):
            await until(launch, reached(Phase.CANCELLED))
            await hub.left.wait()
        hub.gate["launching"].set()
        await hub.idle.wait()
        assert hub.launches == 0
        assert "unused server" in caplog.text


@asynchronous(20)
async def test_who_leaves_while_launching_leaves_a_word(caplog: pytest.LogCaptureFixture) -> None:
    hub = BinderHub()
    hub.gate["ready"] = asyncio.Event()
    async with front(hub) as made:
        launch = await made.start()
        await until(launch, lambda event: event.message == "Spawning server...\n")
        made.manager.cancel(launch)
        with caplog.at_level(logging.WARNING):
            await hub.left.wait()
        hub.gate["ready"].set()
        await hub.idle.wait()
        assert f"unused server of {launch.spec} may be starting" in caplog.text


# -- several BinderHubs


@asynchronous(20)
async def test_one_that_is_gone_before() -> None:
    one, two = BinderHub(), BinderHub()
    async with front(one, two) as made:
        await one.kill()
        events = await events_of(await made.start(first=one))
        (event,) = trying(events)
        assert event.step == f"Trying another BinderHub: {two.url.split('/')[2]}"
        assert "Connection refused" in event.message
        assert event.attempt == 2
        assert events[-1].phase is Phase.READY
        assert (one.launches, two.launches) == (0, 1)


@pytest.mark.fault(
    part="A BinderHub",
    fault="is gone during a build",
    promise="another one is used",
)
@asynchronous(20)
async def test_one_that_is_gone_while_building() -> None:
    one, two = BinderHub(pace=0.01), BinderHub()
    async with front(one, two) as made:
        launch = await made.start(first=one)
        await until(launch, reached(Phase.BUILDING))
        await one.kill()
        events = await events_of(launch)
        assert len(trying(events)) == 1
        assert sum("Reconnecting" in event.message for event in events) == len(PAUSES)
        assert events[-1].phase is Phase.READY
        assert (one.launches, two.launches, len(two.requests)) == (0, 1, 1)


@pytest.mark.fault(
    part="A BinderHub",
    fault="is gone during a build, and comes back",
    promise="the build is joined again",
)
@asynchronous(20)
async def test_one_that_comes_back_while_building() -> None:
    one, two = BinderHub(pace=0.01), BinderHub()
    async with front(one, two, pauses=[0.05] * 5) as made:
        launch = await made.start(first=one)
        await until(launch, reached(Phase.BUILDING))
        await one.kill()
        await until(launch, lambda event: "Reconnecting" in event.message)
        one.start()
        events = await events_of(launch)
        assert events[-1].phase is Phase.READY
        assert (one.launches, one.builds, two.requests) == (1, 2, [])
        # What it says again is told once, although it builds anew.
        expected = [event["message"] for event in LOG if event["message"].strip()]
        again = [text for text in messages(events) if "Reconnecting" not in text]
        assert again[1 : len(expected) + 1] == expected


@asynchronous(20)
async def test_one_that_is_gone_after_building() -> None:
    one, two = BinderHub(), BinderHub()
    one.gate["ready"] = asyncio.Event()
    async with front(one, two) as made:
        launch = await made.start(first=one)
        await until(launch, reached(Phase.LAUNCHING))
        await one.kill()
        last = (await events_of(launch))[-1]
        # It may have a server by now: another one is for a person to ask for.
        assert (last.phase, last.reason) == (Phase.FAILED, "connection-lost")
        assert two.requests == []


RATE = {"phase": "failed", "status_code": 429, "message": "Rate limit exceeded. Try again in 60 s."}


@pytest.mark.fault(
    part="A BinderHub",
    fault="refuses",
    promise="another one is used",
)
@pytest.mark.parametrize(
    ("refusal", "why"),
    [
        (429, "Too many requests"),
        (502, "the response was 502 Bad Gateway"),
        (404, "the response was 404 Not Found"),
        (200, "the response was 200 OK"),
        (RATE, "Too many requests"),
        (FULL, "The limit on running servers has been reached."),
        ({"phase": "failed", "status_code": 500, "message": "Oh\n"}, "Something went wrong"),
        ({"phase": "failed", "message": "Requests from ::1 are not allowed"}, "not allowed here"),
    ],
)
@asynchronous(20)
async def test_one_that_refuses(refusal: int | dict[str, Any], why: str) -> None:
    one, two = BinderHub(), BinderHub()
    one.refusal = refusal
    async with front(one, two) as made:
        events = await events_of(await made.start(first=one))
        (event,) = trying(events)
        assert why in event.message
        assert events[-1].phase is Phase.READY
        assert (one.launches, two.launches) == (0, 1)


@asynchronous(20)
async def test_one_that_is_full_once_it_has_built() -> None:
    one, two = BinderHub(), BinderHub()
    one.instead["launching"] = FULL
    async with front(one, two) as made:
        events = await events_of(await made.start(first=one))
        (event,) = trying(events)
        assert (event.phase, event.attempt) == (Phase.LAUNCHING, 2)
        assert "limit on running servers" in event.message
        assert events[-1].phase is Phase.READY
        assert (one.launches, two.builds, two.launches) == (0, 1, 1)


@asynchronous(20)
async def test_when_none_does_it_each_says_why() -> None:
    one, two, three = BinderHub(), BinderHub(), BinderHub()
    one.refusal, two.refusal = 503, FULL
    async with front(one, two, three) as made:
        await three.kill()
        last = (await events_of(await made.start()))[-1]
        assert (last.phase, last.reason) == (Phase.FAILED, "quota")
        one_host, two_host, three_host = (hub.host for hub in made.upstreams.hubs)
        for part in (
            "All BinderHubs failed.",
            f"{one_host}: This BinderHub cannot be used: the response was 503 Service Unavailable.",
            f"{two_host}: The limit on running servers has been reached.",
            f"{three_host}: This BinderHub cannot be used: Connection refused.",
        ):
            assert part in last.message
        assert last.advice


@asynchronous(20)
async def test_more_than_our_own_limit_goes_to_another() -> None:
    one, two = BinderHub(), BinderHub()
    one.gate["ready"] = two.gate["ready"] = asyncio.Event()
    async with front(one, two, max_running=1) as made:
        launches = [await made.start(first=one)]
        await until(launches[0], reached(Phase.LAUNCHING))
        launches.append(await made.start(first=one))
        await until(launches[1], reached(Phase.LAUNCHING))
        assert (len(one.requests), len(two.requests)) == (1, 1)
        full = (await events_of(await made.start(first=one)))[-1]
        assert full.reason == "quota"
        assert full.message.count("already has 1 launches there") == 2
        one.gate["ready"].set()
        for launch in launches:
            assert (await events_of(launch))[-1].phase is Phase.READY


# -- redirects


@asynccontextmanager
async def redirecting(target: Callable[[web.Request], str]) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": target(request)})

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@asynchronous(20)
async def test_a_federation_sends_on() -> None:
    hub = BinderHub()
    async with front(hub) as made:
        async with redirecting(lambda request: hub.url + request.path[1:]) as url:
            made.upstreams.hubs[0].url = url
            last = (await events_of(await made.start()))[-1]
        assert (last.phase, hub.launches) == (Phase.READY, 1)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ws://127.0.0.1/", "/again"])
@asynchronous(20)
async def test_attack_redirects_elsewhere_or_without_end(location: str) -> None:
    hub = BinderHub()
    async with front(hub, pauses=[]) as made:
        async with redirecting(lambda _: location) as url:
            made.upstreams.hubs[0].url = url
            last = (await events_of(await made.start()))[-1]
        assert (last.phase, last.reason) == (Phase.FAILED, "host-unreachable")


# -- records, which have no ref


@pytest.mark.parametrize(
    "text",
    [
        "zenodo/10.5281/zenodo.3242074",
        "figshare/10.6084/m9.figshare.9782777.v1",
        "hydroshare/8f7c2f0341ef4180b0dbe97f59130756",
        "dataverse/10.7910/DVN/TJCLKP",
        "ckan/https%3A%2F%2Fdemo.ckan.org%2Fdataset%2Fpenguins%3Factivity_id%3D1",
    ],
)
@asynchronous(20)
async def test_a_record_is_forwarded_as_it_is(text: str) -> None:
    hub = BinderHub()
    async with front(hub) as made:
        hub.go_on.clear()
        spec, caller = specs.parse(text), Caller(base_url="http://here/", ip="::1")
        launches = [await made.manager.start(spec, caller) for _ in range(3)]
        for launch in launches:
            await until(launch, lambda event: "Waiting for build" in event.message)
        # One build is shared.
        assert hub.requests == [text]
        hub.go_on.set()
        for launch in launches:
            events = await events_of(launch)
            assert events[-1].phase is Phase.READY
            assert events[-1].binder_request == f"v2/{text}"
            assert events[0].message == f"Looking up {spec.repo_url}\n"
            assert events[0].step == f"Looking up {spec.title}"
            assert launch.state().ref == ""
        assert (set(hub.requests), hub.builds, hub.launches) == ({text}, 1, 3)


# -- BinderHubs that hang


class Silent(BinderHub):
    """Accepts connections, and never answers, as a stopped process does."""

    def start(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/binder/"

    async def stop(self) -> None:
        self._listener.close()


HANGING = {"response_timeout": 0.2, "failover_after": 0.5, "idle_timeout": 0.2}


@pytest.mark.fault(
    part="A BinderHub",
    fault="accepts the connection and never answers",
    promise="another one that is healthy is used",
)
@asynchronous(20)
async def test_a_binderhub_that_never_answers_is_left_for_a_healthy_one() -> None:
    silent, healthy = Silent(), BinderHub()
    # A pause too many would end the test.
    pauses = [0.01] * 10 + [3600.0]
    async with front(silent, healthy, **{**HANGING, "pauses": pauses}) as made:
        events = await events_of(await made.start(silent))
        assert events[-1].phase is Phase.READY
        assert events[-1].url == f"{healthy.url}user/someone/"
        (change,) = trying(events)
        assert silent.url.split("/")[2] in change.message


@pytest.mark.long
@pytest.mark.fault(
    part="A BinderHub",
    fault="falls silent during a build",
    promise="another one that is healthy is used",
)
@asynchronous(20)
async def test_a_stream_that_falls_silent_is_left_for_a_healthy_binderhub() -> None:
    hangs, healthy = BinderHub(), BinderHub()
    async with front(hangs, healthy, **{**HANGING, "pauses": [0.01] * 100}) as made:
        hangs.go_on.clear()
        events = await events_of(await made.start(hangs))
        assert (events[-1].phase, events[-1].url) == (
            Phase.READY,
            f"{healthy.url}user/someone/",
        )
        assert len(trying(events)) == 1
        # Another connection to it was tried before.
        assert len(hangs.requests) > 1


@pytest.mark.fault(
    part="A BinderHub",
    fault="is the only one, and never answers",
    promise="it is tried again, and then `host-unreachable`",
)
@asynchronous(20)
async def test_the_only_binderhub_is_waited_for() -> None:
    """As long as pauses are left, since there is nothing else to try."""
    hub, sick = BinderHub(), BinderHub()
    async with front(hub, sick, **{**HANGING, "failover_after": 0.0}) as made:
        made.upstreams.hubs[1].healthy = False
        hub.go_on.clear()
        launch = await made.start(hub)
        await until(launch, lambda event: "Reconnecting in" in event.message)
        hub.go_on.set()
        events = await events_of(launch)
        assert (events[-1].phase, events[-1].url) == (Phase.READY, f"{hub.url}user/someone/")
        assert not trying(events)


class StepClock:
    """Stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0.0
        self.was_read = asyncio.Event()

    def __call__(self) -> float:
        self.was_read.set()
        return self.now


@asynchronous(20)
async def test_keepalives_of_a_long_build_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A build may say nothing for long. Then one lost connection is no reason to leave it."""
    clock, may_cut = StepClock(), threading.Event()
    monkeypatch.setattr("binderprogress.backends.binderhub.stream.monotonic", clock)
    hub, other = BinderHub(keepalive=0.02, cuts={1: 2}, may_cut=may_cut), BinderHub()
    async with front(hub, other) as made:
        launch = await made.start(hub)
        await until(launch, lambda event: "Waiting for build" in event.message)
        clock.now = 1000.0
        clock.was_read.clear()
        # A keepalive.
        await clock.was_read.wait()
        may_cut.set()
        events = await events_of(launch)
        assert events[-1].url == f"{hub.url}user/someone/"
        assert len(hub.requests) == 2
        assert not other.requests
