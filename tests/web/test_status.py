"""Metrics, versions, the OpenAPI document and the JSON Schema."""

from __future__ import annotations

import json
import platform
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate
from prometheus_client.parser import text_string_to_metric_families

from binderprogress import __version__
from binderprogress.core.log.reasons import REASONS
from binderprogress.core.phases import Phase
from binderprogress.core.specs import Spec
from binderprogress.core.timing.breakdown import Kind, Trace, TracedSpan, kind_of
from binderprogress.core.timing.spans import Span
from binderprogress.launches.budget import Budgets
from binderprogress.web.metrics import LaunchCollector

from ..launches.parts import Feed, SilentHost, gen_test
from .clients import JSON, Api


async def metrics(api: Api) -> dict[str, float]:
    response = await api.fetch("/metrics")
    assert response.code == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    found = {}
    for family in text_string_to_metric_families(response.body.decode()):
        ours = family.name.startswith("binderprogress_")
        assert ours or family.name.startswith(("process_", "python_"))
        assert ours is not family.name.startswith(("process_", "python_"))
        if not ours or family.type == "histogram":
            continue
        for sample in family.samples:
            if sample.name == INFO:
                assert sample.labels["replica"]
                continue
            labels = ",".join(sample.labels.values())
            found[f"{sample.name}[{labels}]" if labels else sample.name] = sample.value
    return found


async def text_of(api: Api) -> str:
    return (await api.fetch("/metrics")).body.decode()


RETAINED = [
    "binderprogress_launches_retained",
    "binderprogress_events_retained_bytes",
    "binderprogress_logs_retained_bytes",
]
ZERO = {
    "binderprogress_launches_running": 0.0,
    "binderprogress_builds_running": 0.0,
    "binderprogress_builds_queued": 0.0,
    "binderprogress_launches_ended_total[ready]": 0.0,
    "binderprogress_launches_ended_total[failed]": 0.0,
    "binderprogress_launches_ended_total[cancelled]": 0.0,
    "binderprogress_phases_running[waiting]": 0.0,
    "binderprogress_phases_running[fetching]": 0.0,
    "binderprogress_phases_running[building]": 0.0,
    "binderprogress_phases_running[pushing]": 0.0,
    "binderprogress_phases_running[built]": 0.0,
    "binderprogress_phases_running[launching]": 0.0,
    "binderprogress_viewers_open": 0.0,
    **dict.fromkeys(RETAINED, 0.0),
    "binderprogress_events_total": 0.0,
    **{f"binderprogress_launches_failed_total[{reason}]": 0.0 for reason in REASONS},
}
# Values that are not zero from the start.
INFO = "binderprogress_replica_info"
REPLICAS = {"binderprogress_replicas": 1.0}
COUNTED = {
    **{name: 0.0 for name in ZERO if name not in {*RETAINED, "binderprogress_events_total"}},
    **REPLICAS,
}


@gen_test
async def test_names_follow_the_rule(api: Api) -> None:
    # The rules of `promtool check metrics`, and our own naming rule.
    text = (await api.fetch("/metrics")).body.decode()
    families = [
        family
        for family in text_string_to_metric_families(text)
        if family.name.startswith("binderprogress_")
    ]
    assert len(families) > 8
    names = [family.name for family in families]
    assert len(set(names)) == len(names)
    for family in families:
        if family.name == INFO:
            # Prometheus' own rule for what has no value but labels.
            (sample,) = family.samples
            assert (list(sample.labels), sample.value) == (["replica"], 1.0)
            continue
        assert re.fullmatch(r"binderprogress_[a-z]+s(_[a-z]+)*", family.name)
        assert family.documentation[0].isupper()
        assert not family.documentation.endswith(".")
        assert family.name.endswith("_seconds") is (family.type == "histogram")
        assert not family.name.endswith(("_count", "_sum", "_bucket", "_info", "_created"))
        for sample in family.samples:
            assert sample.name.endswith("_total") is (family.type == "counter")
            assert set(sample.labels) <= {"phase", "outcome", "reason", "start", "kind", "le"}


