"""A BinderHub as its clients see it: what a real one sent, sent again, and cut where a test says.

It is as strict as the real one, by its source (``builder.py``, ``base.py``): one GET acts and
streams; its events have no ids; whoever asks while a build runs joins it and gets its log again;
whoever asks later gets a server of their own; after a failed build the connection stays open.
"""

from __future__ import annotations

import asyncio
import json
import threading
from base64 import b64encode
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, Finish, RequestHandler

STREAMS = Path(__file__).parents[1] / "data" / "streams"
LOG_TAIL = 100
"""How many lines of a running build's log are sent again to whoever joins it."""


class BinderHub:
    """One BinderHub; what it does can be changed while it runs.

    Parameters
    ----------
    stream : str
        What it sends: ``ok`` or ``badbuild`` for ``binderhub-build-real-ok.txt`` and so on.
    pace : float
        Seconds between the events of a build or a launch.
    allow_origin : str
        What ``BinderHub.cors_allow_origin`` is set to; empty: pages of other origins get nothing
        but the versions.
    cuts : mapping of int to int
        Of which GET, from 1, the connection is cut, and after how many events.
    may_cut : threading.Event, optional
        Awaited before a connection is cut: a browser drops data that it has not read by then.
    keepalive, hold : float
        Seconds between keepalives, and for which a connection is kept when the server is ready.

    Attributes
    ----------
    tokens : list of str
        What the GETs of builds gave to say who asks.
    stopped : list of str
        The paths of the servers that were shut down.
    refusal : int or dict or None
        What a GET of a build is answered instead: a status, as by a proxy, or an event.
    instead : dict of str to dict
        What is sent instead of the first event of a phase, and ends it: `FULL` of ``launching``.
    health : dict
        What its ``/health`` says.
    basic : str
        The user and the password, with a colon between, that it wants to see; empty: nothing.
    refused : int
        How many requests came without them.
    gate : dict of str to asyncio.Event
        Before an event of this phase is sent, its event is awaited.
    """

    def __init__(
        self,
        stream: str = "ok",
        *,
        pace: float = 0.0,
        allow_origin: str = "",
        cuts: dict[int, int] | None = None,
        may_cut: threading.Event | None = None,
        keepalive: float = 25.0,
        hold: float = 60.0,
    ) -> None:
        self.pace = pace
        self.allow_origin = allow_origin
        self.cuts = cuts or {}
        self.may_cut = may_cut
        self.keepalive = keepalive
        self.hold = hold
        self.requests: list[str] = []
        """The specs of all GETs."""
        self.traceparents: list[str] = []
        """… and which traces they belong to."""
        self.tokens: list[str] = []
        self.stopped: list[str] = []
        self.open = 0
        """How many connections there are."""
        self.idle = asyncio.Event()
        """Set while there are none."""
        self.joined = asyncio.Event()
        """Set when a client has come."""
        self.left = asyncio.Event()
        """Set when a client has gone."""
        self.builds = 0
        self.launches = 0
        """How many GETs got to ``launching``: so many servers."""
        self.go_on = asyncio.Event()
        """Cleared, nothing more is sent until it is set again; see `pause` and `resume`."""
        self.go_on.set()
        self.refusal: int | dict[str, Any] | None = None
        self.instead: dict[str, dict[str, Any]] = {}
        self.health: dict[str, Any] = healthy()
        self.basic = ""
        self.refused = 0
        self.gate: dict[str, asyncio.Event] = {}
        self.server_url: str | None = None
        """What it says where the server is; None: here."""
        self._port = 0
        events = recorded(stream)
        built = next((at for at, event in enumerate(events) if _phase(event) == "built"), None)
        self._waiting, self._log = events[0], events[1:built]
        self._launch = events[built:] if built is not None else []
        self._at = 0
        self._is_built = False
        self._build: asyncio.Task[None] | None = None
        self._more = asyncio.Event()
        self._server: HTTPServer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.url = ""

    def start(self) -> None:
        """Listen on a free port of 127.0.0.1; again on the same one after `kill`."""
        self._loop = asyncio.get_running_loop()
        (socket,) = bind_sockets(self._port, "127.0.0.1")
        self._port = socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/binder/"
        self._server = HTTPServer(
            Application(
                [
                    ("/binder/versions", _Versions),
                    ("/binder/build/([^/]+)/(.+)", _Build),
                    ("/binder/health", _Health),
                    ("/binder/user/.*", _Jupyter),
                    # Pages of other origins that are allowed may read this, too.
                    (".*", _NotFound),
                ],
                hub=self,
            )
        )
        self._server.add_socket(socket)

    async def stop(self) -> None:
        """Cut all connections, and the build."""
        assert self._server is not None
        self._server.stop()
        await self._server.close_all_connections()
        if self._build is not None:
            self._build.cancel()

    async def kill(self) -> None:
        """End it as a process ends: nobody listens, all connections are cut, and so is the build.

        What a cluster goes on with is lost, too: images that are done are there after `start`.
        """
        await self.stop()
        self._build = None

    def pause(self) -> None:
        """Send nothing more for now. From any thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.go_on.clear)

    def resume(self) -> None:
        """Go on. From any thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.go_on.set)

    def wait_for(self, event: asyncio.Event, timeout: float = 20) -> None:
        """Wait for `idle`, `joined` or `left`. From any other thread."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(event.wait(), self._loop).result(timeout)

    def release(self, phase: str) -> None:
        """Open a gate. From any thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.gate[phase].set)

    async def tick(self) -> None:
        """Wait for the moment of the next event."""
        await asyncio.sleep(self.pace)
        await self.go_on.wait()

    async def events(self) -> AsyncGenerator[dict[str, Any]]:
        """Make what one GET is sent: the events, in the order and at the time of a real one."""
        found = self._is_built
        if not found:
            if self._build is None:
                self.builds += 1
                self._at = 0
                self._build = asyncio.create_task(self._run())
            yield self._waiting
            at = max(self._at - LOG_TAIL, 0)
            while at < len(self._log):
                while at >= self._at:
                    self._more.clear()
                    await self._more.wait()
                yield self._log[at]
                at += 1
        elif self._launch:
            yield {**self._launch[0], "message": "Found built image, launching...\n"}
        if not self._launch:
            return
        counted = False
        for event in self._launch[found:]:
            await self.tick()
            phase = _phase(event)
            if phase in self.gate:
                await self.gate[phase].wait()
            if phase in self.instead:
                yield self.instead[phase]
                return
            yield event
            # Only now: a client that is gone gets no server.
            if _phase(event) == "launching" and not counted:
                counted = True
                self.launches += 1

    async def _run(self) -> None:
        for _ in self._log:
            await self.tick()
            self._at += 1
            self._more.set()
        # An image is there for all who ask from now on; after a failure the next one builds again.
        self._build = None
        self._is_built = bool(self._launch)


