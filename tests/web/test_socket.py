"""Watching a launch over a WebSocket."""

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
async def test_one_event_per_message_and_a_closing_handshake(api: Api, tmp_path: Path) -> None:
    async with Feed(tmp_path / "fed", status=1) as feed:
        links = await api.start(feed.spec)
        socket = await api.socket(links["socket_url"])
        first = await socket.read_message()
        assert isinstance(first, str)
        assert json.loads(first)["id"] == 1
        build = await feed.build()
        await build.write("fed\n")
        received: list[Any] = [json.loads(first)]
        while received[-1].get("message") != "fed\n":
            message = await socket.read_message()
            assert message is not None
            received.append(json.loads(message))
        build.finish()
        received += await messages(socket)
        assert (socket.close_code, socket.close_reason) == (1000, "The launch has ended.")
        assert [event["id"] for event in received] == list(range(1, len(received) + 1))
        # The same events as over server-sent events.
        assert received == (await api.whole(links["events_url"])).events
        for after in (1, 5, len(received) - 1):
            resumed = await messages(await api.socket(f"{links['socket_url']}?after={after}"))
            assert resumed == received[after:]
        for after in (len(received), len(received) + 7):
            resumed = await messages(await api.socket(f"{links['socket_url']}?after={after}"))
            assert resumed == received[-1:]


@gen_test
async def test_disconnected_viewers_are_not_counted(api: Api, launches: LaunchManager) -> None:
    async with SilentHost() as host:
        links = await api.start(host.spec)
        socket = await api.socket(links["socket_url"])
        assert await socket.read_message()
        assert (await api.state(links))["viewers"] == 1
        socket.close()
        await unwatched(launches.get(links["id"]), lambda launch: launch.viewers == 0)


@gen_test
async def test_pings_keep_the_connection_alive(api: Api, web: Web) -> None:
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
async def test_attack_a_client_that_sends_messages_is_disconnected(
    api: Api, launches: LaunchManager
) -> None:
    # Messages from viewers would only fill buffers.
    async with SilentHost() as host:
        links = await api.start(host.spec)
        socket = await api.socket(links["socket_url"])
        assert await socket.read_message()
        await socket.write_message("hello")
        assert await messages(socket) == []
        assert socket.close_code == 1008
        await unwatched(launches.get(links["id"]), lambda launch: launch.viewers == 0)
        # The launch continues.
        assert (await api.state(links))["phase"] == "waiting"


@pytest.mark.fault(
    part="Viewers",
    fault="do not read a WebSocket",
    promise="they are disconnected",
)
@gen_test
async def test_attack_a_viewer_that_does_not_read_is_disconnected(
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
async def test_an_invalid_position_is_refused(api: Api, failing: Spec, after: str) -> None:
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
async def test_a_plain_request_to_the_socket_is_refused(api: Api, failing: Spec) -> None:
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
    async def test_attack_pages_of_other_sites_cannot_watch(
        self, api: Api, failing: Spec, origin: str
    ) -> None:
        # CORS does not apply to WebSockets. Without this check, any page that knows the id of a
        # launch could read the token in its `ready` event.
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