@gen_test
async def test_metrics_exist_from_the_start_and_count(
    api: Api, failing: Spec, tmp_path: Path
) -> None:
    # Dashboards show zero instead of no data.
    assert await metrics(api) == {**ZERO, **REPLICAS}
    failed = await api.whole((await api.start(failing))["events_url"])
    async with Feed(tmp_path / "fed", status=1) as feed, SilentHost() as host:
        links = [await api.start(feed.spec), await api.start(feed.spec)]
        build = await feed.build()
        looking = await api.start(host.spec)
        async with api.watch(links[0]["events_url"]) as stream:
            await stream.until(b"postBuild")
            now = await metrics(api)
        counted = now.pop("binderprogress_events_total")
        # Two launches share the build.
        assert counted == (await api.state(looking))["last"] + 2 * (await api.state(links[0]))[
            "last"
        ] + len(failed.events)
        retained, *sizes = [now.pop(name) for name in RETAINED]
        assert retained == 1
        assert all(size > 0 for size in sizes)
        assert now == {
            **COUNTED,
            "binderprogress_launches_failed_total[bad-ref]": 1.0,
            "binderprogress_phases_running[waiting]": 1.0,
            "binderprogress_phases_running[building]": 2.0,
            "binderprogress_viewers_open": 1.0,
            "binderprogress_launches_running": 3.0,
            "binderprogress_builds_running": 1.0,
            "binderprogress_launches_ended_total[failed]": 1.0,
        }
        health = json.loads((await api.fetch("/health")).body)
        assert f'{INFO}{{replica="{health.pop("replica")}"}} 1.0' in await text_of(api)
        check = health["checks"][0]
        assert check.pop("memory") == {"used": sizes[0], "limit": 256 * 2**20}
        assert check.pop("disk") == {"used": sizes[1], "limit": 2**30}
        assert health == {
            "ok": True,
            "replicas": 1,
            "checks": [
                {
                    "service": "launches",
                    "ok": True,
                    "latency": 0.0,
                    "running": 3,
                    "waiting": 1,
                    "building": 1,
                    "all_replicas": {"running": 3, "building": 1},
                    "capacity": 200,
                    "standby": 0,
                    "retained": 1,
                    "storage": {"waiting": 0, "problem": ""},
                    "recent": {
                        "seconds": 600.0,
                        "ready": 0,
                        "failed": 1,
                        "cancelled": 0,
                        "success_rate": 0.0,
                        "launch_seconds": {"p50": None, "p90": None},
                        "reasons": {"bad-ref": 1},
                    },
                }
            ],
        }
        build.finish()
        for link in links:
            await api.whole(link["events_url"])
        await api.fetch(looking["state_url"], method="DELETE")
        while (now := await metrics(api))["binderprogress_launches_running"]:
            pass  # bounded by the test's own time: what was cancelled is being ended
        assert now.pop("binderprogress_events_total") > counted
        assert now.pop(RETAINED[0]) == 4
        assert all(now.pop(name) > 0 for name in RETAINED[1:])
        assert now == {
            **COUNTED,
            "binderprogress_launches_failed_total[bad-ref]": 1.0,
            "binderprogress_launches_failed_total[postbuild-failed]": 2.0,
            "binderprogress_launches_ended_total[failed]": 3.0,
            "binderprogress_launches_ended_total[cancelled]": 1.0,
        }


async def histogram(api: Api, name: str) -> dict[str, float]:
    """Return the number of observations of each series."""
    text = (await api.fetch("/metrics")).body.decode()
    return {
        ",".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == f"binderprogress_{name}_seconds_count"
    }


