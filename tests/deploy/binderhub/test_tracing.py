"""Traces of launches in a BinderHub, received and decoded by a collector."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from ...support.asynchronous import asynchronous
from ...support.collector import Collector
from ...support.inside import Inside, inside

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = f"00-{TRACE}-{PARENT}-01"


pytestmark = pytest.mark.usefixtures("no_tracing_configured")


def launch(server: Inside, spec: str, traceparent: str = "") -> str:
    """Launch a repository that must be built, and return the last phase."""
    headers = {"traceparent": traceparent} if traceparent else {}
    started = server.start(spec, headers=headers)
    build = server.build()
    build.say("Step 1/2 : FROM a\n")
    build.say("Step 2/2 : RUN b\n")
    build.end()
    return str(server.watch(started)[-1]["phase"])


def by_launch(spans: list[Span]) -> dict[bytes, list[Span]]:
    traces: dict[bytes, list[Span]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, []).append(span)
    return traces


@asynchronous(60)
async def test_each_launch_is_one_trace_and_the_hub_is_told_of_it() -> None:
    def launches(endpoint: str) -> list[str]:
        with inside(Tracing={"endpoint": endpoint}) as server:
            assert launch(server, "gh/a/b/HEAD", CALLER) == "ready"
            assert launch(server, "gh/a/c/HEAD") == "ready"
            server.launcher.failures = [RuntimeError("no node"), RuntimeError("no node")]
            assert launch(server, "gh/a/d/HEAD") == "ready"
            return server.launcher.traceparents

    async with Collector() as collector:
        traceparents = await asyncio.to_thread(launches, collector.endpoint)
        await collector.until(launches=3)
    traces = by_launch(collector.spans)
    assert len(traces) == 3
    ids = set()
    for trace_id, spans in traces.items():
        (root,) = (span for span in spans if span.name == "launch")
        ids.add(f"00-{trace_id.hex()}-{root.span_id.hex()}-01")
        assert root.status.code == Status.STATUS_CODE_OK
        children = sorted(
            (span for span in spans if span is not root),
            key=lambda span: (span.start_time_unix_nano, span.end_time_unix_nano),
        )
        assert {span.parent_span_id for span in children} == {root.span_id}
        assert len({span.span_id for span in spans}) == len(spans)
        assert Counter(span.name for span in children)["step"] == 2
        # The spans cover the whole launch.
        assert children[0].start_time_unix_nano == root.start_time_unix_nano
        assert children[-1].end_time_unix_nano == root.end_time_unix_nano
    (below,) = (span for span in traces[bytes.fromhex(TRACE)] if span.name == "launch")
    assert below.parent_span_id.hex() == PARENT
    # The requests of each attempt belong to its launch. The last launch had three attempts.
    assert set(traceparents) == ids
    assert sorted(Counter(traceparents).values()) == [1, 1, 3]


def test_without_a_collector_the_callers_trace_is_handed_on() -> None:
    with inside() as server:
        launch(server, "gh/a/b/HEAD", CALLER)
        launch(server, "gh/a/c/HEAD")
        assert server.launcher.traceparents == [CALLER, ""]


def test_the_launcher_is_as_binderhub_made_it() -> None:
    with inside(PlayedLauncher={"retry_delay": 9}) as server:
        launcher = server.launcher
        assert launcher is server.hub.tornado_app.settings["launcher"]
        assert (launcher.retries, launcher.retry_delay, launcher.create_user) == (3, 9, True)
        assert launcher.hub_url == "https://hub.example.org/"
        assert launcher.parent is server.hub
