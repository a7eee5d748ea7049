"""Reading parts of long logs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from binderprogress.channels.base import Meter
from binderprogress.errors import NotFoundError
from binderprogress.launches.build_log import BuildLog
from binderprogress.launches.log_files import LogFiles
from binderprogress.launches.log_lines import (
    MAX_HITS,
    LogLines,
    LogPart,
    MemoryText,
    SharedIndex,
    TextFile,
)
from binderprogress.launches.log_times import LineTimes

from ..support.asynchronous import asynchronous

LOG = logging.getLogger("test")


@pytest.fixture
def logs(tmp_path: Path) -> LogFiles:
    return LogFiles(folder=tmp_path, limit=2**30, budget=2**30, keep=3600.0, meter=Meter())


def log_of(*texts: str, before: str = "", after: str = "", is_over: bool = True) -> LogLines:
    text = MemoryText(bytearray("".join(texts).encode()))
    return LogLines(
        text, SharedIndex(), before=before.encode(), after=after.encode(), is_over=is_over
    )


def numbered(count: int) -> str:
    return "".join(f"line {number}\n" for number in range(1, count + 1))


def found(log: LogLines, text: str, *, seconds: float = 60.0) -> Iterator[tuple[int, int]]:
    """Search all of it, however many times that takes."""
    following, total = 1, 1
    while following <= total:
        answer = log.find(text, following, seconds=seconds)
        assert answer.next > following
        yield from answer.hits
        following, total = answer.next, answer.total


def test_any_lines_are_read() -> None:
    log = log_of(numbered(50_000), before="head\n", after="Built.\nready\n")
    assert log.part(1, 3) == LogPart(1, ["head", "line 1", "line 2"], 50_003, 50_003)
    for first in (2, 999, 4000, 30_000, 50_001):
        assert log.part(first, 1).lines == [f"line {first - 1}"]
    assert log.part(12_000, 2000).lines == [f"line {n}" for n in range(11_999, 13_999)]
    assert log.part(-3, 10) == LogPart(50_001, ["line 50000", "Built.", "ready"], 50_003, 50_003)
    assert log.part(60_000, 10) == LogPart(50_004, [], 50_003, 50_003)
    assert log.part(0, 10).lines == []
    assert log.part(-(10**12), 1).lines == ["head"]
    assert log_of(numbered(9), is_over=False).part(1, 1).settled == 0
    assert log_of(numbered(900), is_over=False).part(1, 1).settled == 400
    assert log_of().part(1, 1) == LogPart(1, [], 0, 0)


def test_long_lines_are_cut_and_make_parts_shorter() -> None:
    log = log_of(("x" * 100_000 + "\n") * 100)
    part = log.part(1, 100)
    assert {len(line) for line in part.lines} == {40_001}
    assert (len(part.lines), part.total) == (27, 100)


def test_what_comes_after_the_build_may_overwrite_its_last_line() -> None:
    log = log_of("one\n", "10%\r", after="done\n")
    assert log.part(1, 9).lines == ["one", "done"]


def test_a_search_goes_on_where_it_ended() -> None:
    log = log_of(numbered(50_000), "10%\r", "100%\n", before="line 7\n", after="LINE 7\n")
    expected = [n for n in range(1, 50_001) if "line 7" in f"line {n}"]
    lines = [1, *[n + 1 for n in expected], 50_003]
    assert [line for line, _ in found(log, "line 7")] == lines
    # Even if each block takes too long.
    assert [line for line, _ in found(log, "line 7", seconds=0.0)] == lines
    assert len(log.find("line", 1).hits) < MAX_HITS + 10_000
    assert len([*found(log, "line")]) == 50_002
    assert [*found(log, "100%")] == [(50_002, 1)]
    assert [*found(log, "10%\r")] == []
    first = log.find("line 7", 40_000)
    assert first.hits == [(50_003, 1)]


def test_the_index_of_a_file_grows_with_it(tmp_path: Path) -> None:
    path, index = tmp_path / "a.log", SharedIndex()
    path.write_text(numbered(20_000))
    early = TextFile(path, path.stat().st_size)
    assert LogLines(early, index).part(-1, 1).lines == ["line 20000"]
    with path.open("a") as file:
        file.write("\x1b[2Aover\n" + numbered(20_000))
    later = LogLines(TextFile(path, path.stat().st_size), index)
    assert later.part(19_998, 4).lines == ["line 19998", "over", "line 1", "line 2"]
    # A launch that left the build earlier has the same index.
    assert LogLines(early, index).part(-2, 2).lines == ["line 19999", "line 20000"]
    # A log that was cut meanwhile, because the disk is full, has no more than that.
    assert LogLines(TextFile(path, 10**9), SharedIndex()).part(-1, 1).lines == ["line 20000"]


def test_when_lines_were_written(tmp_path: Path) -> None:
    seconds = iter([100.0, 100.2, 100.9, 101.9, 102.0, 103.0])
    log = BuildLog(
        tmp_path / "a.log", limit=2**30, meter=Meter(), log=LOG, clock=lambda: next(seconds)
    )
    index = SharedIndex()

    def times(before: str = "") -> LineTimes:
        return LogLines(log.text()[0], index, before=before.encode()).times()

    log.write("one\n")
    log.write("two\n")
    assert times() == LineTimes([1], [100.0], 2)
    # The first line of a step, although it comes soon after another one.
    log.write("three\n")
    log.mark(len("one\ntwo\n"), 100.876)
    log.write(numbered(20_000))
    log.write("10%\r")
    assert times() == LineTimes([1, 3, 4], [100.0, 100.876, 101.9], 20_004)
    # A line that is written again is as old as it is now.
    log.write("20%\n")
    assert times("head\n") == LineTimes([2, 4, 5, 20_005], [100.0, 100.876, 101.9, 103.0], 20_005)
    assert LogLines(log.text()[0], SharedIndex()).times() == times()
    assert LogLines(log.text()[0], index).times(2).lines == [1, 4]
    log.delete()
    assert not list(tmp_path.iterdir())


def test_a_log_without_times_says_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.times").mkdir()
    log = BuildLog(tmp_path / "a.log", limit=2**30, meter=Meter(), log=LOG)
    log.write("one\n")
    log.flush()
    log.write("two\n")
    (tmp_path / "a.times").rmdir()
    text, _ = log.text()
    assert caplog.text.count("The times of a build's log end early") == 1
    assert LogLines(text, SharedIndex()).times() == LineTimes([], [], 2)
    # As of an earlier version.
    (tmp_path / "b.log").write_text("one\n")
    assert LogLines(TextFile(tmp_path / "b.log", 4), SharedIndex()).times().lines == []


@asynchronous(10)
async def test_the_log_of_a_build_is_read_while_it_runs_and_later(logs: LogFiles) -> None:
    build = logs.make("a", log=LOG)
    assert (await logs.lines("a"))().part(1, 9) == LogPart(1, [], 0, 0)
    build.write("one\ntw")
    assert (await logs.lines("a"))().part(1, 9) == LogPart(1, ["one", "tw"], 2, 0)
    build.write("o\n")
    build.finish("Built.\n")
    expected = LogPart(1, ["one", "two", "Built."], 3, 3)
    assert (await logs.lines("a"))().part(1, 9) == expected
    build.release()
    assert (await logs.lines("a"))().part(1, 9) == expected
    for name in ("b", "../a", ""):
        with pytest.raises(NotFoundError, match="no log at this address"):
            await logs.lines(name)
    for number in range(200):
        logs.index(str(number))
    assert len(logs._indexes) == 64