@gen_test
async def test_histograms_have_all_series_and_are_observed(api: Api, failing: Spec) -> None:
    assert await histogram(api, "launches_duration") == {"ready": 0, "failed": 0, "cancelled": 0}
    phases = await histogram(api, "phases_duration")
    assert set(phases) == {
        f"{phase},{start}"
        for phase in ("waiting", "fetching", "building", "pushing", "launching")
        for start in ("cold", "warm")
    }
    assert set(phases.values()) == {0}
    assert set(await histogram(api, "kinds_duration")) == set(Kind)
    await api.whole((await api.start(failing))["events_url"])
    assert await histogram(api, "launches_duration") == {"ready": 0, "failed": 1, "cancelled": 0}
    assert (await histogram(api, "kinds_duration"))["check"] == 1
    # A failed launch is not counted in the durations of phases.
    assert await histogram(api, "phases_duration") == phases


def test_cold_and_warm_starts_are_separate_series() -> None:
    launches = Ended()
    collector = LaunchCollector(launches)  # type: ignore[arg-type] # all that it needs of them
    warm = [Span(Phase.WAITING, 0, 1), Span(Phase.BUILT, 1, 1), Span(Phase.LAUNCHING, 1, 21)]
    cold = [
        Span(Phase.WAITING, 0, 1),
        Span(Phase.BUILDING, 1, 200),
        Span(Phase.LAUNCHING, 200, 209),
    ]
    for found in (warm, cold, cold):
        launches.end(found)
    launches.end([Span(Phase.WAITING, 0, 1)], phase=Phase.FAILED, reason="of another kind")
    samples = {
        (sample.name.removeprefix("binderprogress_"), *sample.labels.values()): sample.value
        for family in collector.collect()
        for sample in family.samples
    }
    assert samples["phases_duration_seconds_sum", "launching", "warm"] == 20
    assert samples["phases_duration_seconds_sum", "launching", "cold"] == 18
    assert samples["phases_duration_seconds_bucket", "building", "cold", "120.0"] == 0
    assert samples["phases_duration_seconds_bucket", "building", "cold", "300.0"] == 2
    assert samples["launches_duration_seconds_count", "ready"] == 3
    # An unlisted reason would create another series.
    assert samples["launches_failed_total", "unknown"] == 1


class Ended:
    """A stand-in for `LaunchManager` with finished launches only."""

    def __init__(self) -> None:
        self.over: list[Any] = []
        self.ended: Counter[Phase] = Counter()
        self.running = self.building = self.queued = self.viewers = 0
        self.last = SimpleNamespace(id=7)
        self.budgets = Budgets(memory=1, disk=1, under_way=list, forget=lambda _: None)

    def under_way(self) -> list[Any]:
        return []

    def end(self, found: list[Span], *, phase: Phase = Phase.READY, reason: str = "") -> None:
        spans = [TracedSpan(**msgspec.structs.asdict(one), kind=kind_of(one)) for one in found]
        trace = Trace(
            began=0, seconds=found[-1].end, phase=phase, reason=reason, spans=spans, totals={}
        )
        for told in self.over:
            told(self, trace)


@gen_test
async def test_responses_have_server_timing(api: Api, failing: Spec) -> None:
    started = await api.post({"spec": str(failing)})
    links = json.loads(started.body)
    answers = [started, *[await api.fetch(links[name]) for name in ("state_url", "trace_url")]]
    for answer in answers:
        took = re.fullmatch(r"app;dur=(\d+\.\d)", answer.headers["Server-Timing"])
        assert took is not None
        assert 0 <= float(took[1]) <= 1000 * answer.request_time
        # Only allowed origins get the header.
        assert "Timing-Allow-Origin" not in answer.headers


@gen_test
async def test_versions(api: Api) -> None:
    response = await api.fetch("/versions")
    assert response.code == 200
    assert json.loads(response.body) == {
        "binderprogress": __version__,
        "python": platform.python_version(),
    }


# -- documents


async def document(api: Api, path: str) -> dict[str, Any]:
    response = await api.fetch(path)
    assert response.code == 200
    assert response.headers["Content-Type"] == "application/json"
    found: dict[str, Any] = json.loads(response.body)
    return found


