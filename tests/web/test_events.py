"""Watching a launch over server-sent events."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from tornado.web import Application

from binderprogress.core import sse
from binderprogress.core.specs import Spec
from binderprogress.launches import LaunchManager
from binderprogress.web.config import Web

from ..launches.parts import WITHIN, Feed, SilentHost, gen_test, until, unwatched
from .clients import Api, ask, events, ids, logged, narrow, read_all, sentence

HEAD = b"retry: 1000\n\n"
END = b"retry: 3600000\n\n"


def numbered(count: int, *, after: int = 0) -> list[str]:
    return [str(number) for number in range(after + 1, count + 1)]


@gen_test
async def test_a_stream_from_its_first_event_to_its_end(api: Api, tmp_path: Path) -> None:
    async with Feed(tmp_path / "fed", status=1) as feed:
        links = await api.start(feed.spec)
        async with api.watch(links["events_url"]) as stream:
            assert stream.status == 200
            assert stream.headers["Content-Type"] == "text/event-stream"
            assert stream.headers["Cache-Control"] == "no-store, no-transform"
            assert stream.headers["X-Accel-Buffering"] == "no"
            assert "Content-Encoding" not in stream.headers
            # Before the build.
            await stream.until(b"\n\n", 2)
            assert stream.raw.startswith(HEAD + b"id: 1\ndata: {")
            build = await feed.build()
            for number in range(3):
                # Lines are sent at once, and not when a buffer is full.
                await build.write(f"fed {number}\n")
                await stream.until(b"fed %d" % number)
            build.finish()
            await stream.end()
        last = stream.events[-1]
        assert stream.ids == numbered(last["id"])
        assert [event["id"] for event in stream.events] == list(range(1, last["id"] + 1))
        assert stream.raw.endswith(b"\n\n" + END)
        assert (last["phase"], last["reason"]) == ("failed", "postbuild-failed")
        assert [e for e in stream.events if e["phase"] == "failed"] == [last]
        # Our decoder and that of a browser yield the same.
        decoded = sse.Decoder().feed(stream.raw)
        assert [json.loads(event.data) for event in decoded] == stream.events

        # Later viewers get the same bytes.
        assert (await api.whole(links["events_url"])).raw == stream.raw
        for after in (1, 5, last["id"] - 1):
            by_header = await api.whole(links["events_url"], Last_Event_ID=str(after))
            by_query = await api.whole(f"{links['events_url']}?after={after}")
            assert by_header.ids == by_query.ids == numbered(last["id"], after=after)


@pytest.mark.long
@pytest.mark.fault(
    part="The connection to viewers",
    fault="is cut again and again",
    promise="nothing is missed",
)
@gen_test
async def test_a_viewer_that_is_cut_again_and_again_misses_nothing(
    api: Api, tmp_path: Path
) -> None:
    async with Feed(tmp_path / "fed", status=1) as feed:
        links = await api.start(feed.spec)
        build = await feed.build()
        await build.write("".join(f"fed {number}\n" for number in range(300)))
        build.finish()
        kept: list[str] = []
        connections = 0
        while "failed" not in "".join(kept[-1:]):
            # The connection is lost in the middle of an event.
            connections += 1
            async with api.watch(links["events_url"], Last_Event_ID=str(len(kept))) as stream:
                await stream.some(8000)
            whole = sse.Decoder().feed(stream.raw)
            assert [event.id for event in whole] == numbered(
                len(kept) + len(whole), after=len(kept)
            )
            kept += [event.data for event in whole]
        assert connections > 5
        uncut = await api.whole(links["events_url"])
        assert [json.loads(data) for data in kept] == uncut.events
        assert feed.waiting == 0


@gen_test
async def test_a_client_that_comes_back_after_the_end_gets_the_end_and_starts_nothing(
    api: Api, launches: LaunchManager, failing: Spec
) -> None:
    links = await api.start(failing)
    whole = await api.whole(links["events_url"])
    end = whole.events[-1]
    for position in (end["id"], end["id"] + 1, 10**14):
        again = await api.whole(links["events_url"], Last_Event_ID=str(position))
        assert again.events == [end]
        assert again.raw.endswith(END)
    assert (launches.running, sum(launches.ended.values())) == (0, 1)


@gen_test
async def test_the_header_counts_more_than_the_query(api: Api, failing: Spec) -> None:
    # A browser reconnects to the same URL.
    links = await api.start(failing)
    await api.whole(links["events_url"])
    stream = await api.whole(f"{links['events_url']}?after=0", Last_Event_ID="1")
    assert stream.ids == ["2"]


@pytest.mark.parametrize(
    "position", ["x", "-1", "1.5", "0x10", "1e3", "9" * 16, "id.5", "+3", "1_0"]
)
@gen_test
async def test_an_invalid_position_is_refused(api: Api, failing: Spec, position: str) -> None:
    links = await api.start(failing)
    for response in (
        await api.fetch(links["events_url"], headers={"Last-Event-ID": position}),
        await api.fetch(f"{links['events_url']}?after={position.replace('+', '%2B')}"),
    ):
        assert response.code == 400
        assert "the number of an event" in sentence(response)


@gen_test
async def test_comments_keep_the_connection_alive(api: Api, web: Web) -> None:
    web.keepalive = 0.05
    async with SilentHost() as host:
        links = await api.start(host.spec)
        async with api.watch(links["events_url"]) as stream:
            await stream.until(b":\n\n", 3)
            assert stream.ids == ["1"]
            # Decoders ignore comments.
            assert len(sse.Decoder().feed(stream.raw)) == 1


@gen_test
async def test_resuming_at_the_newest_event_responds_at_once(api: Api, web: Web) -> None:
    # Until the headers arrive, browsers treat the connection as lost.
    web.keepalive = 3600
    async with SilentHost() as host:
        links = await api.start(host.spec)
        async with asyncio.timeout(60), api.watch(links["events_url"], Last_Event_ID="1") as stream:
            assert stream.status == 200
            await stream.until(HEAD)
            assert stream.ids == []


@gen_test
async def test_disconnected_viewers_are_not_counted(api: Api, launches: LaunchManager) -> None:
    async with SilentHost() as host:
        links = await api.start(host.spec)
        launch = launches.get(links["id"])
        async with api.watch(links["events_url"]) as first:
            await first.until(b"id: 1")
            async with api.watch(links["events_url"]) as second:
                await second.until(b"id: 1")
                assert (await api.state(links))["viewers"] == 2
            await unwatched(launch, lambda launch: launch.viewers == 1)
        await unwatched(launch, lambda launch: launch.viewers == 0)
        assert (await api.state(links))["viewers"] == 0


# -- slow viewers


@pytest.mark.fault(
    part="Viewers",
    fault="do not read",
    promise="they are disconnected after `Web.viewer_timeout`, and can resume",
)
@gen_test
async def test_attack_a_viewer_that_does_not_read_is_dropped_and_can_resume(
    api: Api, app: Application, web: Web, launches: LaunchManager, tmp_path: Path
) -> None:
    # Otherwise, such viewers could keep connections and their buffers forever.
    web.viewer_timeout = 0.3
    async with Feed(tmp_path / "fed", status=1) as feed, narrow(app) as port:
        links = await api.start(feed.spec)
        launch = launches.get(links["id"])
        build = await feed.build()
        client = await ask(port, links["events_url"])
        await unwatched(launch, lambda launch: launch.viewers == 1)
        await build.write("".join(f"fed {number} {'x' * 1000}\n" for number in range(200)))
        await unwatched(launch, lambda launch: launch.viewers == 0)
        assert not launch.last.terminal
        build.finish()
        await until(launch, lambda event: event.terminal)

        got = await read_all(client)
        _, _, body = got.partition(b"\r\n\r\n")
        received = ids(body.rpartition(b"\n\n")[0])
        assert 0 < len(received) < 200
        rest = await api.whole(links["events_url"], Last_Event_ID=received[-1])
        assert received + rest.ids == numbered(launch.last.id)


@pytest.mark.long
@gen_test
async def test_attack_a_slow_reader_of_the_log_is_disconnected(
    api: Api, app: Application, web: Web, tmp_path: Path
) -> None:
    web.viewer_timeout = 0.2
    async with Feed(tmp_path / "fed", status=1) as feed, narrow(app) as port:
        links = await api.start(feed.spec)
        build = await feed.build()
        await build.write("".join(f"fed {number} {'x' * 1000}\n" for number in range(200)))
        build.finish()
        await api.whole(links["events_url"])
        async with logged(web.log, "did not read"):
            client = await ask(port, links["log_url"])
        assert len(await read_all(client)) < 200_000
        whole = await api.fetch(links["log_url"])
        assert len(whole.body) > 200_000
        # A client that disconnects is not an error.
        web.viewer_timeout = 30
        client = await ask(port, links["log_url"])
        await asyncio.get_running_loop().sock_recv(client, 100)
        client.close()
        assert (await api.fetch("/health")).code == 200


@pytest.mark.fault(
    part="Viewers",
    fault="read slowly",
    promise="they hold up nobody, and get the same bytes",
)
@gen_test
async def test_two_viewers_get_the_same_bytes_and_a_slow_one_holds_up_nobody(
    api: Api, app: Application, launches: LaunchManager, tmp_path: Path
) -> None:
    async with Feed(tmp_path / "fed", status=1) as feed, narrow(app) as port:
        links = await api.start(feed.spec)
        build = await feed.build()
        slow = await ask(port, links["events_url"])
        await unwatched(launches.get(links["id"]), lambda launch: launch.viewers == 1)
        await build.write("".join(f"fed {number} {'x' * 1000}\n" for number in range(100)))
        build.finish()
        quick = await api.whole(links["events_url"])
        assert quick.events[-1]["phase"] == "failed"
        # The slow viewer reads again before its timeout.
        raw = b""
        async with asyncio.timeout(WITHIN):
            while END not in raw:
                raw += await asyncio.get_running_loop().sock_recv(slow, 65536)
        slow.close()
        assert b"fed 99 " in raw
        assert len(events(quick.raw)) == len(quick.ids)
