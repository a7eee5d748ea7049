"""The Python client with a real server whose builds and spawns are simulated."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from binderprogress.client import AsyncClient, Client, JupyterServer, LaunchHandle, api
from binderprogress.client.models import read_target, server_from
from binderprogress.core.events import Event, encode
from binderprogress.core.phases import Phase
from binderprogress.core.specs import Spec
from binderprogress.errors import (
    BadRequestError,
    LaunchFailedError,
    NotFoundError,
    ServerUnreachableError,
    SpecError,
    TooManyRequestsError,
)
from binderprogress.launches import Caller, Launch

from ..support.asynchronous import asynchronous
from ..support.faultyproxy import FaultyProxy
from ..support.replay import Stage, stage

SPEC = "gh/ada/penguins/HEAD"
# A client that has to come back does so at once.
SOON = (0.01,) * 5


@pytest.fixture
def server() -> Iterator[Stage]:
    with stage() as made:
        yield made


@pytest.fixture
def launches(server: Stage, monkeypatch: pytest.MonkeyPatch) -> list[Launch]:
    """The server's own objects of the launches that it starts."""
    started: list[Launch] = []
    start = server.launches.start

    async def noted(spec: Spec, caller: Caller) -> Launch:
        started.append(await start(spec, caller))
        return started[-1]

    monkeypatch.setattr(server.launches, "start", noted)
    return started


def play(server: Stage) -> None:
    """Let builds and spawns succeed."""
    server.say("Cloning", "fetching")
    server.log("one\n", "two\n", "three\n")
    server.built()
    server.hub(progress=50, message="Spawning server...")
    server.serve("http://127.0.0.1:9/user/ada")


async def all_of(client: AsyncClient, launch: LaunchHandle | str, after: int = 0) -> list[Event]:
    async with aclosing(client.watch(launch, after=after)) as events:
        return [event async for event in events]


# -- to a good end


@asynchronous(60)
async def test_a_build_ends_with_the_name_of_the_image(server: Stage) -> None:
    seen: list[Event] = []
    server.log("one\n")
    server.built()
    async with AsyncClient(server.url, pauses=SOON) as client:
        name = await client.build(SPEC, on_event=seen.append)
        assert name == seen[-1].imageName != ""
        assert (seen[-1].phase, seen[-1].url) == (Phase.READY, "")
        client.kind = "binderhub"
        with pytest.raises(BadRequestError, match="does not build without launching"):
            await client.build(SPEC)


def test_a_build_with_the_synchronous_client(server: Stage) -> None:
    server.built()
    server.built()
    with Client(server.url) as client:
        assert client.build("gh/ada/penguins/HEAD")
        launch = client.start("gh/ada/whales/HEAD", build_only=True)
        assert list(client.watch(launch))[-1].phase is Phase.READY


@asynchronous(20)
async def test_start_watch_state_log(server: Stage) -> None:
    async with AsyncClient(server.url) as client:
        launch = await client.start(SPEC)
        assert launch.spec == SPEC
        assert launch.page_url == f"{server.url}v2/{SPEC}#launch={launch.id}"
        play(server)
        events = await all_of(client, launch)
        assert [event.id for event in events] == list(range(1, len(events) + 1))
        assert events[-1].phase is Phase.READY
        state = await client.state(launch)
        assert (state.id, state.phase, state.progress) == (launch.id, Phase.READY, 100.0)
        assert state.last == len(events)
        assert "one\ntwo\nthree\n" in await client.log(launch)
        # By its id, and from a later event on.
        assert await all_of(client, launch.id, after=3) == events[3:]


@pytest.mark.parametrize(
    ("repository", "spec"),
    [
        ("10.5281/zenodo.3242074", "zenodo/10.5281/zenodo.3242074"),
        ("zenodo.org/records/3242074", "zenodo/10.5281/zenodo.3242074"),
        ("https://github.com/ada/penguins", "gh/ada/penguins/HEAD"),
    ],
)
def test_urls_copied_from_a_browser(repository: str, spec: str) -> None:
    assert str(read_target(repository).spec) == spec


