"""The benchmarks run, few viewers at a time: every viewer gets all events; no time is asserted."""

from __future__ import annotations

import inspect
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from benchmarks import (
    fanout,
    idle,
    ingest,
    late,
    many,
    proxy,
    replicas,
    report,
    startup,
    store,
    targets,
)
from benchmarks.__main__ import BENCHMARKS, parser
from benchmarks.load import _Viewer
from benchmarks.servers import MISSING, SERVERS, payload

from .support.long import usually
from .support.postgresql import programs

TABLES = {name: benchmark.table for name, benchmark in BENCHMARKS.items()}


def is_there(name: str) -> str:
    if name in MISSING:
        pytest.skip(MISSING[name])
    return name


@pytest.fixture(params=usually(SERVERS, "binderprogress"))
def server(request: pytest.FixtureRequest) -> str:
    return is_there(request.param)


def test_fan_out(server: str) -> None:
    result = fanout.compare(viewers=5, rates=[50, 100], seconds=0.3, repeat=2, names=[server])
    assert list(result["rates"]) == ["50", "100"]
    for rate, rows in result["rates"].items():
        row = rows[server]
        assert row["lost"] == 0
        assert row["complete"] == 5
        assert row["delivered"] == 5 * float(rate) * 0.3
        assert 0 < row["p50_ms"] <= row["p99_ms"]
    assert f"| {server} |" in fanout.table(result)


@pytest.mark.long
def test_all_servers_send_events_of_one_size() -> None:
    names = [name for name in SERVERS if name not in MISSING]
    result = fanout.compare(viewers=2, rates=[50], seconds=0.4, repeat=1, names=names)
    sizes = [row["bytes_per_event"] for row in result["rates"]["50"].values()]
    # What frames an event is each server's own.
    assert max(sizes) < 1.2 * min(sizes)


@pytest.mark.long
def test_idle_viewers(server: str) -> None:
    result = idle.compare(counts=[120, 110], names=[server])
    rows = result["servers"][server]
    assert [row["viewers"] for row in rows] == [110, 120]
    assert f"| 120 | {server} |" in idle.table(result)


def test_more_idle_viewers_than_files_may_be_open() -> None:
    with pytest.raises(ValueError, match="ulimit -n"):
        idle.compare(counts=[2**40])


@pytest.mark.long
@pytest.mark.parametrize("name", ["binderprogress", "jupyterhub", "tornado", "nchan"])
def test_many_launches(name: str) -> None:
    result = many.compare(launches=8, rate=20, seconds=0.3, names=[is_there(name)])
    row = result["servers"][name]
    assert (row["lost"], row["complete"], row["delivered"]) == (0, 8, 8 * 6)
    # Nothing is compared with JupyterHub if that was not measured.
    assert ("1.00" in many.table(result)) is (name == "jupyterhub")


@pytest.mark.long
@pytest.mark.skipif(programs() is None, reason="PostgreSQL is not installed")
def test_viewers_at_the_other_replica() -> None:
    result = replicas.compare(launches=6, rates=[60, 120], seconds=0.5)
    for rate, row in result["rates"].items():
        assert (row["lost"], row["complete"], row["delivered"]) == (0, 6, float(rate) * 0.5)
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert sum(row["cpu_us_per_event"].values()) > 0
    assert "6 launches" in replicas.table(result)


@pytest.mark.long
def test_late_joiners() -> None:
    result = late.compare(joiners=4, lines=300, live=2, rate=50)
    assert result["binderprogress"]["complete"] == result["static"]["complete"] == 4
    assert result["binderprogress"]["live"]["broken"] == 0
    # The file is the stream; both have a head, and the stream the frames of its chunks.
    assert result["bytes"] * 4 < result["static"]["bytes"] < result["binderprogress"]["bytes"]
    assert "4 of 4" in late.table(result)