@gen_test
async def test_the_openapi_document_is_valid(api: Api) -> None:
    openapi = await document(api, "/api/openapi.json")
    validate(openapi)
    assert openapi["info"]["version"] == __version__
    ids = [
        operation["operationId"]
        for path in openapi["paths"].values()
        for operation in path.values()
        if "operationId" in operation
    ]
    assert len(ids) == len(set(ids)) == 29


def schema_of(openapi: dict[str, Any], path: str, method: str, status: str) -> dict[str, Any]:
    """Return the schema of a response with its references."""
    answer = openapi["paths"][path][method]["responses"][status]
    schema = answer["content"]["application/json"]["schema"]
    return {**schema, "components": openapi["components"]}


@gen_test
async def test_responses_match_the_document(api: Api, tmp_path: Path, failing: Spec) -> None:
    openapi = await document(api, "/api/openapi.json")

    def check(response: Any, path: str, method: str, status: str) -> None:
        assert str(response.code)[0] == status[0]
        # No fields that are not in the document.
        schema = schema_of(openapi, path, method, status)
        schema = {**schema, "unevaluatedProperties": False}
        Draft202012Validator(schema).validate(json.loads(response.body))

    one = "/api/launches/{launch_id}"
    async with SilentHost() as host:
        for spec in (host.spec, failing):
            started = await api.post({"spec": str(spec)})
            check(started, "/api/launches", "post", "201")
            links = json.loads(started.body)
            check(await api.fetch(links["state_url"]), one, "get", "200")
            check(await api.fetch(links["state_url"], method="DELETE"), one, "delete", "202")
    await api.whole(links["events_url"])
    check(await api.fetch(links["state_url"]), one, "get", "200")
    check(await api.fetch(links["trace_url"]), f"{one}/trace", "get", "200")
    check(await api.post({"spec": "nonsense"}), "/api/launches", "post", "4XX")
    check(await api.fetch("/api/launches/nope"), one, "get", "4XX")
    check(await api.fetch("/api/launches/nope/events"), f"{one}/events", "get", "4XX")


@gen_test
async def test_request_bodies_match_the_document(api: Api, failing: Spec) -> None:
    openapi = await document(api, "/api/openapi.json")
    body = openapi["paths"]["/api/launches"]["post"]["requestBody"]
    schema = {
        **body["content"]["application/json"]["schema"],
        "components": openapi["components"],
    }
    jsonschema.validate({"spec": str(failing)}, schema)
    wrongs: list[dict[str, Any]] = [
        {},
        {"spec": 7},
        {"spec": ""},
        {"more": 1},
        {"spec": str(failing), "ref": "HEAD"},
        {"ref": "HEAD"},
    ]
    for wrong in wrongs:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
        response = await api.fetch(
            "/api/launches", method="POST", body=json.dumps(wrong), headers=JSON
        )
        assert response.code == 400


@gen_test
async def test_the_events_of_a_real_stream_match_the_schema(api: Api, tmp_path: Path) -> None:
    schema = await document(api, "/api/schema/event.json")
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    async with Feed(tmp_path / "fed", status=1) as feed:
        failing, cancelled = await api.start(feed.spec), await api.start(feed.spec)
        build = await feed.build()
        await build.write("Step 2/5 : RUN x\n")
        async with api.watch(cancelled["events_url"]) as stream:
            await stream.until(b"Step 2 of 5")
        await api.fetch(cancelled["state_url"], method="DELETE")
        build.finish()
        seen = (await api.whole(failing["events_url"])).events
        seen += (await api.whole(cancelled["events_url"])).events
    assert {"waiting", "fetching", "building", "failed", "cancelled"} == {
        event["phase"] for event in seen
    }
    assert any(event.get("step_total") == 5 for event in seen)
    for event in seen:
        validator.validate(event)
    for wrong in ({**seen[0], "phase": "sleeping"}, {**seen[0], "id": 0}, {"id": 1}):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(wrong)
