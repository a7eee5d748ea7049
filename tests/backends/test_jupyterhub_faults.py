"""A JupyterHub that is slow, busy, broken, or restarts: launches recover or end, and say so."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from time import monotonic
from typing import Any

import pytest

from binderprogress.backends.base import Attempt, Record, RunningServer
from binderprogress.backends.jupyterhub import api
from binderprogress.backends.jupyterhub.cleanups import Cleanup, Cleanups
from binderprogress.backends.jupyterhub.launcher import HubLauncher
from binderprogress.core.log.reader import from_jupyterhub
from binderprogress.errors import LaunchFailedError

from ..support.asynchronous import asynchronous
from ..support.faultyhub import (
    Fault,
    FaultyHub,
    drip,
    faulty_hub,
    garbage,
    half_an_event,
    nothing,
    page,
    status,
)
from ..support.gone import gone
from ..support.launch_requests import launch_request
from ..support.long import usually
from ..support.restartinghub import RestartingHub, restarting_hub

Items = list[Record | Attempt | RunningServer]


@asynccontextmanager
async def launcher_of(hub: FaultyHub, **settings: Any) -> AsyncIterator[HubLauncher]:
    values = {"retry_delay": 0.01, "request_timeout": 0.5, **settings}
    launcher = HubLauncher(url=hub.url, api_token="secret", **values)
    try:
        yield launcher
    finally:
        await launcher.close()


async def launch(launcher: HubLauncher) -> Items:
    return [item async for item in launcher.launch(launch_request())]


def messages(items: Items) -> list[str]:
    return [str(item.raw["message"]) for item in items if isinstance(item, Record)]  # type: ignore[index]


def steps(items: Items) -> list[str]:
    notes = [from_jupyterhub(item.raw) for item in items if isinstance(item, Record)]  # type: ignore[arg-type]
    return [note.step.key for note in notes if note.step is not None]


@pytest.fixture
def tells_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "QUIET", 0.0)
    monkeypatch.setattr("binderprogress.backends.jupyterhub.starting.QUIET", 0.0)


FAULTS: dict[str, Fault] = {
    "429": status(429),
    "500 with Retry-After": status(500, retry="1"),
    "502 of a proxy": status(502, of_hub=False),
    "503 with Retry-After": status(503, retry="1"),
    "404 of the proxy": status(404, of_hub=False),
    "garbage": garbage,
    "nothing": nothing,
}


@pytest.mark.fault(
    part="JupyterHub",
    fault=(
        "answers a request of any kind once with 429, with 500 or 503 and `Retry-After`, with a "
        "proxy's 404 or 502, with garbage, or not at all"
    ),
    promise="the launch goes on with one server, and says what it waits for",
)
@pytest.mark.parametrize("kind", ["make user", "start", "progress"])
@pytest.mark.parametrize("fault", FAULTS)
@asynchronous(30)
async def test_a_fault_is_overcome(fault: str, kind: str, tells_at_once: None) -> None:
    async with faulty_hub() as hub, launcher_of(hub, idle_timeout=0.5) as launcher:
        hub.faults[kind].append(FAULTS[fault])
        items = await launch(launcher)
        assert isinstance(items[-1], RunningServer)
        assert not any(isinstance(item, Attempt) for item in items)
        assert hub.spawns == 1
        if kind != "progress":
            # A stream that fails is replaced by a look at the server.
            assert steps(items)[0] == ("queued" if fault == "429" else "hub-away")
            # The address of its API is nobody's business.
            assert "127.0.0.1" not in messages(items)[0]


@pytest.mark.fault(
    part="JupyterHub",
    fault="answers like this for ever",
    promise="the launch ends within the documented time, with `hub-unreachable` or `quota`",
)
@pytest.mark.parametrize("kind", ["make user", "start", "progress"])
@pytest.mark.parametrize("fault", FAULTS)
@asynchronous(30)
async def test_a_fault_that_stays_ends_the_launch(fault: str, kind: str) -> None:
    settings = {"retry_timeout": 0.6, "queue_timeout": 0.6, "idle_timeout": 0.3}
    async with faulty_hub() as hub, launcher_of(hub, **settings) as launcher:
        hub.ready.clear()
        hub.always[kind] = hub.always["look"] = FAULTS[fault]
        with pytest.raises(LaunchFailedError) as caught:
            await launch(launcher)
        in_queue = fault == "429" and kind == "start"
        assert caught.value.reason == ("quota" if in_queue else "hub-unreachable")
        assert caught.value.retry is not False


@pytest.mark.fault(
    part="JupyterHub",
    fault="answers 429 with `Retry-After` when the user is made",
    promise="the request waits for so long",
)
@asynchronous(30)
async def test_retry_after_is_obeyed() -> None:
    async with faulty_hub() as hub, launcher_of(hub) as launcher:
        hub.faults["make user"].append(status(429, retry="2"))
        began = monotonic()
        items = await launch(launcher)
        assert monotonic() - began >= 2.0
        assert isinstance(items[-1], RunningServer)
        assert messages(items)[0] == "JupyterHub is busy. Trying again."


@asynchronous(30)
async def test_a_short_outage_is_not_reported() -> None:
    async with faulty_hub() as hub, launcher_of(hub) as launcher:
        hub.faults["make user"] += [status(503)] * 3
        items = await launch(launcher)
        assert messages(items) == ["Server requested", "Ready"]


@pytest.mark.fault(
    part="JupyterHub",
    fault="answers 429 for ever when the server is requested",
    promise="viewers see that the launch is in a queue, and then `quota`",
)
@asynchronous(30)
async def test_a_queue_is_reported_until_it_ends() -> None:
    async with faulty_hub() as hub, launcher_of(hub, queue_timeout=0.2) as launcher:
        hub.always["start"] = status(429)
        items: Items = []
        with pytest.raises(LaunchFailedError, match=r"no room for this server for 0\.2 seconds"):
            async for item in launcher.launch(launch_request()):
                items.append(item)
        assert set(steps(items)) == {"queued"}
        assert not hub.spawns


@pytest.mark.fault(
    part="JupyterHub",
    fault=(
        "refuses the progress stream (429, 500), or sends garbage, a page, half of an event, "
        "nothing, or empty lines for ever"
    ),
    promise="the launch gets its server by asking for it",
)
@pytest.mark.parametrize(
    "stream", [status(429), status(500), drip, nothing, garbage, page, half_an_event]
)
@asynchronous(30)
async def test_a_stream_that_never_works_does_not_hold_up_a_server(stream: Fault) -> None:
    """JupyterHub is asked about the server instead."""
    settings = {"retry_timeout": 0.5, "idle_timeout": 0.05}
    async with faulty_hub() as hub, launcher_of(hub, **settings) as launcher:
        hub.ready.clear()
        hub.always["progress"] = stream
        launching = asyncio.create_task(launch(launcher))
        began = monotonic()
        # Longer than an outage may last: JupyterHub says that the server is starting.
        while hub.asked.count("look") < 3 or monotonic() - began < 0.7:
            await asyncio.wait([launching], timeout=0.02)
            assert not launching.done()
        hub.ready.set()
        items = await launching
        server = items[-1]
        assert isinstance(server, RunningServer)
        assert server.url == f"{hub.url}user/a-k/"
        assert hub.spawns == 1


@pytest.mark.fault(
    part="JupyterHub",
    fault="sends empty lines for ever, and answers nothing else",
    promise="the launch ends with `hub-unreachable`",
)
@asynchronous(30)
async def test_a_drip_of_a_hub_that_says_nothing_else() -> None:
    settings = {"retry_timeout": 0.3, "idle_timeout": 0.05, "request_timeout": 0.1}
    async with faulty_hub() as hub, launcher_of(hub, **settings) as launcher:
        hub.always["progress"], hub.always["look"] = drip, nothing
        with pytest.raises(LaunchFailedError) as caught:
            await launch(launcher)
        assert caught.value.reason == "hub-unreachable"


@pytest.mark.fault(
    part="JupyterHub",
    fault="answers with a page of HTML and 200 when the user is made or the server is requested",
    promise="the launch ends at once",
)
@pytest.mark.parametrize("kind", ["make user", "start"])
@asynchronous(30)
async def test_a_page_in_place_of_an_answer(kind: str) -> None:
    async with faulty_hub() as hub, launcher_of(hub) as launcher:
        hub.always[kind] = page
        with pytest.raises(LaunchFailedError) as caught:
            await launch(launcher)
        assert caught.value.reason == "hub-unreachable"
        assert "is not its API" in str(caught.value)
        assert hub.asked.count(kind) == 1


# -- clean-up


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - JupyterHub has no event for it
        await asyncio.sleep(0.01)


@pytest.mark.fault(
    part="JupyterHub",
    fault="answers like this three times when a server is to be removed",
    promise="the server and its user are removed in the end",
)
@pytest.mark.parametrize("kind", ["stop", "look", "remove user"])
@pytest.mark.parametrize("fault", FAULTS)
@asynchronous(30)
async def test_a_clean_up_is_retried_until_it_is_done(fault: str, kind: str) -> None:
    async with faulty_hub() as hub, launcher_of(hub, request_timeout=1.0) as launcher:
        await launch(launcher)
        hub.faults[kind] += [FAULTS[fault]] * 3
        with pytest.raises(LaunchFailedError) as caught:
            await launcher.stop(launch_request())
        assert caught.value.reason == "hub-unreachable"
        assert launcher.cleanups.outstanding() == [Cleanup("a-k", "", with_user=True)]
        assert (await launcher.check())["cleanups"] == 1
        await until(lambda: not launcher.cleanups.outstanding())
        assert not hub.users
        assert (await launcher.check())["cleanups"] == 0


@asynchronous(30)
async def test_a_clean_up_goes_on_if_nobody_waits_for_it() -> None:
    async with faulty_hub() as hub, launcher_of(hub, request_timeout=1.0) as launcher:
        await launch(launcher)
        hub.faults["stop"].append(nothing)
        stopping = asyncio.create_task(launcher.stop(launch_request()))
        await until(lambda: "stop" in hub.asked)
        stopping.cancel()
        await asyncio.wait([stopping])
        assert stopping.cancelled()
        await until(lambda: not launcher.cleanups.outstanding())
        assert not hub.users


@asynchronous(30)
async def test_a_user_who_is_gone_needs_no_clean_up() -> None:
    """JupyterHub 5.3 answers 500 if a server of such a user is to be stopped."""
    async with faulty_hub() as hub, launcher_of(hub) as launcher:
        await launch(launcher)
        hub.users.clear()
        hub.always["stop"] = status(500)
        await launcher.stop(launch_request())
        assert not launcher.cleanups.outstanding()


@asynchronous(30)
async def test_a_clean_up_that_is_refused_is_retried_as_well() -> None:
    """A permission may be missing for a while."""
    async with faulty_hub() as hub, launcher_of(hub) as launcher:
        await launch(launcher)
        hub.faults["stop"] += [status(403)] * 2
        with pytest.raises(LaunchFailedError):
            await launcher.stop(launch_request())
        await until(lambda: not hub.users)


@asynchronous(30)
async def test_clean_ups_that_are_given_up_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with faulty_hub() as hub, launcher_of(hub, retry_delay=60.0) as launcher:
        await launch(launcher)
        hub.always["stop"] = status(429)
        with pytest.raises(LaunchFailedError):
            await launcher.stop(launch_request())
        caplog.set_level(logging.WARNING)
        await launcher.close()
        assert "The server a-k/ may be left running." in caplog.text
        assert not launcher.cleanups.outstanding()


@asynchronous(30)
async def test_a_bug_in_a_clean_up_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    async def remove(_: Cleanup) -> None:
        raise ZeroDivisionError

    cleanups = Cleanups(remove, pause=0.01, log=logging.getLogger())
    with pytest.raises(ZeroDivisionError):
        await cleanups.run(Cleanup("a", "b", with_user=False))
    await until(lambda: not cleanups.outstanding())
    assert "The server a/b may be left running." in caplog.text


@asynchronous(30)
async def test_there_are_not_too_many_clean_ups(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Attack: launches that are started and cancelled while JupyterHub is away."""
    monkeypatch.setattr("binderprogress.backends.jupyterhub.cleanups._MOST", 2)

    async def remove(_: Cleanup) -> None:
        await asyncio.sleep(3600)

    cleanups = Cleanups(remove, pause=0.01, log=logging.getLogger())
    names = ["a", "b", "c"]
    for name in names:
        cleanups.add(Cleanup(name, "", with_user=True))
    assert [cleanup.user for cleanup in cleanups.outstanding()] == ["b", "c"]
    assert "Too many clean-ups: The server a/ may be left running." in caplog.text
    await cleanups.close()