@pytest.mark.parametrize(
    ("address", "spec", "urlpath"),
    [
        ("https://github.com/ada/penguins", "gh/ada/penguins/HEAD", ""),
        (
            "https://github.com/ada/penguins/blob/main/a.ipynb",
            "gh/ada/penguins/main",
            "lab/tree/a.ipynb",
        ),
        # The server looks up where the ref ends.
        (
            "https://github.com/ada/penguins/tree/feature/x/notes",
            "gh/ada/penguins/feature/x",
            "lab/tree/notes",
        ),
    ],
)
@asynchronous(20)
async def test_the_path_that_a_url_opens(
    server: Stage, monkeypatch: pytest.MonkeyPatch, address: str, spec: str, urlpath: str
) -> None:
    async def find_ref(_: Spec, refs: Sequence[str]) -> str:
        return next(ref for ref in refs if ref == "feature/x")

    monkeypatch.setattr(server.launches, "find_ref", find_ref)
    async with AsyncClient(server.url) as client:
        launch = await client.start(address)
        assert (launch.spec, launch.urlpath) == (spec, urlpath)
        await client.cancel(launch)


@asynchronous(20)
async def test_launch_goes_to_the_server(server: Stage) -> None:
    seen: list[Event] = []
    play(server)
    async with AsyncClient(server.url) as client:
        made = await client.launch("https://github.com/ada/penguins", on_event=seen.append)
    assert (made.url, made.token) == ("http://127.0.0.1:9/user/ada/", "secret-token")
    assert made.address("lab?reset") == "http://127.0.0.1:9/user/ada/lab?reset&token=secret-token"
    assert made.ready == seen[-1]
    assert made.ready.repo_url == "https://github.com/ada/penguins"


def test_ids_and_tokens_are_not_in_reprs() -> None:
    """More people can read a program's output and tracebacks than may use the launch."""
    ready = Event(id=1, phase=Phase.READY, time=0, elapsed=0, progress=100)
    assert "secret" not in repr(JupyterServer("http://a/", "secret", ready))
    assert "secret" not in repr(LaunchHandle("12345678secret"))


# -- to a bad end


@asynchronous(20)
async def test_a_failed_launch_has_a_reason(server: Stage) -> None:
    server.log("ERROR: No matching distribution found for six==99\n")
    server.fail("build-failed")
    async with AsyncClient(server.url) as client:
        with pytest.raises(LaunchFailedError) as failed:
            await client.launch(SPEC)
    error = failed.value
    assert (error.reason, error.subject) == ("unsatisfiable-requirement", "six==99")
    assert str(error) == "The requirement six==99 cannot be satisfied."
    assert error.advice.startswith("Correct the name or the version")
    assert error.evidence == ["ERROR: No matching distribution found for six==99"]


def test_attack_control_characters_in_error_messages() -> None:
    """Attack: an untrusted server sends an error message, which is printed."""
    evil = "\x1b]0;evil\x07No\x1b[2J."
    last = Event(
        id=1, phase=Phase.FAILED, time=0, elapsed=0, progress=0, message=evil, evidence=[evil]
    )
    with pytest.raises(LaunchFailedError) as failed:
        server_from(last)
    assert (str(failed.value), failed.value.evidence) == ("No.", ["No."])
    assert failed.value.reason == "unknown"


@asynchronous(20)
async def test_cancel(server: Stage) -> None:
    async with AsyncClient(server.url) as client:
        launch = await client.start(SPEC)
        await client.cancel(launch)
        assert (await all_of(client, launch))[-1].phase is Phase.CANCELLED


@asynchronous(20)
async def test_cancelling_the_task_cancels_the_launch(
    server: Stage, launches: list[Launch]
) -> None:
    begun = asyncio.Event()
    async with AsyncClient(server.url) as client:
        waiting = asyncio.create_task(client.launch(SPEC, on_event=lambda _: begun.set()))
        await begun.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert [launch.last.phase for launch in launches] == [Phase.CANCELLED]


@asynchronous(20)
async def test_invalid_specs_and_unknown_launches(server: Stage) -> None:
    async with AsyncClient(server.url) as client:
        with pytest.raises(SpecError, match="is not a URL or a spec"):
            await client.start("penguins")
        for work in (client.state("nothing"), client.log("nothing"), client.cancel("nothing")):
            with pytest.raises(NotFoundError):
                await work
        with pytest.raises(NotFoundError):
            await all_of(client, "nothing")


