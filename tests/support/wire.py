"""A double of the wire: one launch, whose log is what a test says, as fast as it says.

It speaks as the server does, with the server's own events, pages' policy and framing; there is no
build behind it. For what the browser makes of a log, also in benchmarks.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler, StaticFileHandler

from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.events import Curve, Event
from binderprogress.core.phases import Phase
from binderprogress.launches.channel import Channel
from binderprogress.launches.channel_factory import Channels
from binderprogress.launches.log_lines import LogLines, MemoryText, SharedIndex
from binderprogress.web.base import content_security_policy
from binderprogress.web.build_logs import readable
from binderprogress.web.static_names import hashed_name
from binderprogress.web.streams import position

STATIC = Path(__file__).parents[2] / "share/binderprogress/static"
KEY = "key-of-the-only-launch"
SPEC = "gh/a/b/HEAD"
# How often a paced log is written, in seconds.
TICK = 0.01

PAGE = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>A log</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/static/{hashed_name("base.css")}">
<script type="module" src="/static/binder-progress.js"></script>
<main><binder-progress server="/" spec="{SPEC}" autostart></binder-progress></main>
"""


class Wire:
    """The launch."""

    def __init__(self, page: str) -> None:
        self.page = page
        self.loop = asyncio.new_event_loop()
        self.url = ""
        self._channel = Channels(MemoryChannelStore()).make()
        # Rounded as the times of events, which are not earlier.
        self._began = round(time.time(), 3)
        self._finish = asyncio.Event()
        self._step: dict[str, Any] = {"step": "Step 7 of 51"}
        self._time = 0.0
        self._last = 0.0
        self._text = MemoryText()
        self._index = SharedIndex()
        self.requests: list[str] = []
        """The paths of requests for parts of the log."""
        self._append()

    def say(self, *messages: str) -> None:
        """Send messages, all at once."""
        self._call(self._say(messages))

    def cut(self) -> None:
        """Send no more of the log, as the server does if it is long; `print` goes on."""
        self._call(self._cut())

    def print(self, text: str) -> None:
        """Add to the log without sending it, at the time of what was last sent."""
        self._call(self._print(text))

    def lines(self) -> LogLines:
        """Return the lines of the log so far."""
        return LogLines(self._text, self._index, is_over=self._channel.ended)

    @property
    def log(self) -> bytes:
        """The log so far."""
        return bytes(self._text.data)

    def step(self, index: int, *, cached: bool = False, after: float = 0.0) -> None:
        """Have the next messages belong to a step, `after` seconds later than before."""
        label = f"Step {index} of 51"
        self._step = {
            "step": label,
            "step_key": "step",
            "step_index": index,
            "step_total": 51,
            "step_cached": cached,
        }
        self._time += after

    def stream(self, messages: Sequence[str], rate: float) -> Any:
        """Begin to send so many messages a second; return a future of their number.

        `finish` ends it before all are sent.
        """
        return asyncio.run_coroutine_threadsafe(self._stream(messages, rate), self.loop)

    def finish(self) -> None:
        """Send no more of what is streamed."""
        self.loop.call_soon_threadsafe(self._finish.set)

    def open(self) -> None:
        """Begin to store what is said; in the loop."""
        self._channel.open()

    def end(self) -> None:
        """End the streams; in the loop."""
        self._channel.end()

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    async def _say(self, messages: Iterable[str]) -> None:
        for message in messages:
            self._text.data += message.encode()
            self._append(message)

    async def _cut(self) -> None:
        self._append(
            "[The log is too long to be shown; from here on only the full log has it all.]\n"
        )

    async def _print(self, text: str) -> None:
        self._text.marked.append((self._text.size, self._last))
        self._text.data += text.encode()

    async def _stream(self, messages: Sequence[str], rate: float) -> int:
        began, sent = self.loop.time(), 0
        self._finish.clear()
        while sent < len(messages) and not self._finish.is_set():
            due = min(int((self.loop.time() - began) * rate), len(messages))
            await self._say(messages[sent:due])
            sent = due
            await asyncio.sleep(TICK)
        return sent

    def _append(self, message: str = "") -> None:
        # As the server rounds it.
        now = self._last = round(time.time() + self._time, 3)
        self._channel.append(
            Event(
                id=self._channel.written + 1,
                phase=Phase.BUILDING,
                time=now,
                elapsed=now - self._began,
                progress=40.0,
                curve=Curve(from_=40.0, to=60.0, tau=120.0),
                message=message,
                **self._step,
            )
        )

    def app(self) -> Application:
        api = "/api/launches"
        settings = {"wire": self, "channel": self._channel}
        return Application(
            [
                ("/", PageHandler),
                ("/static/(.*)", StaticFileHandler, {"path": str(STATIC)}),
                (api, LaunchesHandler),
                (f"{api}/{KEY}", StateHandler),
                (f"{api}/{KEY}/events", EventsHandler),
                (f"{api}/{KEY}/log", LogHandler),
                (f"{api}/{KEY}/log/lines", LinesHandler),
                (f"{api}/{KEY}/log/search", SearchHandler),
                (f"{api}/{KEY}/log/times", TimesHandler),
            ],
            **settings,
        )


