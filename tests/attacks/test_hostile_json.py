"""Attacks by JSON that is valid, or nearly, and that Python or msgspec cannot take."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from traitlets.config import Config

from binderprogress.backends.fetch.archives import Archives
from binderprogress.backends.jupyterhub.launcher import HubLauncher
from binderprogress.core import sse
from binderprogress.core.binderhub.stream import BinderHubLaunch, read_record
from binderprogress.core.events import Event, encode
from binderprogress.core.log.reader import Normalizer, Record
from binderprogress.core.specs import parse
from binderprogress.deploy.standalone import Standalone
from binderprogress.errors import BinderProgressError, LaunchFailedError

from ..support.asynchronous import asynchronous
from ..support.launch_requests import launch_request

# ruff: noqa: E501, RUF005, UP031 - JSON is full of braces, and best read as it is
DEEP = "[" * 100_000 + "]" * 100_000
HOSTILE = {
    "lone surrogate": '{"phase": "building", "message": "\\ud800 \\udfff x\\n"}',
    "lone surrogate as a key": '{"phase": "building", "message": "x\\n", "\\ud800": "\\udfff"}',
    "lone surrogate as a phase": '{"phase": "\\ud800", "message": "x\\n"}',
    "deep": '{"phase": "building", "message": "x\\n", "more": %s}' % DEEP,
    "deep message": '{"phase": "building", "message": %s}' % DEEP,
    "only deep": DEEP,
    "never closed": "[" * 100_000,
    "rather deep": '{"message": "x\\n", "more": %s}' % ("[" * 500 + "]" * 500),
    "large integer": '{"phase": "building", "message": "x\\n", "n": 1%s}' % ("0" * 400),
    "huge integer": '{"phase": "building", "message": "x\\n", "n": %s}' % ("9" * 10_000),
    "large float": '{"phase": "building", "message": "x\\n", "n": 1e999, "m": -1e999}',
    "not a number": '{"phase": "building", "message": "x\\n", "n": NaN, "m": Infinity}',
    "the same key twice": '{"phase": "building", "phase": [], "message": "x\\n", "message": {}}',
    "NUL": '{"phase": "building", "message": "\\u0000\\u001b[2J\\n"}',
    "wrong types": '{"phase": {"a": 1}, "message": [1, null], "layers": "x", "progress": "x"}',
    "wrong layers": '{"message": "x\\n", "layers": {"a": [{"b": "\\ud800"}], "c": 1%s}}'
    % ("0" * 400),
    "wrong raw event": '{"message": null, "raw_event": {"reason": [], "message": {"a": "\\ud800"}}}',
    "wrong progress": '{"message": "x", "progress": 1%s, "failed": "\\ud800"}' % ("0" * 400),
    "wrong image": '{"message": "x\\n", "imageName": {"a": "\\ud800"}}',
    "wrong status": '{"phase": "building", "message": "x", "status_code": 1%s}' % ("0" * 400),
    "no object": '"\\ud800"',
    "null": "null",
    "nothing": "",
}
FAILING = {
    "failed with a surrogate": '{"phase": "failed", "message": "no space left \\ud800 on device\\n"}',
    "failed with types": '{"phase": "failed", "message": {"a": "\\ud800"}, "status_code": []}',
    "ready with types": '{"phase": "ready", "url": ["\\ud800"], "token": 1%s}' % ("0" * 400),
    "ready with a surrogate": '{"phase": "ready", "url": "http://h.invalid/\\ud800", "token": "\\ud800"}',
    "ready with a surrogate as a field": '{"phase": "ready", "message": "\\ud800", '
    '"url": "http://127.0.0.1/", "token": "\\udfff", "image": "\\ud800", "repo_url": "\\ud800"}',
}
ALL = {**HOSTILE, **FAILING}

LEAVES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.just("\ud800"),
    st.just(10**400),
)
NAMES = st.sampled_from(
    ["phase", "message", "progress", "raw_event", "failed", "ready", "url", "token", "layers"]
    + ["imageName", "status_code", "exc_info", "html_message", "reason", "\ud800"]
)
PHASES = st.sampled_from(["building", "built", "launching", "ready", "failed", "fetching", "x"])
OBJECTS = st.dictionaries(
    NAMES,
    st.recursive(
        st.one_of(LEAVES, PHASES),
        lambda inner: st.one_of(
            st.lists(inner, max_size=2), st.dictionaries(NAMES, inner, max_size=2)
        ),
        max_leaves=4,
    ),
    max_size=4,
)


def check(value: Any) -> None:
    """Write it as an event's `source` is written, and read it again."""
    msgspec.json.encode(value).decode()


def events_of(*records: str) -> list[Event]:
    launch = BinderHubLaunch("http://hub.invalid/", began=0.0, began_utc=0.0)
    for number, text in enumerate(records):
        launch.take(read_record(text), now=float(number))
    return launch.events


@pytest.mark.parametrize("text", ALL.values(), ids=ALL)
def test_attack_record_of_a_binderhub(text: str) -> None:
    """A BinderHub's record makes events that can be sent, or none."""
    for event in events_of('{"phase": "fetching", "message": "a\\n"}', text):
        encode(event).decode()
    for source in ("binderhub", "jupyterhub"):
        note = Normalizer().read(Record(source, read_record(text)))  # type: ignore[arg-type]
        check(note)


