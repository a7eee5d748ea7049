"""A viewer that is cut every 200 ms ends with exactly the events that an uncut one has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import websockets
from playwright.sync_api import Browser
from websockets.exceptions import ConnectionClosed, InvalidMessage

from binderprogress.core.events import decode
from binderprogress.core.specs import from_address

from ..support.faultyproxy import proxy_in_thread
from ..support.long import usually
from ..support.repositories import repository
from ..support.standalone import Running, running

pytestmark = pytest.mark.hub

CUT = 0.2

# A build that talks for some seconds, in the middle of which the cuts fall.
TALKATIVE = "#!/bin/sh\nfor i in $(seq 1 40); do echo line $i; sleep 0.1; done\n"

END = {"ready", "failed", "cancelled"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("server")
    with running(folder) as server:
        yield server


def launch(server: Running, folder: Path) -> tuple[dict[str, Any], int]:
    """Launch a talkative repository; return its links and how many users the Hub had before."""
    spec = str(from_address(folder.as_uri()))
    server.call(server.standalone.hub.available())  # type: ignore[union-attr]
    before = len(server.hub("users"))
    return server.start(spec), before


def repository_of(server: Running, name: str) -> Path:
    folder = Path(server.standalone.builder.local_folders[0])
    return repository(folder / name, {"postBuild": TALKATIVE})


async def uncut(url: str) -> list[str]:
    async with websockets.connect(url) as socket:
        return [str(message) async for message in socket]


async def cut_all_the_time(url: str) -> list[str]:
    messages: list[str] = []
    while True:
        last = json.loads(messages[-1]) if messages else {"id": 0, "phase": ""}
        if last["phase"] in END:
            return messages
        try:
            async with websockets.connect(f"{url}?after={last['id']}") as socket:
                async for message in socket:
                    messages.append(str(message))  # noqa: PERF401 - what came before a cut counts
        except (ConnectionClosed, InvalidMessage, ConnectionError, TimeoutError):
            continue


def same(event: dict[str, Any]) -> str:
    """Write an event with its fields in an order that does not depend on who has written it."""
    return json.dumps(event, sort_keys=True)


def check(server: Running, before: int, messages: list[str], expected: list[str]) -> None:
    assert messages == expected
    events = [json.loads(message) for message in expected]
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["phase"] == "ready", events[-1]
    assert sum(event.get("message", "").startswith("line ") for event in events) == 40
    assert len(server.hub("users")) == before + 1, "the Hub has seen one spawn"
    for event, then in pairwise(decode(message) for message in expected):
        shown = event.curve.at(then.time - event.time) if event.curve else event.progress
        # The wire's times are in milliseconds.
        assert then.progress >= shown - 0.05, "the bar never goes back"


@pytest.mark.long
@pytest.mark.fault(
    part="The connection to viewers",
    fault="of a WebSocket is cut again and again",
    promise="nothing is missed",
)
def test_websockets_client(server: Running) -> None:
    """The `websockets` client resumes with ?after=."""
    links, before = launch(server, repository_of(server, "websockets"))
    with proxy_in_thread(server.standalone.port, every=CUT) as proxy:
        url = f"ws://127.0.0.1:{proxy.port}{urlsplit(links['socket_url']).path}"

        async def both() -> tuple[list[str], list[str]]:
            async with asyncio.timeout(120):
                return await asyncio.gather(uncut(links["socket_url"]), cut_all_the_time(url))

        expected, messages = asyncio.run(both())
        assert proxy.connections > 10
    check(server, before, messages, expected)


WATCH = """
(path) => new Promise((resolve) => {
  const messages = [], source = new EventSource(path);
  let opened = 0;
  source.onopen = () => opened++;
  source.onmessage = (message) => {
    messages.push(message.data);
    if (["ready", "failed", "cancelled"].includes(JSON.parse(message.data).phase)) {
      source.close();
      resolve([messages, opened]);
    }
  };
})
"""


@pytest.mark.fault(
    part="The connection to viewers",
    fault="of an `EventSource` in Chromium is cut again and again",
    promise="nothing is missed",
)
@pytest.mark.browser
@pytest.mark.parametrize("endpoint", usually(["events", "build"], "events"))
def test_eventsource_in_a_browser(server: Running, browser: Browser, endpoint: str) -> None:
    """A browser's plain EventSource resumes by itself, also on BinderHub's endpoint."""
    folder = repository_of(server, f"eventsource-{endpoint}")
    spec = str(from_address(folder.as_uri()))
    server.call(server.standalone.hub.available())  # type: ignore[union-attr]
    before = len(server.hub("users"))
    known = set(server.standalone.launches._directory._launches)
    path = f"/build/{spec}"
    if endpoint == "events":
        path = urlsplit(server.start(spec)["events_url"]).path
    with proxy_in_thread(server.standalone.port) as proxy:

        def hears(piece: bytes) -> bool:
            if proxy.every is None and b"data: " in piece:
                # From here on. On BinderHub's endpoint a browser cannot resume before it has an id,
                # and a slow one needs its time to read the first.
                proxy.every = CUT
                asyncio.get_running_loop().call_later(1, proxy.cut)
            return True

        proxy.hears = hears
        page = browser.new_page()
        # The page has to be of the same origin as the stream.
        page.goto(f"http://127.0.0.1:{proxy.port}/health")
        messages, opened = page.evaluate(WATCH, path)
        page.close()
    assert opened > 3
    (launch_id,) = set(server.standalone.launches._directory._launches) - known
    launch = server.standalone.launches._directory._launches[launch_id]
    events = launch.read_nowait(0, limit=10_000)
    assert events is not None  # they are in memory
    expected = [encoded.json.decode() for encoded in events]
    if endpoint == "build":
        # There, every event has a message, as BinderHub's clients expect.
        expected = [same({"message": "", **json.loads(event)}) for event in expected]
        messages = [same(json.loads(message)) for message in messages]
    check(server, before, messages, expected)