class _Handler(RequestHandler):
    @property
    def channel(self) -> Channel:
        channel: Channel = self.settings["channel"]
        return channel


class PageHandler(_Handler):
    def get(self) -> None:
        self.set_header("Content-Security-Policy", content_security_policy())
        self.write(self.settings["wire"].page)


class LaunchesHandler(_Handler):
    def post(self) -> None:
        if json.loads(self.request.body) != {"spec": SPEC}:
            raise HTTPError(400)
        self.set_status(201)
        self.write({"id": KEY, "spec": SPEC, "events_url": f"/api/launches/{KEY}/events"})


class StateHandler(_Handler):
    def get(self) -> None:
        self.write({"id": KEY, "spec": SPEC, "now": time.time(), "last": self.channel.last})


class EventsHandler(_Handler):
    async def get(self) -> None:
        after = position(
            self.request.headers.get("Last-Event-ID") or self.get_query_argument("after", "")
        )
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-store, no-transform")
        appended = asyncio.Event()
        self.channel.changed.add(appended.set)
        try:
            while not self.channel.closed:
                appended.clear()
                while events := await self.channel.read(after, limit=1000):
                    self.write(b"".join([e.sse for e in events]))
                    await self.flush()
                    after = events[-1].event.id
                await appended.wait()
        except StreamClosedError:
            return
        finally:
            self.channel.changed.remove(appended.set)


class LogHandler(_Handler):
    async def get(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        log = self.settings["wire"].log
        self.write(b"".join(readable(iter([log]))) if self.get_query_argument("format") else log)


class LinesHandler(_Handler):
    def get(self) -> None:
        wire, get = self.settings["wire"], self.get_query_argument
        wire.requests.append(self.request.uri)
        self.write(msgspec.json.encode(wire.lines().part(int(get("first")), int(get("count")))))


class SearchHandler(_Handler):
    def get(self) -> None:
        wire, query = self.settings["wire"], self.request.query_arguments
        wire.requests.append(self.request.uri)
        found = wire.lines().find(query["q"][0].decode(), int(query["first"][0]))
        self.write(msgspec.json.encode(found))


class TimesHandler(_Handler):
    def get(self) -> None:
        self.write(msgspec.json.encode(self.settings["wire"].lines().times()))


@contextmanager
def wire(page: str = PAGE) -> Iterator[Wire]:
    """Serve a launch, in a thread of its own."""
    launch = Wire(page)
    thread = threading.Thread(target=launch.loop.run_forever, daemon=True)
    thread.start()

    async def start() -> HTTPServer:
        sockets = bind_sockets(0, "127.0.0.1")
        launch.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/"
        launch.open()
        server = HTTPServer(launch.app())
        server.add_sockets(sockets)
        return server

    async def stop(server: HTTPServer) -> None:
        server.stop()
        launch.end()
        await server.close_all_connections()

    server = asyncio.run_coroutine_threadsafe(start(), launch.loop).result(60)
    try:
        yield launch
    finally:
        asyncio.run_coroutine_threadsafe(stop(server), launch.loop).result(60)
        launch.loop.call_soon_threadsafe(launch.loop.stop)
        thread.join(10)
        launch.loop.close()