@asynchronous(20)
async def test_too_many_requests() -> None:
    with stage(Web={"rate_limit": 1}) as server:
        async with AsyncClient(server.url) as client:
            await client.start(SPEC)
            with pytest.raises(TooManyRequestsError) as refused:
                await client.start(SPEC)
            assert refused.value.retry_after > 0


# -- connections that are cut


@asynchronous(30)
async def test_after_a_lost_connection_it_resumes(server: Stage) -> None:
    port = urlsplit(server.url).port
    assert port is not None
    async with (
        FaultyProxy(port) as proxy,
        AsyncClient(f"http://127.0.0.1:{proxy.port}", pauses=SOON) as client,
    ):
        launch = await client.start(SPEC)
        server.log("one\n", "two\n")
        got = []
        async with aclosing(client.watch(launch)) as events:
            async for event in events:
                got.append(event)
                # During the build, and during the spawn.
                if event.message == "two\n":
                    proxy.cut()
                    server.log("three\n")
                elif event.message == "three\n":
                    proxy.cut()
                    server.built()
                    server.hub(progress=50, message="Spawning server...")
                elif event.message == "Spawning server...\n":
                    proxy.cut()
                    server.serve()
        assert proxy.connections >= 4
    async with AsyncClient(server.url) as direct:
        assert got == await all_of(direct, launch)
    assert len(server.launcher.requests) == 1