@asynchronous(30)
async def test_clean_ups_of_another_process_can_be_added() -> None:
    async with faulty_hub() as hub:
        async with launcher_of(hub, retry_delay=60.0) as first:
            await launch(first)
            hub.faults["stop"].append(status(429))
            with pytest.raises(LaunchFailedError):
                await first.stop(launch_request())
            left = first.cleanups.outstanding()
        async with launcher_of(hub) as second:
            for cleanup in left:
                await second.cleanups.add(cleanup)
        assert not hub.users


# -- a real JupyterHub that restarts


@pytest.fixture(scope="module")
def restarting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestartingHub]:
    with restarting_hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


@asynccontextmanager
async def real_launcher(hub: RestartingHub, **settings: Any) -> AsyncIterator[HubLauncher]:
    # The proxy keeps the stream open when JupyterHub is killed.
    values = {"idle_timeout": 2.0, **settings}
    launcher = HubLauncher(url=hub.url, api_token=hub.token, **values)
    try:
        yield launcher
    finally:
        await launcher.close()


@pytest.mark.long
@pytest.mark.fault(
    part="JupyterHub",
    fault="is killed, and its proxy, and both start again",
    promise="a launch that begins meanwhile gets its server",
)
@pytest.mark.hub
@asynchronous(60)
async def test_a_launch_begins_while_jupyterhub_and_its_proxy_restart(
    restarting: RestartingHub,
) -> None:
    """Nothing answers, then the proxy without routes, then JupyterHub."""
    restarting.go()
    restarting.kill("hub")
    restarting.kill("proxy")
    async with real_launcher(restarting) as launcher:
        request = launch_request("restart", "begin")
        items: Items = []
        async with aclosing(launcher.launch(request)) as stream:
            # It says why nothing happens.
            items.append(await anext(stream))
            assert steps(items) == ["hub-away"]
            assert messages(items) == [
                "JupyterHub does not respond (Connection refused). Trying again."
            ]
            restarting.start_proxy()
            restarting.start_hub()
            items += [item async for item in stream]
        assert isinstance(items[-1], RunningServer)
        assert not any(isinstance(item, Attempt) for item in items)
        assert len(restarting.servers()) == 1
        await launcher.stop(request)
        assert gone(restarting.servers())
        assert not restarting.users()


