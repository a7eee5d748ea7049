"""Servers started by a real JupyterHub, over connections that are lost."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web

from binderprogress.backends.base import (
    TRACE,
    Attempt,
    BuildResult,
    Record,
    RunningServer,
)
from binderprogress.backends.jupyterhub.api import HubApi
from binderprogress.backends.jupyterhub.launcher import HubLauncher
from binderprogress.backends.local.marker import MARKER
from binderprogress.core.specs import from_address
from binderprogress.core.traceparent import parse
from binderprogress.deploy.embedded_jupyterhub import free_ports
from binderprogress.deploy.standalone import Standalone
from binderprogress.errors import ConfigError, LaunchFailedError

from ..support.asynchronous import asynchronous
from ..support.faultyproxy import FaultyProxy
from ..support.gone import gone, within
from ..support.launch_requests import Request, launch_request, plan_of
from ..support.repositories import repository
from ..support.standalone import Running, running

pytestmark = pytest.mark.hub

# One at a time, so that a second one has to wait; named servers, for who wants them.
HUB = {
    "JupyterHub": {
        "allow_named_servers": True,
        "concurrent_spawn_limit": 1,
    }
}


class Hub:
    """A JupyterHub of the test, and access to its state."""

    def __init__(self, server: Running, folder: Path, image: str) -> None:
        standalone = server.standalone
        assert standalone.hub is not None
        self.url = standalone.hub.url
        self.port = urlsplit(self.url).port or 0
        self.token = standalone.hub.api_token
        self.image = image
        self.folder = folder
        folder = standalone._own.folder if standalone._own else None
        self._logs = Path(folder.name if folder else "")
        self._keys = iter(range(1, 100))

    def spawner(self, port: int | None = None, **settings: Any) -> HubLauncher:
        """Make a spawner that reaches the Hub's API through a port."""
        values = {"api_token": self.token, "retry_delay": 0.1, **settings}
        api_url = f"http://127.0.0.1:{port or self.port}/hub/api/"
        return HubLauncher(url=self.url, api_url=api_url, **values)

    def request(self, name: str = "Ada/Repository", **more: Any) -> Request:
        values = {"image": self.image, "repo_url": "https://example.org/a", **more}
        return launch_request(name, f"k{next(self._keys)}", **values)

    def home(self, user: str, server: str = "default") -> Path:
        return self._logs / "homes" / user / server

    def log(self) -> str:
        return (self._logs / "jupyterhub.log").read_text()

    def spawned(self, user: str) -> int:
        """How often the Hub has started a process for a user."""
        lines = self.log().splitlines()
        return sum("Spawning " in line and f"/user/{user}/" in line for line in lines)

    async def ask(self, method: str, path: str) -> tuple[int, Any]:
        headers = {"Authorization": f"token {self.token}"}
        address = f"{self.url}hub/api/{path}"
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, address) as response,
        ):
            text = await response.text()
            return response.status, json.loads(text) if text else None


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    start = START.format(hold=folder / "hold")
    path = repository(folder / "repository", {"README.md": "hello", "binder/start": start})
    config: dict[str, Any] = {
        "Standalone": {"hub_config": HUB},
    }
    with running(folder, **config) as server:
        image = server.call(build(server.standalone, path))
        assert server.standalone.hub is not None
        server.call(server.standalone.hub.available())
        yield Hub(server, folder, image)


# Not as it should be: without "exec" the shell stays above the server. It waits while a test wants
# it to.
START = """\
#!/bin/sh
while [ -e {hold} ]; do sleep 0.05; done
export FROM_START=yes
"$@"
"""


async def build(standalone: Standalone, path: Path) -> str:
    target = await standalone.builder.resolve(from_address(path.as_uri()))
    async for item in standalone.builder.build(target):
        if isinstance(item, BuildResult):
            return item.image
    raise AssertionError


Items = list[Record | Attempt | RunningServer]


async def spawn(spawner: HubLauncher, request: Request) -> Items:
    return [item async for item in spawner.launch(request)]


def messages(items: Items) -> list[str]:
    return [str(item.raw["message"]) for item in items if isinstance(item, Record)]  # type: ignore[index]


