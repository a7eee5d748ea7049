"""Viewers: formats, TLS, HTTP/1.0, and the behaviour of Tornado that they rely on."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import socket
import ssl
import weakref
from collections.abc import Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream
from tornado.testing import bind_unused_port
from tornado.web import Application
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from binderprogress.core import sse
from binderprogress.core.events import Encoded, Event
from binderprogress.core.phases import Phase
from binderprogress.launches import Launch, LaunchManager
from binderprogress.launches.fanout import Audience
from binderprogress.web.app import make_app
from binderprogress.web.config import Web
from binderprogress.web.streams import EventsHandler
from binderprogress.web.viewers import (
    END,
    HEAD,
    EventStream,
    EventStreamViewer,
    SocketMessages,
)

from ..launches.parts import WITHIN, Feed, SilentHost, gen_test, unwatched
from ..support.archives import Certificates, certificates
from .clients import Api, ask, events, read_all


def encoded(number: int, message: str = "") -> Encoded:
    event = Event(
        id=number, phase=Phase.BUILDING, time=0.0, elapsed=0.0, progress=0.0, message=message
    )
    return Encoded.of(event)


def test_event_streams_are_chunks_of_complete_blocks() -> None:
    both = [encoded(1, "ä\n"), encoded(20)]
    plain, chunked = EventStream(chunked=False), EventStream(chunked=True)
    data = plain.frame(both)
    assert [event.id for event in sse.Decoder().feed(data)] == ["1", "20"]
    assert chunked.frame(both) == b"%x\r\n%b\r\n" % (len(data), data)
    assert (plain.keepalive, chunked.keepalive) == (b":\n\n", b"3\r\n:\n\n\r\n")
    named = EventStream(chunked=False, id_prefix=b"launch.").frame(both)
    decoded = sse.Decoder().feed(named)
    assert [event.id for event in decoded] == ["launch.1", "launch.20"]
    assert decoded[0].data.encode() == both[0].json
    # BinderHub's clients expect a message.
    assert json.loads(decoded[1].data) == {**json.loads(both[1].json), "message": ""}


@pytest.mark.parametrize("more", [{}, {"source": {"progress": 4, "message": "x"}}, {"step": "s"}])
def test_binderhubs_clients_get_an_empty_message_where_there_is_none(more: dict[str, Any]) -> None:
    times = {"time": 1784000000.125, "elapsed": 1e-7, "progress": 40.25}
    event = Event(id=12, phase=Phase.LAUNCHING, **times, **more)
    stream = EventStream(chunked=False, id_prefix=b"launch.")
    (block,) = sse.Decoder().feed(stream.frame([Encoded.of(event)]))
    assert json.loads(block.data) == {**json.loads(Encoded.of(event).json), "message": ""}


@pytest.mark.parametrize("size", [200, (1 << 16) - 1, 1 << 16, 100_000])
def test_a_socket_has_one_text_frame_for_each_event(size: int) -> None:
    # Parsed by another implementation.
    filler = size - len(encoded(1, "-").json) + 1
    both = [encoded(1, "x" * filler), encoded(2)]
    reader = StreamReader()
    reader.feed_data(SocketMessages().frame(both) + SocketMessages().keepalive)
    frames = [read_frame(reader) for _ in range(3)]
    assert len(both[0].json) == size
    assert [frame.data for frame in frames] == [both[0].json, both[1].json, b""]
    assert [frame.opcode for frame in frames] == [Opcode.TEXT, Opcode.TEXT, Opcode.PING]


def test_a_short_message_has_a_short_header() -> None:
    class Short:
        json = b"{}"

    assert SocketMessages().frame([Short()]) == b"\x81\x02{}"  # type: ignore[list-item]


def read_frame(reader: StreamReader) -> Frame:
    parsing: Generator[None, None, Frame] = Frame.parse(reader.read_exact, mask=False)
    try:
        next(parsing)
    except StopIteration as done:
        frame: Frame = done.value
        return frame
    raise AssertionError("a frame is not complete")


@gen_test
async def test_http_1_0_has_no_chunks_and_ends_with_its_connection(
    api: Api, app: Application, tmp_path: Path
) -> None:
    async with Feed(tmp_path / "fed", status=1) as feed:
        links = await api.start(feed.spec)
        (await feed.build()).finish()
        whole = await api.whole(links["events_url"])
        client = await ask(int(api.url.rpartition(":")[2]), links["events_url"], version="1.0")
        head, _, body = (await read_all(client)).partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert b"Connection: close" in head
    assert body == whole.raw


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates(tmp_path_factory.mktemp("tls"))


@gen_test
async def test_tls(api: Api, app: Application, files: Certificates, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    server = HTTPServer(app, ssl_options=context)
    listener, port = bind_unused_port()
    server.add_socket(listener)
    async with Feed(tmp_path / "fed", status=1) as feed, aiohttp.ClientSession() as session:
        links = await api.start(feed.spec)
        path = links["events_url"].removeprefix(api.url)
        async with session.get(f"https://127.0.0.1:{port}{path}", ssl=False) as response:
            build = await feed.build()
            # More than fits into the socket's buffer.
            await build.write("".join(f"fed {number} {'x' * 1000}\n" for number in range(2000)))
            build.finish()
            raw = await response.read()
        assert raw == (await api.whole(links["events_url"])).raw
        assert len(raw) > 2_000_000
    server.stop()
    await server.close_all_connections()


@gen_test
async def test_compression_does_not_delay_events(web: Web, io_loop: object) -> None:
    app = Application(
        make_app(web).default_router.rules, binderprogress=web, compress_response=True
    )
    server = HTTPServer(app)
    listener, port = bind_unused_port()
    server.add_socket(listener)
    url = f"http://127.0.0.1:{port}"
    async with SilentHost() as host, aiohttp.ClientSession() as session:
        answer = await session.post(f"{url}/api/launches", json={"spec": str(host.spec)})
        links = await answer.json()
        async with session.get(links["events_url"]) as response:
            assert "Content-Encoding" not in response.headers
            raw = b""
            while b"\n\n" not in raw.removeprefix(HEAD):
                raw += await response.content.readany()
            assert [event["id"] for event in events(raw)] == [1]
    server.stop()
    await server.close_all_connections()


@gen_test
async def test_an_idle_viewer_keeps_neither_handler_nor_request(
    api: Api, launches: LaunchManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    references: list[weakref.ref[Any]] = []
    stream = EventsHandler.stream

    def note(handler: EventsHandler, *args: Any, **kwargs: Any) -> None:
        references.extend(map(weakref.ref, (handler, handler.request, handler.request.connection)))
        stream(handler, *args, **kwargs)

    monkeypatch.setattr(EventsHandler, "stream", note)
    async with SilentHost() as host:
        links = await api.start(host.spec)
        async with api.watch(links["events_url"]) as watched:
            await watched.until(b"id: 1")
            gc.collect()
            assert len(references) == 3
            assert [ref() for ref in references] == [None, None, None]
            assert launches.get(links["id"]).viewers == 1


@gen_test
async def test_writes_bypass_the_buffer_of_tornado(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # For speed. This relies on `IOStream.socket`, `writing` and `write`.
    async with Feed(tmp_path / "fed", status=1) as feed:
        links = await api.start(feed.spec)
        build = await feed.build()
        async with api.watch(links["events_url"]) as watched:
            await watched.until(b"id: 1")
            socket = await api.socket(links["socket_url"])
            assert await socket.read_message()
            written: list[bytes] = []
            write = IOStream.write

            def note(stream: IOStream, data: bytes) -> asyncio.Future[None]:
                written.append(bytes(data))
                return write(stream, data)

            monkeypatch.setattr(IOStream, "write", note)
            await build.write("by the shortest way\n")
            await watched.until(b"by the shortest way")
            while b"by the shortest way" not in str(await socket.read_message()).encode():
                pass
            assert not [
                data for data in written if b"by the shortest way" in data and b"id" in data
            ]
            monkeypatch.undo()
            build.finish()
            await watched.end()
    assert watched.raw.endswith(END)


@gen_test
async def test_a_client_that_disconnects_during_authentication(
    api: Api, web: Web, launches: LaunchManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, gone, done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    identify, close, stream = (
        web.access.identify,
        EventsHandler.on_connection_close,
        EventsHandler.stream,
    )

    async def slowly(handler: Any) -> str:
        if isinstance(handler, EventsHandler):
            asked.set()
            await gone.wait()
        return await identify(handler)

    def closed(handler: EventsHandler) -> None:
        close(handler)
        gone.set()

    def streamed(handler: EventsHandler, *args: Any, **kwargs: Any) -> None:
        stream(handler, *args, **kwargs)
        done.set()

    monkeypatch.setattr(web.access, "identify", slowly)
    monkeypatch.setattr(EventsHandler, "on_connection_close", closed)
    monkeypatch.setattr(EventsHandler, "stream", streamed)
    async with SilentHost() as host:
        links = await api.start(host.spec)
        client = await ask(int(api.url.rpartition(":")[2]), links["events_url"])
        async with asyncio.timeout(60):
            await asked.wait()
            client.close()
            await done.wait()
        assert launches.get(links["id"]).viewers == 0


@gen_test
async def test_attack_a_viewer_that_keeps_sending_is_disconnected(
    api: Api, launches: LaunchManager, caplog: pytest.LogCaptureFixture
) -> None:
    async with SilentHost() as host:
        links = await api.start(host.spec)
        launch = launches.get(links["id"])
        client = await ask(int(api.url.rpartition(":")[2]), links["events_url"])
        await unwatched(launch, lambda launch: launch.viewers == 1)
        with pytest.raises(ConnectionError):
            while True:
                await asyncio.get_running_loop().sock_sendall(client, b"x" * 65536)
        client.close()
        await unwatched(launch, lambda launch: launch.viewers == 0)
        # Tornado logs this as an error.
        said = [r for r in caplog.records if "read buffer" in r.getMessage()]
        assert said and all(record.name == "tornado.general" for record in said)
        for record in said:
            caplog.get_records("call").remove(record)


@gen_test
async def test_without_keepalives_a_lingering_stream_is_silent_until_it_closes() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    ready = SimpleNamespace(last=SimpleNamespace(phase=Phase.READY))
    viewer = EventStreamViewer(
        IOStream(ours),
        log=logging.getLogger(__name__),
        launch=cast(Launch, ready),
        form=EventStream(chunked=False),
        linger=0.05,
    )
    settings = SimpleNamespace(keepalive=0.0, viewer_timeout=10.0)
    viewer.audience = cast(Audience, SimpleNamespace(settings=settings, remove=lambda _: None))
    viewer.end()
    client = IOStream(theirs)
    async with asyncio.timeout(WITHIN):
        assert await client.read_until_close() == END


@gen_test
async def test_a_stream_is_in_the_access_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tornado.access")
    async with SilentHost() as host:
        links = await api.start(host.spec)
        async with api.watch(links["events_url"]) as watched:
            await watched.until(HEAD)
        lines = [r.getMessage() for r in caplog.records if r.name == "tornado.access"]
        [line] = [line for line in lines if "/events" in line]
        assert line.startswith("200 GET ")
        # The id gives access to the launch.
        assert links["id"] not in line