@pytest.mark.fault(
    part="JupyterHub",
    fault="or its proxy is paused (SIGSTOP) when a launch begins",
    promise="the launch says so, and then gets one server",
)
@pytest.mark.hub
@pytest.mark.parametrize("name", usually(["hub", "proxy"], "proxy"))
@asynchronous(60)
async def test_jupyterhub_hangs_when_a_launch_begins(restarting: RestartingHub, name: str) -> None:
    restarting.go()
    restarting.pause(name)
    async with real_launcher(restarting, request_timeout=1.0) as launcher:
        request = launch_request("restart", "hang")
        async with aclosing(launcher.launch(request)) as stream:
            try:
                items = [await anext(stream)]
                assert steps(items) == ["hub-away"]
                assert "no response in time" in messages(items)[0]
            finally:
                restarting.resume(name)
            items += [item async for item in stream]
        assert isinstance(items[-1], RunningServer)
        assert len(restarting.servers()) == 1, "one server, however often it was requested"
        # It takes longer than a request may, perhaps, and goes on in the background.
        with suppress(LaunchFailedError):
            await launcher.stop(request)
        await until(lambda: not launcher.cleanups.outstanding())
        assert gone(restarting.servers())
        assert not restarting.users()


@pytest.mark.fault(
    part="JupyterHub",
    fault="is killed, or gets SIGTERM, and starts again while a Jupyter server starts",
    promise="the launch gets one server",
)
@pytest.mark.hub
@pytest.mark.parametrize("number", usually([signal.SIGKILL, signal.SIGTERM], signal.SIGKILL))
@asynchronous(60)
async def test_jupyterhub_restarts_while_a_server_starts(
    restarting: RestartingHub, number: signal.Signals
) -> None:
    (restarting.folder / "go").unlink(missing_ok=True)
    async with real_launcher(restarting) as launcher:
        request = launch_request("restart", "middle")
        async with aclosing(launcher.launch(request)) as stream:
            items: Items = []
            async for item in stream:
                items.append(item)
                if messages(items)[-1:] == ["Spawning server..."]:
                    await asyncio.to_thread(restarting.kill, "hub", number)
                    restarting.start_hub()
                    restarting.go()
        assert isinstance(items[-1], RunningServer)
        assert len(restarting.servers()) == 1, "one server, whatever was tried"
        await launcher.stop(request)
        assert gone(restarting.servers())
        assert not restarting.users()


@pytest.mark.long
@pytest.mark.fault(
    part="JupyterHub",
    fault="is killed when a server is to be removed",
    promise="the server and its user are removed when it is back",
)
@pytest.mark.hub
@asynchronous(60)
async def test_jupyterhub_is_away_when_a_server_is_to_be_removed(
    restarting: RestartingHub,
) -> None:
    restarting.go()
    async with real_launcher(restarting) as launcher:
        request = launch_request("restart", "end")
        items = [item async for item in launcher.launch(request)]
        assert isinstance(items[-1], RunningServer)
        restarting.kill("hub")
        with pytest.raises(LaunchFailedError):
            await launcher.stop(request)
        assert len(restarting.servers()) == 1
        restarting.start_hub()
        await until(lambda: not launcher.cleanups.outstanding())
        assert gone(restarting.servers())
        assert not restarting.users()