def served(items: Items) -> RunningServer:
    last = items[-1]
    assert isinstance(last, RunningServer), items
    assert not any(isinstance(item, RunningServer) for item in items[:-1])
    return last


async def status(url: str, token: str = "") -> int:
    headers = {"Authorization": f"token {token}"} if token else {}
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return response.status


def ready(user: str) -> list[str]:
    return ["Server requested", "Spawning server...", f"Server ready at /user/{user}/"]


@asynchronous(60)
async def test_a_server_for_a_user_of_its_own(hub: Hub) -> None:
    request = hub.request(options={"binder_request": "v2/gh/ada/repository/HEAD"})
    user = f"ada-repository-{request.key}"
    spawner = hub.spawner()
    items = await spawn(spawner, request)
    server = served(items)
    assert messages(items) == ready(user)
    assert server.url == f"{hub.url}user/{user}/"
    assert await status(f"{server.url}api/status", server.token) == 200
    assert await status(f"{server.url}api/status") == 403
    assert await status(f"{server.url}api/status", hub.token) == 403, "nor with another's"
    code, model = await hub.ask("GET", f"users/{user}")
    assert (code, model["server"]) == (200, f"/user/{user}/")
    options = model["servers"][""]["user_options"]
    assert options["image"] == hub.image
    assert options["repo_url"] == "https://example.org/a"
    assert options["binder_request"] == "v2/gh/ada/repository/HEAD"
    # A copy of the repository, and the repository's start script was used.
    home = hub.home(user)
    assert (home / "README.md").read_text() == "hello"
    family = within(home)
    assert any("jupyter-lab" in " ".join(process.cmdline()) for process in family)
    assert any(process.environ().get("FROM_START") == "yes" for process in family)
    # Everybody on this machine can read command lines.
    assert not any(server.token in word for process in family for word in process.cmdline())

    await spawner.stop(request)
    assert gone(family), "the shell's child too"
    assert (await hub.ask("GET", f"users/{user}"))[0] == 404
    assert not home.parent.exists()
    await spawner.stop(request)  # again: it is gone, which is what was wanted
    await spawner.close()


@asynchronous(60)
async def test_a_server_that_ends_is_not_waited_for(hub: Hub) -> None:
    image = Path(hub.image).with_name("ends")
    (image / "repository").mkdir(parents=True)
    (image / "repository" / "start").write_text("#!/bin/sh\nexit 3\n")
    (image / MARKER).write_text(json.dumps({"start": "start"}))
    spawner = hub.spawner(attempts=1)
    request = hub.request("ends", image=str(image))
    # The Hub by itself would wait for two minutes.
    with pytest.raises(LaunchFailedError, match="The server crashes when it starts"):
        await spawn(spawner, request)
    await spawner.stop(request)
    await spawner.close()


@pytest.mark.fault(
    part="JupyterHub",
    fault="loses each connection after 0.25 s",
    promise="nothing is told twice, and one server is started",
)
@asynchronous(60)
async def test_a_connection_that_is_cut_all_the_time(hub: Hub) -> None:
    """JupyterHub replays its stream. No record is repeated, and there is one spawn."""
    request = hub.request("cut")
    user = f"cut-{request.key}"
    async with FaultyProxy(hub.port, every=0.25) as proxy:
        spawner = hub.spawner(proxy.port, retries=50, retry_delay=0.01)
        hold = hub.folder / "hold"
        hold.touch()
        spawning = asyncio.create_task(spawn(spawner, request))
        async with asyncio.timeout(30):
            while proxy.connections < 6:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.02)
        hold.unlink()
        items = await spawning
        assert messages(items) == ready(user)
        assert hub.spawned(user) == 1
        assert await status(f"{served(items).url}api/status", served(items).token) == 200
        await spawner.stop(request)
        await spawner.close()
    assert (await hub.ask("GET", f"users/{user}"))[0] == 404