class _Handler(RequestHandler):
    @property
    def hub(self) -> BinderHub:
        hub = self.settings["hub"]
        assert isinstance(hub, BinderHub)
        return hub

    def set_default_headers(self) -> None:
        if self.hub.allow_origin:
            self.set_header("Access-Control-Allow-Origin", self.hub.allow_origin)
        self.set_header("Access-Control-Allow-Headers", "cache-control")

    def options(self, *_: str) -> None:
        pass

    def prepare(self) -> None:
        wanted = f"Basic {b64encode(self.hub.basic.encode()).decode()}"
        if self.hub.basic and self.request.headers.get("Authorization") != wanted:
            self.hub.refused += 1
            self.set_status(401)
            self.finish()


class _Versions(_Handler):
    def set_default_headers(self) -> None:
        # Pages of all origins may ask for these, unless it is set to less.
        self.set_header("Access-Control-Allow-Origin", "*")
        super().set_default_headers()

    def get(self) -> None:
        self.write({"builder_info": {"build_image": "repo2docker:2026.4.0"}, "binderhub": "1.0"})


class _Health(_Handler):
    def get(self) -> None:
        self.set_status(200 if self.hub.health["ok"] else 503)
        self.write(self.hub.health)


class _Jupyter(_Handler):
    def get(self) -> None:
        if any(self.request.path.startswith(path) for path in self.hub.stopped):
            # As the Hub answers for a server that is no more.
            self.redirect("/hub/login")
            return
        self.write("<!doctype html><title>Jupyter</title><p>The server.")

    def post(self) -> None:
        self.hub.stopped.append(self.request.path.removesuffix("api/shutdown"))