@pytest.mark.long
def test_in_front_of_a_binderhub() -> None:
    result = proxy.compare(rate=20, seconds=0.5, repeat=1)
    assert 0 < result["direct"]["p50_ms"] < 10_000
    assert "added" in proxy.table(result)


def test_ingest() -> None:
    result = ingest.compare(lines=400)
    assert all(row["cpu_us_per_line"] > 0 for row in result["ways"].values())
    assert "400 lines" in ingest.table(result)


@pytest.mark.long
def test_a_server_is_asked_until_it_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        upstream = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
    assert startup.serve(f"--upstream={upstream}") > 0


def test_a_server_that_does_not_start_is_noticed() -> None:
    with pytest.raises(RuntimeError, match="ended with"):
        startup.serve("--no-such-option=1")


# -- viewers


def block(number: int) -> bytes:
    return b"id: 1\ndata: %b\n\n" % payload.compact(number, 1.5).encode()


@pytest.fixture
def viewer() -> _Viewer:
    return _Viewer(socket.socket(), 0, asked=True)


def test_a_viewer_counts_events_however_they_are_cut(viewer: _Viewer) -> None:
    data, latencies = b"".join(map(block, range(4))), []
    counts = [viewer.take(data[at : at + 7], latencies) for at in range(0, len(data), 7)]
    assert sum(counts) == viewer.next == len(latencies) == 4
    assert not viewer.broken


@pytest.mark.parametrize("numbers", [[0, 2], [0, 0], [1], [0, 1, 3, 2]], ids=str)
def test_a_viewer_notices_what_is_lost_doubled_or_out_of_order(
    viewer: _Viewer, numbers: list[int]
) -> None:
    for number in numbers:
        viewer.take(block(number), [])
    assert viewer.broken


@pytest.mark.long
def test_all_stores_are_measured() -> None:
    result = store.compare(lines=200, channels=3, rate=20.0, seconds=0.3)
    assert {"memory", "sqlite"} <= set(result["stores"])
    assert all(value > 0 for row in result["stores"].values() for value in row.values())
    shown = store.table(result)
    assert "SQLite" in shown and "memory" in shown


# -- the command, and what is kept


@pytest.mark.parametrize("name", BENCHMARKS)
def test_options_are_what_a_benchmark_takes(name: str) -> None:
    options = BENCHMARKS[name].options
    # Only tests need other packages in environments.
    taken = inspect.signature(BENCHMARKS[name].compare).parameters
    assert list(options) == [each for each in taken if each != "packages"]
    assert set(options) <= set(vars(parser().parse_args([name])))


@pytest.mark.long
def test_results_are_kept_beside_those_from_before(tmp_path: Path) -> None:
    first = {"ingest": ingest.compare(lines=100)}
    few = {"viewers": 2, "rates": [50], "seconds": 0.2, "repeat": 1}
    second = {"fanout": fanout.compare(**few, names=["binderprogress"])}
    report.save(first, TABLES, tmp_path)
    report.save(second, TABLES, tmp_path)
    kept = json.loads((tmp_path / "latest.json").read_text())
    assert kept["results"] == json.loads(json.dumps({**first, **second}))
    assert kept["versions"]["binderprogress"]
    page = (tmp_path / "latest.md").read_text()
    assert "**Ingest: 100 lines of repo2docker**" in page
    assert "**Fan-out: 2 viewers" in page
    assert "<svg" in (tmp_path / "latest.svg").read_text()


def test_a_target_is_judged_only_by_the_load_that_it_names() -> None:
    def result(viewers: int) -> dict[str, Any]:
        rows = {"nchan": {"cpu_to_ours": 0.5}, "tornado": {"cpu_to_ours": 4.0}}
        return {"fanout": {"viewers": viewers, "rates": {"50": rows}}}

    found = [target.met for target in targets.targets(result(500))]
    assert found == [False, True, *[None] * (len(found) - 2)]
    assert not any(target.met is not None for target in targets.targets(result(50)))
