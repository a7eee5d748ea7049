"""Traces of launches, received and decoded by a collector."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from traitlets.config import Config

from binderprogress.core.traceparent import parse
from binderprogress.deploy.standalone import Standalone
from binderprogress.errors import ConfigError

from ..support.asynchronous import asynchronous
from ..support.binderhub import BinderHub
from ..support.collector import Collector

SPEC = "gh/ada/penguins/HEAD"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = f"00-{TRACE}-{PARENT}-01"


pytestmark = pytest.mark.usefixtures("no_tracing_configured")


@asynccontextmanager
async def serving(
    hub: BinderHub, endpoint: str = ""
) -> AsyncIterator[tuple[Standalone, aiohttp.ClientSession]]:
    hub.start()
    config = Config()
    config.Upstreams.urls = [hub.url]
    config.Standalone.port = 0
    config.Tracing.endpoint = endpoint
    standalone = Standalone(config=config)
    await standalone.start()
    try:
        async with aiohttp.ClientSession(standalone.url) as session:
            yield standalone, session
    finally:
        await standalone.stop()
        await hub.stop()


async def launched(session: aiohttp.ClientSession, traceparent: str = "") -> str:
    """Launch, wait for the end, and return the last phase."""
    headers = {"traceparent": traceparent} if traceparent else {}
    async with session.post("/api/launches", json={"spec": SPEC}, headers=headers) as response:
        links = await response.json()
    async with session.get(links["events_url"]) as response:
        await response.read()
    async with session.get(links["state_url"]) as response:
        return str((await response.json())["phase"])


def one(spans: list[Span], name: str) -> Span:
    (match,) = (span for span in spans if span.name == name)
    return match


def attributes(span: Span) -> dict[str, object]:
    return {
        item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes
    }


@asynchronous(30)
async def test_a_launch_is_one_trace_below_the_callers() -> None:
    hub = BinderHub()
    async with Collector() as collector:
        async with serving(hub, collector.endpoint) as (standalone, session):
            assert await launched(session, CALLER) == "ready"
            await collector.until(launches=1)
            (launch,) = standalone.launches._directory
            trace = launch.trace()
        spans = collector.spans
        assert {span.trace_id.hex() for span in spans} == {TRACE}
        root = one(spans, "launch")
        assert root.parent_span_id.hex() == PARENT
        assert root.kind == Span.SPAN_KIND_SERVER
        assert root.status.code == Status.STATUS_CODE_OK
        assert attributes(root) == {"binderprogress.spec": SPEC, "binderprogress.phase": "ready"}
        # JupyterHub gets the span of the launch, not that of the caller.
        assert parse(hub.traceparents[0]) == launch.span
        assert launch.span is not None
        assert launch.span.span_id == root.span_id.hex()
        below = [span for span in spans if span is not root]
        assert {span.parent_span_id for span in below} == {root.span_id}
        ahead = one(spans, "look-up")
        assert attributes(ahead)["binderprogress.step"] == "Commit looked up"
        assert attributes(ahead)["binderprogress.saved"] == trace.ahead[0].saved
        children = [span for span in below if span is not ahead]
        assert len(children) == len(trace.spans)
        assert len({span.span_id for span in spans}) == len(spans)
        # The spans cover the launch without gaps.
        children.sort(key=lambda span: (span.start_time_unix_nano, span.end_time_unix_nano))
        assert children[0].start_time_unix_nano == root.start_time_unix_nano
        assert abs(root.start_time_unix_nano / 1e9 - trace.began) < 0.002
        assert children[-1].end_time_unix_nano == root.end_time_unix_nano
        assert attributes(one(spans, "resolving"))["binderprogress.kind"] == "check"
        assert collector.resource["service.name"] == "binderprogress"


@asynchronous(30)
async def test_without_a_caller_it_is_a_trace_of_its_own() -> None:
    hub = BinderHub()
    async with Collector() as collector, serving(hub, collector.endpoint) as (_, session):
        for header in ("", "00-nonsense-01"):
            await launched(session, header)
        await collector.until(launches=2)
        roots = [span for span in collector.spans if span.name == "launch"]
        assert [span.parent_span_id for span in roots] == [b"", b""]
        assert len({span.trace_id for span in roots}) == 2


@asynchronous(30)
async def test_the_callers_not_to_sample_holds() -> None:
    hub = BinderHub()
    async with Collector() as collector, serving(hub, collector.endpoint) as (_, session):
        await launched(session, f"00-{TRACE}-{PARENT}-00")
        await launched(session)
        await collector.until(launches=1)
        assert TRACE not in {span.trace_id.hex() for span in collector.spans}
        traceparent = parse(hub.traceparents[0])
        assert traceparent is not None
        assert (traceparent.trace_id, traceparent.sampled) == (TRACE, False)


@asynchronous(30)
async def test_how_it_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    # OpenTelemetry's own variables.
    monkeypatch.setenv("OTEL_SERVICE_NAME", "binder")
    hub = BinderHub()
    async with Collector() as collector:
        monkeypatch.setenv(
            "OTEL_EXPORTER_OTLP_ENDPOINT", collector.endpoint.removesuffix("/v1/traces")
        )
        async with serving(hub) as (_, session):
            await hub.stop()
            assert await launched(session) == "failed"
            await collector.until(launches=1)
        root = one(collector.spans, "launch")
        assert root.status.code == Status.STATUS_CODE_ERROR
        assert root.status.message == attributes(root)["binderprogress.reason"]
        assert collector.resource["service.name"] == "binder"


@asynchronous(40)
async def test_a_collector_in_trouble_disturbs_no_launch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hub = BinderHub()
    async with (
        Collector(status=400) as collector,
        serving(hub, collector.endpoint) as (standalone, session),
    ):
        for asked in (1, 2, 3):
            assert await launched(session) == "ready"
            await collector.until(asked=asked)
        collector.status = 200
        assert await launched(session) == "ready"
        await collector.until(launches=1)
        await standalone.tracing.close()
    said = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    said = [message for message in said if message.startswith("Traces ")]
    assert said == [
        "Traces cannot be sent to the collector, and are lost.",
        "Traces can be sent to the collector again.",
    ]


@asynchronous(30)
async def test_to_stop_does_not_wait_for_a_collector_that_is_silent() -> None:
    hub = BinderHub()
    silent = await asyncio.start_server(lambda *_: asyncio.sleep(60), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with serving(hub, f"http://127.0.0.1:{port}/v1/traces") as (standalone, session):
        assert await launched(session) == "ready"
        began = asyncio.get_running_loop().time()
        await standalone.tracing.close(within=0.2)
        assert asyncio.get_running_loop().time() - began < 2
    silent.close()


@asynchronous(30)
async def test_without_a_collector_the_callers_trace_is_handed_on() -> None:
    hub = BinderHub()
    async with serving(hub) as (_, session):
        await launched(session, CALLER)
        await launched(session)
    assert hub.traceparents == [CALLER, ""]


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "binderprogress.deploy.opentelemetry_exporter", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    with pytest.raises(ConfigError, match=r"binderprogress\[otel\]"):
        Standalone()
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert not Standalone().tracing.enabled