@pytest.mark.fault(
    part="JupyterHub",
    fault="cannot be reached twice during a launch",
    promise="the launch gets one server",
)
@asynchronous(60)
async def test_a_named_server_of_a_hub_that_is_away_twice(hub: Hub) -> None:
    """At the beginning, and in the middle of the stream."""
    assert (await hub.ask("POST", "users/grace@example.org"))[0] == 201
    request = hub.request("One more")
    name = f"one-more-{request.key}"
    (nobody,) = free_ports(1)
    told: list[str] = []

    async def available() -> None:
        told.append("asked")

    async with FaultyProxy(nobody) as proxy:
        spawner = hub.spawner(proxy.port, username="grace@example.org")
        spawner.available = available
        async with aclosing(spawner.launch(request)) as stream:
            first = asyncio.ensure_future(anext(stream))
            while proxy.connections < 3:
                await asyncio.wait({first}, timeout=0.02)
            # Before each attempt: a JupyterHub that ended may be started again.
            assert told == ["asked"] * proxy.connections
            assert not first.done()
            proxy.target = hub.port
            items = [await first]
            proxy.target = nobody
            proxy.cut()
            rest = asyncio.ensure_future(_rest(stream))
            seen = proxy.connections
            while proxy.connections < seen + 2:
                await asyncio.wait({rest}, timeout=0.02)
            proxy.target = hub.port
            items += await rest
        assert messages(items) == ready(f"grace@example.org/{name}")
        server = served(items)
        assert server.url == f"{hub.url}user/grace@example.org/{name}/"
        assert await status(f"{server.url}api/status", server.token) == 200
        home = hub.home("grace@example.org", name)
        family = within(home)
        assert family
        await spawner.stop(request)
        await spawner.close()
    assert gone(family)
    code, model = await hub.ask("GET", "users/grace@example.org?include_stopped_servers=1")
    assert code == 200, "the user stays"
    assert name not in model["servers"]
    assert not home.exists()


async def _rest(stream: AsyncIterator[Record | Attempt | RunningServer]) -> Items:
    return [item async for item in stream]


@asynchronous(30)
async def test_a_hub_that_stays_away(hub: Hub) -> None:
    (nobody,) = free_ports(1)
    spawner = hub.spawner(nobody, retries=2)
    with pytest.raises(LaunchFailedError) as caught:
        await spawn(spawner, hub.request())
    assert caught.value.reason == "hub-unreachable"
    assert str(nobody) in str(caught.value)
    await spawner.close()


@asynchronous(30)
async def test_a_wrong_token(hub: Hub) -> None:
    spawner = hub.spawner(api_token="wrong", retry_delay=30.0)
    with pytest.raises(LaunchFailedError) as caught:
        await spawn(spawner, hub.request())
    assert caught.value.reason == "hub-refused"
    assert "A request to JupyterHub failed: JupyterHub answered 403" in str(caught.value)
    await spawner.close()


@asynchronous(10)
async def test_settings_that_are_missing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JUPYTERHUB_API_TOKEN", raising=False)
    monkeypatch.delenv("JUPYTERHUB_API_URL", raising=False)
    for settings, named in (
        ({"api_token": "a"}, r"c\.HubLauncher\.url"),
        ({"api_token": "a", "url": "javascript:alert(1)"}, r"c\.HubLauncher\.url"),
        ({"url": hub.url}, r"c\.HubLauncher\.api_token"),
    ):
        spawner = HubLauncher(**settings)
        with pytest.raises(ConfigError, match=named):
            await spawn(spawner, hub.request())
        await spawner.close()


@asynchronous(60)
async def test_a_spawn_that_fails_is_tried_again_and_then_given_up(hub: Hub) -> None:
    """Attack: the image is not an environment, but a folder with programs."""
    request = hub.request("fails", image="/usr")
    user = f"fails-{request.key}"
    spawner = hub.spawner()
    items: Items = []
    with pytest.raises(LaunchFailedError) as caught:
        async for item in spawner.launch(request):
            items.append(item)
    assert [item.number for item in items if isinstance(item, Attempt)] == [2, 3]
    for item in items:
        if isinstance(item, Attempt):
            assert "The environment does not exist" in item.message
    assert caught.value.reason == "spawn-failed"
    assert str(caught.value) == (
        "The server could not be started: The environment does not exist. Launch the repository "
        "again."
    )
    assert caught.value.advice
    await spawner.stop(request)
    assert (await hub.ask("GET", f"users/{user}"))[0] == 404
    assert not hub.home(user).parent.exists()
    await spawner.close()