class _NotFound(_Handler):
    def get(self) -> None:
        self.set_status(404)


class _Build(_Handler):
    def set_default_headers(self) -> None:
        super().set_default_headers()
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-cache")

    def initialize(self) -> None:
        self.gone = asyncio.Event()

    def on_connection_close(self) -> None:
        self.gone.set()
        self.hub.left.set()

    async def get(self, _provider: str, _spec: str) -> None:
        accept = self.request.headers.get("Accept", "")
        if "text/event-stream" not in {part.strip().lower() for part in accept.split(";")}:
            # Also what a browser sends for a page. The status of a stream is always 200.
            message = "This is for programs that accept text/event-stream.\n"
            await self.emit({"phase": "failed", "status_code": 400, "message": message})
            return
        if isinstance(self.hub.refusal, int):
            self.set_header("Content-Type", "text/html")
            self.set_status(self.hub.refusal)
            return
        self.hub.traceparents.append(self.request.headers.get("traceparent", ""))
        self.hub.tokens.append(self.request.headers.get("Authorization", ""))
        self.hub.requests.append(self.request.path.removeprefix("/binder/build/"))
        if self.hub.refusal is not None:
            await self.emit(self.hub.refusal)
            return
        self.hub.open += 1
        self.hub.idle.clear()
        self.hub.joined.set()
        alive = asyncio.create_task(self._keep_alive())
        try:
            await self._send(self.hub.cuts.get(len(self.hub.requests)))
        finally:
            alive.cancel()
            self.hub.open -= 1
            if not self.hub.open:
                self.hub.idle.set()

    async def emit(self, event: dict[str, Any]) -> None:
        self.write(f"data: {json.dumps(event)}\n\n")
        try:
            await self.flush()
        except StreamClosedError:
            # The real one stops here, too: who is gone gets no server.
            raise Finish from None

    async def _send(self, cut: int | None) -> None:
        sent = 0
        event: dict[str, Any] = {}
        async with aclosing(self.hub.events()) as events:
            async for event in events:
                if sent == cut:
                    break
                if "url" in event and self.hub.server_url is None:
                    event = {**event, "url": f"{self.hub.url}user/someone/"}
                elif "url" in event:
                    event = {**event, "url": self.hub.server_url}
                await self.emit(event)
                sent += 1
        if sent == cut:
            if self.hub.may_cut:
                await asyncio.to_thread(self.hub.may_cut.wait, 30)
            self.detach().close()
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(None if _phase(event) == "failed" else self.hub.hold):
                await self.gone.wait()

    async def _keep_alive(self) -> None:
        with suppress(StreamClosedError):
            while True:
                await asyncio.sleep(self.hub.keepalive)
                self.write(":keepalive\n\n")
                await self.flush()


def healthy(pods: int = 3, quota: int | None = 10) -> dict[str, Any]:
    """Return what ``/health`` of a BinderHub on Kubernetes says, by its source (``health.py``)."""
    usage = {
        "service": "Pod quota",
        "total_pods": pods,
        "build_pods": 1,
        "user_pods": pods - 1,
        "quota": quota,
        "ok": quota is None or pods <= quota,
        "_ignore_failure": True,
    }
    return {"ok": True, "checks": [{"service": "JupyterHub API", "ok": True}, usage]}


FULL = {"phase": "failed", "message": "Too many users on this BinderHub! Try again soon.\n"}
"""What it says, before it asks for a server, when its quota is used up (``quota.py``)."""


def recorded(stream: str) -> Sequence[dict[str, Any]]:
    """Return the events that a real BinderHub sent."""
    path = STREAMS / f"binderhub-build-real-{stream}.txt"
    lines = path.read_text().splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def _phase(event: dict[str, Any]) -> str:
    return str(event.get("phase", ""))


@contextmanager
def binderhub_in_thread(stream: str = "ok", **options: Any) -> Iterator[BinderHub]:
    """Run one beside a test that has no event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def start() -> BinderHub:
        hub = BinderHub(stream, **options)
        hub.start()
        return hub

    hub = asyncio.run_coroutine_threadsafe(start(), loop).result(10)
    try:
        yield hub
    finally:
        asyncio.run_coroutine_threadsafe(hub.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
