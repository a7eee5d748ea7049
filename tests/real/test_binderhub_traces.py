"""Traces of launches in a real BinderHub, whose Hub says what it was told; see README.md."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from ..support.asynchronous import asynchronous
from ..support.collector import Collector
from .test_binderhub_extension import pair, pytestmark

__all__ = ["pytestmark"]

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CALLER = f"00-{TRACE}-{PARENT}-01"


@asynchronous(120)
async def test_a_launch_is_one_trace_of_which_the_hub_is_told(tmp_path: Path) -> None:
    def launch(endpoint: str) -> tuple[list[dict[str, Any]], list[list[str]]]:
        with pair(tmp_path, endpoint=endpoint) as binder:
            return binder.watch(binder.start(headers={"traceparent": CALLER})), binder.asked()

    async with Collector() as collector:
        told, asked = await asyncio.to_thread(launch, collector.endpoint)
        await collector.until(launches=1)
    assert told[-1]["phase"] == "ready"
    (root,) = (span for span in collector.spans if span.name == "launch")
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert root.parent_span_id.hex() == PARENT
    children = [span for span in collector.spans if span is not root]
    assert {span.parent_span_id for span in children} == {root.span_id}
    assert {"step", "starting"} <= {span.name for span in children}
    # The Hub was told of the launch, not of the caller.
    ours = f"00-{TRACE}-{root.span_id.hex()}-01"
    requested = [(method, path) for method, path, header in asked if header == ours]
    user = f"/hub/api/users/{requested[0][1].split('/')[4]}"
    assert [
        ("POST", user),
        ("POST", f"{user}/servers/"),
        ("GET", f"{user}/server/progress"),
    ] == requested[:3]
    assert {header for _, _, header in asked} <= {ours, "-"}