@pytest.mark.parametrize("after", ["Server requested", "Spawning server..."])
@asynchronous(60)
async def test_cancel_during_the_spawn_leaves_nothing(after: str, hub: Hub) -> None:
    request = hub.request("cancelled")
    user = f"cancelled-{request.key}"
    spawner = hub.spawner()
    async with aclosing(spawner.launch(request)) as items:
        async for item in items:
            if isinstance(item, Record) and item.raw["message"] == after:  # type: ignore[index]
                break
    await spawner.stop(request)
    assert gone(within(hub.home(user)))
    assert (await hub.ask("GET", f"users/{user}"))[0] == 404
    assert not hub.home(user).parent.exists()
    await spawner.close()


@asynchronous(60)
async def test_a_user_that_is_made_ahead(hub: Hub) -> None:
    spawner, done = hub.spawner(), []
    for key in ("launched", "failed"):
        request = hub.request(key)
        user = f"{key}-{request.key}"
        await spawner.prepare(plan_of(request), building=asyncio.Event(), done=done.append)
        assert (await hub.ask("GET", f"users/{user}"))[0] == 200
        if key == "launched":
            assert messages(await spawn(spawner, request)) == ready(user)
            await spawner.stop(request)
        else:
            await spawner.discard(plan_of(request))
        assert (await hub.ask("GET", f"users/{user}"))[0] == 404
    assert [made.what for made in done] == ["jupyterhub-user"] * 2
    await spawner.close()


@asynchronous(90)
async def test_a_hub_that_starts_one_at_a_time(hub: Hub) -> None:
    """The second one waits in a queue, which is reported and not a failure."""
    spawner = hub.spawner()
    requests = [hub.request("queue"), hub.request("queue")]
    both = await asyncio.gather(*(spawn(spawner, request) for request in requests))
    throttled = []
    for items, request in zip(both, requests, strict=True):
        user = f"queue-{request.key}"
        assert served(items).url.endswith(f"/{user}/")
        assert not any(isinstance(item, Attempt) for item in items)
        assert hub.spawned(user) == 1
        told = messages(items)
        assert told[-3:] == ready(user)
        throttled.append(told[:-3])
    assert min(map(len, throttled)) == 0, "one did not have to wait"
    assert max(map(len, throttled)) >= 1
    for message in throttled[0] + throttled[1]:
        assert re.fullmatch(r"JupyterHub is busy\. Retrying in [12] s\.", message)
    await asyncio.gather(*(spawner.stop(request) for request in requests))
    await spawner.close()


@asynchronous(60)
async def test_a_server_that_ended_itself_leaves_nothing(hub: Hub) -> None:
    request = hub.request("idle")
    user = f"idle-{request.key}"
    spawner = hub.spawner()
    server = served(await spawn(spawner, request))
    address = f"{server.url}api/shutdown"
    headers = {"Authorization": f"token {server.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(address) as response,
    ):
        assert response.status == 200
    assert gone(within(hub.home(user)))
    await spawner.stop(request)
    assert (await hub.ask("GET", f"users/{user}"))[0] == 404
    assert not hub.home(user).parent.exists()
    await spawner.close()


NAMES = {
    "ada/Über Repository": "ada-ber-repository",
    "../../etc": "etc",
    "": "launch",
    "!!!": "launch",
    "x" * 100: "x" * 32,
}


def test_names_of_users_are_harmless() -> None:
    """Attack: a repository's name becomes a user's name, a path and a folder."""
    spawner = HubLauncher(url="http://127.0.0.1/")
    for name, slug in NAMES.items():
        request = launch_request(name, "key")
        assert spawner._names(request) == (f"{slug}-key", "")


# -- a JupyterHub that is hostile or broken


@asynccontextmanager
async def hostile(
    stream: list[bytes], *, told: list[str] | None = None
) -> AsyncIterator[tuple[str, list[str]]]:
    """Run a fake JupyterHub whose n-th progress stream is the n-th item, and then ends.

    The ``traceparent`` of each request is added to `told`.
    """
    seen: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(f"{request.method} {request.path}")
        if told is not None:
            told.append(request.headers.get("traceparent", ""))
        if not request.path.endswith("/progress"):
            return web.json_response(
                {"servers": {}}, status=201 if request.method == "POST" else 200
            )
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        count = sum(path.endswith("/progress") for path in seen)
        await response.write(stream[min(count, len(stream)) - 1])
        return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    (port,) = free_ports(1)
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}/", seen
    finally:
        await runner.cleanup()