@pytest.mark.parametrize("text", ALL.values(), ids=ALL)
def test_attack_line_of_repo2docker(text: str) -> None:
    """A repository's own programs print JSON lines between those of repo2docker."""
    check(Normalizer().read(Record("repo2docker", text)))


@given(st.lists(OBJECTS, max_size=3))
def test_attack_records_of_any_shape(records: list[dict[str, Any]]) -> None:
    """Whatever fields a Hub or a BinderHub makes up, in whatever order."""
    texts = [json.dumps(record) for record in records]
    for event in events_of(*texts):
        encode(event).decode()
    normalizer = Normalizer()
    for text in texts:
        check(normalizer.read(Record("binderhub", read_record(text))))
        check(normalizer.read(Record("jupyterhub", read_record(text))))
        check(normalizer.read(Record("repo2docker", text)))


@asynccontextmanager
async def answering(handle: Any) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def send(request: web.Request, *records: str) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for record in records:
        await response.write(b"data: %b\n\n" % record.encode())
    return response


@pytest.mark.parametrize("last", FAILING.values(), ids=FAILING)
@asynchronous(60)
async def test_attack_stream_of_an_upstream(last: str) -> None:
    """All of it by one BinderHub, to a running server: the launch ends, and its viewers see how."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path == "/health":
            check = {"service": "\ud800", "ok": False, "total_pods": 10**400, "quota": 10**400}
            pods = {"service": "Pod quota", "total_pods": 10**400, "quota": 10**30}
            return web.Response(text=json.dumps({"ok": False, "checks": [check, pods]}))
        return await send(request, *HOSTILE.values(), last)

    async with answering(handle) as url:
        config = Config()
        config.Upstreams.urls = [url]
        config.Upstreams.pauses = []
        config.Upstreams.health_interval = 0.05
        config.Standalone.port = 0
        standalone = Standalone(config=config)
        await standalone.start()
        try:
            async with aiohttp.ClientSession(standalone.url) as session:
                async with session.post(
                    "/api/launches", json={"spec": "gh/ada/penguins/HEAD"}
                ) as response:
                    links = await response.json()
                decoder = sse.Decoder()
                events: list[dict[str, Any]] = []
                async with session.get(links["events_url"]) as response:
                    async for chunk in response.content.iter_any():
                        events += [json.loads(event.data) for event in decoder.feed(chunk)]
                        if events and events[-1]["phase"] in {"failed", "ready", "cancelled"}:
                            break
                for path in ("", "/log", "/trace"):
                    async with session.get(f"/api/launches/{links['id']}{path}") as response:
                        assert response.status == 200
                        (await response.read()).decode()
                while standalone.upstreams.hubs[0].healthy:  # noqa: ASYNC110 - it is not told
                    await asyncio.sleep(0.01)
                async with session.get("/health") as response:
                    assert response.status in {200, 503}
                    assert (await response.json())["checks"]
        finally:
            await standalone.stop()
    assert events[-1]["phase"] in {"failed", "ready"}
    assert events[-1].get("reason") != "internal"
    # What could be understood is there.
    assert sum("x" in event.get("message", "") for event in events) >= 10


@pytest.mark.parametrize("text", ALL.values(), ids=ALL)
@asynchronous(60)
async def test_attack_answers_of_a_hub(text: str) -> None:
    """JupyterHub, or what answers in its place, sends it as an event, an answer and an error."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/progress"):
            return await send(request, text)
        if request.method == "GET":
            return web.Response(text=text)
        if request.method == "DELETE":
            return web.Response(status=204)
        status = 500 if "/server" in request.path and "fail" in request.headers else 201
        return web.Response(text=text, status=status)

    async with answering(handle) as url:
        spawner = HubLauncher(
            url=url,
            api_url=f"{url}hub/api/",
            api_token="t",
            attempts=2,
            retries=1,
            retry_delay=0.01,
            stop_timeout=0.2,
        )
        request = launch_request()
        try:
            async for item in spawner.launch(request):
                if isinstance(item, Record):
                    check(Normalizer().read(item))
                else:
                    check(item)
        except BinderProgressError as error:
            check(str(error))
        finally:
            await spawner.close()


@pytest.mark.parametrize(
    "body",
    ['{"values": [{"type": "URL", "data": {"value": %s}}]}' % DEEP, DEEP, "[" * 10**5, "\ud800"]
    + ['{"values": [{"type": "URL", "data": {"value": "http://[\\ud800"}}]}', "9" * 10_000],
    ids=["deep value", "deep", "never closed", "surrogate", "surrogate value", "huge integer"],
)
@asynchronous(60)
async def test_attack_answer_of_an_archive(body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked about a DOI answers with JSON that no reader takes."""

    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=body.encode("utf-8", "surrogatepass"))

    async with answering(handle) as url:
        monkeypatch.setattr("binderprogress.backends.fetch.archives._DOI_ORG", url)
        with pytest.raises(LaunchFailedError) as caught:
            await Archives().resolve(parse("zenodo/10.5281/zenodo.3242074"))
        check(str(caught.value))
