"""Watching a launch over WebSocket: the same events, one a message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError
from tornado.web import Application
from traitlets.config import Config

from binderprogress.core.specs import Spec
from binderprogress.launches import LaunchManager
from binderprogress.web.config import Web

from ..launches.parts import Feed, SilentHost, gen_test, unwatched
from .clients import Api, ask, messages, narrow

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@gen_test
async def test_each_message_is_one_event_and_the_end_closes_it(api: Api, tmp_path: Path) -> None:
    async with Feed(tmp_path / "fed", status=1) as feed:
        links = await api.start(feed.spec)
        socket = await api.socket(links["socket_url"])
        first = await socket.read_message()
        assert isinstance(first, str)
        assert json.loads(first)["id"] == 1
        build = await feed.build()
        await build.write("fed\n")
        seen: list[Any] = [json.loads(first)]
        while seen[-1].get("message") != "fed\n":
            message = await socket.read_message()
            assert message is not None
            seen.append(json.loads(message))
        build.finish()
        seen += await messages(socket)
        assert (socket.close_code, socket.close_reason) == (1000, "The launch has ended.")
        assert [event["id"] for event in seen] == list(range(1, len(seen) + 1))
        # The same as over the other way.
        assert seen == (await api.whole(links["events_url"])).events
        for after in (1, 5, len(seen) - 1):
            resumed = await messages(await api.socket(f"{links['socket_url']}?after={after}"))
            assert resumed == seen[after:]
        for after in (len(seen), len(seen) + 7):
            resumed = await messages(await api.socket(f"{links['socket_url']}?after={after}"))
            assert resumed == seen[-1:]


@gen_test
async def test_a_viewer_that_leaves_is_counted_out(api: Api, launches: LaunchManager) -> None:
    async with SilentHost() as host:
        links = await api.start(host.spec)
        socket = await api.socket(links["socket_url"])
        assert await socket.read_message()
        assert (await api.state(links))["viewers"] == 1
        socket.close()
        await unwatched(launches.get(links["id"]), lambda launch: launch.viewers == 0)


@gen_test
async def test_silence_is_filled_with_pings(api: Api, web: Web) -> None:
    web.keepalive = 0.05
    async with SilentHost() as host:
        links = await api.start(host.spec)
        pings: list[bytes] = []
        socket = await api.socket(links["socket_url"])
        protocol: Any = socket.protocol
        answer = protocol._handle_message

        def handle(opcode: int, data: bytes) -> Any:
            if opcode == 9:
                pings.append(data)
                if len(pings) == 3:
                    socket.close()
            return answer(opcode, data)

        protocol._handle_message = handle
        assert [event["id"] for event in await messages(socket)] == [1]
        assert len(pings) >= 3


@gen_test
async def test_attack_a_client_that_talks_is_closed(api: Api, launches: LaunchManager) -> None:
    # There is nothing to say; what would come is only there to fill buffers.
    async with SilentHost() as host:
        links = await api.start(host.spec)
        socket = await api.socket(links["socket_url"])
        assert await socket.read_message()
        await socket.write_message("hello")
        assert await messages(socket) == []
        assert socket.close_code == 1008
        await unwatched(launches.get(links["id"]), lambda launch: launch.viewers == 0)
        # The launch is none of its business.
        assert (await api.state(links))["phase"] == "waiting"


@gen_test
async def test_attack_a_viewer_that_does_not_read_is_dropped(
    api: Api, app: Application, web: Web, launches: LaunchManager, tmp_path: Path
) -> None:
    web.viewer_timeout = 0.3
    async with Feed(tmp_path / "fed", status=1) as feed, narrow(app) as port:
        links = await api.start(feed.spec)
        launch = launches.get(links["id"])
        build = await feed.build()
        client = await ask(port, links["socket_url"], **UPGRADE)
        await unwatched(launch, lambda launch: launch.viewers == 1)
        await build.write("".join(f"fed {number} {'x' * 1000}\n" for number in range(200)))
        await unwatched(launch, lambda launch: launch.viewers == 0)
        assert not launch.last.terminal
        client.close()
        build.finish()
        assert (await api.whole(links["events_url"])).events[-1]["phase"] == "failed"


@pytest.mark.parametrize("after", ["x", "-1", "9" * 20])
@gen_test
async def test_a_position_that_is_none_is_refused(api: Api, failing: Spec, after: str) -> None:
    links = await api.start(failing)
    with pytest.raises(HTTPClientError) as refused:
        await api.socket(f"{links['socket_url']}?after={after}")
    assert refused.value.code == 400


@gen_test
async def test_an_unknown_launch_is_not_found(api: Api) -> None:
    with pytest.raises(HTTPClientError) as refused:
        await api.socket(f"{api.url}/api/launches/nope/socket".replace("http", "ws"))
    assert refused.value.code == 404


@gen_test
async def test_a_plain_request_is_told_that_it_is_a_socket(api: Api, failing: Spec) -> None:
    links = await api.start(failing)
    response = await api.fetch(links["socket_url"].replace("ws", "http", 1))
    assert response.code == 426
    assert response.headers["Upgrade"] == "websocket"


class TestOrigin:
    @pytest.fixture
    def settings(self) -> Config:
        return Config({"Web": {"allowed_origins": ["https://allowed.example"]}})

    @pytest.mark.parametrize(
        "origin",
        [
            "https://evil.example",
            "http://allowed.example",
            "https://allowed.example.evil.example",
            "null",
            "http://[",
            "localhost",
        ],
    )
    @gen_test
    async def test_attack_another_sites_page_cannot_watch(
        self, api: Api, failing: Spec, origin: str
    ) -> None:
        # WebSockets know no CORS: without a look at the origin any page could read the token in
        # the `ready` event of a launch whose id it got hold of.
        links = await api.start(failing)
        response = await api.fetch(
            links["socket_url"].replace("ws", "http", 1), headers={**UPGRADE, "Origin": origin}
        )
        assert response.code == 403
        assert "Upgrade" not in response.headers

    @gen_test
    async def test_an_allowed_site_and_our_own_pages_can(self, api: Api, failing: Spec) -> None:
        links = await api.start(failing)
        for origin in ("https://allowed.example", api.url):
            socket = await api.socket(links["socket_url"], Origin=origin)
            assert (await messages(socket))[-1]["phase"] == "failed"
            assert socket.close_code == 1000