class Odd:
    """A server with a list of responses (status, headers, body), one for each GET."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str, bytes]] = []
        self.asked: list[str] = []
        self.tokens: list[str | None] = []
        self.url = ""


@asynccontextmanager
async def odd_server() -> AsyncIterator[Odd]:
    odd = Odd()

    class Handler(RequestHandler):
        def get(self) -> None:
            odd.asked.append(self.request.headers.get("Last-Event-ID", ""))
            odd.tokens.append(self.request.headers.get("Authorization"))
            status, kind, body = odd.answers.pop(0) if odd.answers else (502, "text/html", b"<h1>")
            self.set_status(status)
            self.set_header("Content-Type", kind)
            self.write(body)

    server = HTTPServer(Application([(".*", Handler)]))
    (listener,) = bind_sockets(0, "127.0.0.1")
    server.add_socket(listener)
    odd.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    try:
        yield odd
    finally:
        server.stop()
        await server.close_all_connections()


def block(number: int, phase: Phase = Phase.BUILDING) -> bytes:
    progress = 100 if phase is Phase.READY else 1
    event = Event(id=number, phase=phase, time=0, elapsed=0, progress=progress)
    return b"id: %d\ndata: %b\n\n" % (number, encode(event))


STREAM = "text/event-stream"


@asynchronous(20)
async def test_each_event_is_yielded_once() -> None:
    async with odd_server() as odd, AsyncClient(odd.url, pauses=SOON, token="key") as client:
        odd.answers = [
            (200, STREAM, block(1) + block(2)),
            (502, "text/html", b"<h1>Bad Gateway</h1>"),
            # Repeated events, and a connection lost in the middle of an event.
            (200, STREAM, block(1) + block(2) + block(3) + block(4)[:20]),
            (429, "application/json", json.dumps({"error": {"message": "Later."}}).encode()),
            (200, STREAM, b"data: no event\n\n"),
            (200, STREAM, block(4) + block(5, Phase.READY) + block(6)),
        ]
        assert [event.id for event in await all_of(client, "x")] == [1, 2, 3, 4, 5]
    assert odd.asked == ["", "2", "2", "3", "3", "3"]
    assert set(odd.tokens) == {"token key"}


@asynchronous(20)
async def test_it_reconnects_when_the_server_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(api, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(api.random, "uniform", lambda *_: 1.0)
    async with odd_server() as odd, AsyncClient(odd.url) as client:
        odd.answers = [
            (200, STREAM, b"retry: 1000\n\n" + block(1) + b"retry: 2500\n\n"),
            (503, "application/json", json.dumps({"error": {"message": "Later."}}).encode()),
            # Attack: it would wait for ever.
            (200, STREAM, block(2) + b"retry: 999999999\n\n"),
            (200, STREAM, block(3, Phase.READY)),
        ]
        assert [event.id for event in await all_of(client, "x")] == [1, 2, 3]
    assert pauses == [2.5, 2.0, 60.0]


@asynchronous(20)
async def test_it_gives_up_after_five_attempts() -> None:
    async with odd_server() as odd, AsyncClient(odd.url, pauses=SOON) as client:
        odd.answers = [(200, STREAM, block(1))]
        with pytest.raises(ServerUnreachableError, match="could not reconnect"):
            await all_of(client, "x")
        assert len(odd.asked) == 6


@asynchronous(20)
async def test_a_response_that_is_not_a_stream() -> None:
    async with odd_server() as odd, AsyncClient(odd.url, pauses=SOON) as client:
        odd.answers = [(200, "text/html", b"<h1>Log in</h1>")]
        with pytest.raises(ServerUnreachableError, match="neither a binderprogress server"):
            await all_of(client, "x")
        assert len(odd.asked) == 1


# -- the synchronous one


def test_the_synchronous_client(server: Stage) -> None:
    with Client(server.url) as client:
        launch = client.start(SPEC)
        play(server)
        events = list(client.watch(launch))
        assert [event.id for event in events] == list(range(1, len(events) + 1))
        assert client.state(launch).phase is Phase.READY
        assert "two\n" in client.log(launch)
        play(server)
        assert client.launch(SPEC).token == "secret-token"
        other = client.start(SPEC)
        client.cancel(other)
        assert client.state(other).phase is Phase.CANCELLED


@asynchronous(20)
async def test_with_a_running_event_loop(server: Stage) -> None:
    """As in a notebook."""
    play(server)
    with Client(server.url) as client:
        assert client.launch(SPEC).token == "secret-token"


def test_closing_the_iterator_disconnects_the_viewer(server: Stage) -> None:
    with Client(server.url) as client:
        launch = client.start(SPEC)
        events = client.watch(launch)
        assert next(events).id == 1
        assert client.state(launch).viewers == 1
        events.close()  # type: ignore[attr-defined] # it is a generator
        while client.state(launch).viewers:  # bounded by the test's own timeout
            continue


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt, whatever an event loop of another test has left."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_cancels_the_launch(server: Stage, launches: list[Launch]) -> None:
    main = threading.main_thread().ident
    assert main is not None
    with Client(server.url) as client:
        with pytest.raises(KeyboardInterrupt):
            client.launch(SPEC, on_event=lambda _: signal.pthread_kill(main, signal.SIGINT))
        assert [launch.last.phase for launch in launches] == [Phase.CANCELLED]


def test_closing_twice(server: Stage) -> None:
    client = Client(server.url)
    client.close()
    client.close()


@pytest.mark.parametrize("left", ["closed", "iterated", "collected"])
def test_closing_an_iterator_after_its_client(server: Stage, left: str) -> None:
    client = Client(server.url)
    launch = client.start(SPEC)
    events = client.watch(launch)
    assert next(events).id == 1
    client.close()
    if left == "closed":
        events.close()  # type: ignore[attr-defined] # it is a generator
    elif left == "iterated":
        with pytest.raises(RuntimeError, match="This client is closed"):
            next(events)
    del events
    gc.collect()
    with Client(server.url) as other:
        while other.state(launch).viewers:  # bounded by the test's own timeout
            continue


def test_closing_while_another_thread_waits(server: Stage) -> None:
    """The other thread must not wait forever for a loop that has stopped."""
    client = Client(server.url)
    launch = client.start(SPEC)
    server.log("one\n")
    with Client(server.url) as other:
        while "one\n" not in other.log(launch):  # bounded by the test's own timeout
            continue
        last = other.state(launch).last
    waits = threading.Event()

    def wait() -> None:
        for event in client.watch(launch):
            if event.id == last:
                waits.set()

    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(wait)
        waits.wait()
        client.close()
        with pytest.raises(RuntimeError, match="This client"):
            waiting.result(10)


def test_using_a_closed_client(server: Stage) -> None:
    client = Client(server.url)
    client.close()
    with pytest.raises(RuntimeError, match="This client is closed"):
        client.start(SPEC)
    assert server.launches.running == 0


@asynchronous(20)
async def test_using_a_closed_asynchronous_client(server: Stage) -> None:
    """Otherwise, the request would open connections that nobody closes."""
    client = AsyncClient(server.url, pauses=SOON)
    launch = await client.start(SPEC)
    events = client.watch(launch)
    assert (await anext(events)).id == 1
    await client.close()
    await events.aclose()
    with pytest.raises(RuntimeError, match="This client is closed"):
        await client.state(launch)