def event(**fields: Any) -> bytes:
    return f"data: {json.dumps(fields)}\n\n".encode()


async def spawn_at(url: str, **settings: Any) -> Items:
    values = {"api_token": "a", "retry_delay": 0.01, "attempts": 1, **settings}
    spawner = HubLauncher(url=url, **values)
    try:
        request = launch_request()
        return await spawn(spawner, request)
    finally:
        await spawner.close()


@pytest.mark.parametrize("url", ["javascript:alert(1)", "file:///etc/passwd", "data:text/html,a"])
@asynchronous(20)
async def test_an_address_that_must_not_be_opened(url: str) -> None:
    """Attack: a button links to the address in JupyterHub's response."""
    async with hostile([event(ready=True, url=url)]) as (address, _):
        with pytest.raises(LaunchFailedError, match="not http"):
            await spawn_at(address)


@asynchronous(20)
async def test_streams_that_break_off_are_read_again_without_duplicates() -> None:
    one, two = event(message="one", progress=1), event(message="two")
    end = event(ready=True, url="/user/a/", message="end")
    streams = [
        one[:10],  # in the middle of an event
        one + one,  # the Hub may say the same twice, and mean it
        b"\n\n" + one + one + two,
        b"\r\n\r\n: comment\r\n" + one + one + two + two + end,
    ]
    async with hostile(streams) as (address, seen):
        items = await spawn_at(address)
        assert messages(items) == ["one", "one", "two", "two", "end"]
        assert served(items).url == f"{address}user/a/"
    assert sum(path.startswith("POST") and "server" in path for path in seen) == 1


class RecordingApi(HubApi):
    """Records which progress streams were closed."""

    def __init__(self, launcher: HubLauncher) -> None:
        super().__init__(launcher)
        self.closed: list[str] = []

    async def events(self, path: str) -> AsyncGenerator[dict[str, Any], None]:
        try:
            async with aclosing(super().events(path)) as records:
                async for record in records:
                    yield record
        finally:
            self.closed.append(path)


@asynchronous(20)
async def test_closing_a_launch_closes_its_stream_first() -> None:
    """Not later, when Python finalizes the inner generators."""
    async with hostile([event(message="one")]) as (address, _):
        launcher = HubLauncher(url=address, api_token="a")
        launcher._api = recording = RecordingApi(launcher)
        items = launcher.launch(launch_request())
        record = await anext(items)
        assert isinstance(record, Record)
        assert not recording.closed
        await items.aclose()
        assert len(recording.closed) == 1
        await launcher.close()


@pytest.mark.parametrize("text", [b"data: {no json\n\n", b"data: [1]\n\n", b""])
@asynchronous(20)
async def test_a_stream_that_never_makes_sense(text: bytes) -> None:
    async with hostile([text]) as (address, seen):
        with pytest.raises(LaunchFailedError) as caught:
            await spawn_at(address, retries=3)
        assert caught.value.reason == "hub-unreachable"
        assert sum(path.endswith("/progress") for path in seen) == 4


@asynchronous(20)
async def test_a_failure_with_progress_100_and_html_is_a_failure() -> None:
    text = event(progress=100, failed=True, message="Spawn failed: <b>no</b>", html_message="<b>")
    async with hostile([text]) as (address, _):
        with pytest.raises(LaunchFailedError, match="could not be started: <b>no</b>"):
            await spawn_at(address)


@pytest.mark.long
@asynchronous(20)
async def test_the_hub_is_told_which_trace_a_spawn_belongs_to() -> None:
    ready = event(progress=100, ready=True, message="Server ready", url="/user/a-b/")
    header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for span, expected in ((parse(header), header), (None, "")):
        TRACE.set(span)
        told: list[str] = []
        async with hostile([ready], told=told) as (url, seen):
            await spawn_at(url)
        assert len(seen) == 3
        assert told == [expected] * 3
