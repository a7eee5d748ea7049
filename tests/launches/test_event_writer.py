"""Logs with long lines, many lines and forged events, and what the stream shows of them."""

from __future__ import annotations

import asyncio
import logging
import threading
import tracemalloc
from itertools import pairwise
from typing import Any

import pytest

from binderprogress.backends.base import Attempt
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.core.events import Event
from binderprogress.core.log.diagnosis import Diagnosis, diagnose
from binderprogress.core.log.reader import Note
from binderprogress.core.log.reasons import failure
from binderprogress.core.log.steps import Step, numbered
from binderprogress.core.phases import Phase
from binderprogress.core.timing.estimator import Estimator
from binderprogress.errors import IllegalTransitionError, LaunchFailedError, StreamError
from binderprogress.launches import event_writer as writing
from binderprogress.launches.channel_factory import Channels
from binderprogress.launches.event_writer import Clock, Limits, Writer

from ..support.asynchronous import asynchronous

LOG = logging.getLogger("test")


class Ticking:
    """A clock that advances by a second with each call."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        self.seconds += 1
        return self.seconds


@pytest.fixture
def writer() -> Writer:
    return make_writer()


def make_writer(**limits: int) -> Writer:
    clock = Ticking()
    writer = Writer(
        Channels(MemoryChannelStore()).make(),
        clock=Clock(monotonic=clock, utc=clock),
        began=clock.seconds,
        began_utc=1_700_000_000 + clock.seconds,
        estimator=Estimator(now=clock.seconds),
        limits=Limits(**limits),
    )
    writer.append(Phase.WAITING)
    return writer


def write(writer: Writer, message: str = "", **fields: Any) -> None:
    writer.write(Note(message=message, **fields), log=LOG)


def events(writer: Writer) -> list[Event]:
    return [encoded.event for encoded in writer.channel.unstored[1:]]


def messages(writer: Writer) -> list[str]:
    return [event.message for event in events(writer)]


# -- long lines


def test_a_line_that_is_too_long_is_cut_and_says_by_how_much() -> None:
    writer = make_writer(line=10)
    write(writer, "x" * 1510 + "\n")
    assert messages(writer) == ["xxxxxxxxxx… [1,500 more characters in the full log]\n"]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_line_as_long_as_allowed_is_left_alone_whatever_its_end(end: str) -> None:
    writer = make_writer(line=10)
    write(writer, "x" * 10 + end)
    assert messages(writer) == ["x" * 10 + end]


def test_a_cut_line_that_would_be_overwritten_still_is() -> None:
    writer = make_writer(line=3)
    write(writer, "12345\r")
    assert messages(writer) == ["123… [2 more characters in the full log]\r"]


# -- long logs


def test_what_is_too_much_is_left_out_said_and_counted() -> None:
    writer = make_writer(log=30)
    for number in range(1, 8):
        write(writer, f"line {number:04}\n")  # 10 characters each
    writer.end(Phase.BUILT, "Built.\n")
    assert messages(writer) == [
        "line 0001\n",
        "line 0002\n",
        "line 0003\n",
        "[The log is too long to be shown; from here on only the full log has it all.]\n",
        "[4 lines are left out here; the full log has them.]\n",
        "Built.\n",
    ]


def test_steps_and_phases_are_told_even_when_the_log_is_too_long() -> None:
    writer = make_writer(log=5)
    write(writer, "Step 1/3 : FROM\n", phase=Phase.BUILDING, step=numbered(1, 3))
    write(writer, "Step 2/3 : RUN\n", step=numbered(2, 3))
    write(writer, "a line\n")
    write(writer, "pushing\n", phase=Phase.PUSHING)
    shown = events(writer)[1:]
    assert [(e.phase, e.step_index, e.message) for e in shown] == [
        (Phase.BUILDING, 1, ""),
        (Phase.BUILDING, 2, ""),
        (Phase.PUSHING, 0, ""),
    ]


def test_attack_short_lines_without_end_are_cut_by_their_number() -> None:
    # `yes` writes two characters a line. With a limit of eight million characters only, this would
    # be four million events, which take gigabytes.
    writer = make_writer(lines=50)
    for _ in range(500):
        write(writer, "y\n")
    writer.end(Phase.BUILT, "Built.\n")
    assert messages(writer).count("y\n") == 50
    assert messages(writer)[-2].startswith("[450 lines are left out here")
    assert writer.channel.written < 60


def test_attack_a_log_of_nothing_but_steps_is_cut_too() -> None:
    # Steps are shown beyond the limit of the log. A script that prints "Step 1/2 :" forever must
    # not fill the memory.
    writer = make_writer(log=5, steps=20)
    for number in range(500):
        index = number % 2 + 1
        write(writer, f"Step {index}/2 : RUN\n", step=numbered(index, 2))
    assert writer.channel.written < 30
    write(writer, "done\n", phase=Phase.BUILDING, step=Step("pushing", "Pushing"))
    assert events(writer)[-1].phase is Phase.BUILDING


def test_attack_a_source_that_says_too_much_beside_its_message_is_cut() -> None:
    # Other fields of an event must not bypass the limit of a line.
    writer = make_writer(line=100)
    write(writer, "short\n", source={"html_message": "x" * 5000})
    write(writer, "short\n", source={"note": "kept"})
    first, second = events(writer)
    assert first.source is not None
    assert set(first.source) == {"elided"}
    assert len(writer.channel.unstored[1].json) < 1000
    assert second.source == {"note": "kept"}


def test_attack_long_lines_that_are_kept_for_the_diagnosis_take_no_memory() -> None:
    # A process may print lines of 4 MiB. 400 of them would take 1.6 GB.
    writer = make_writer()
    tracemalloc.start()
    try:
        for number in range(100):
            write(writer, f"{number} " + "x" * 2**20 + "\n")
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 10 * 2**20


# -- phases


def test_what_is_said_of_an_earlier_phase_is_told_under_the_present_one(writer: Writer) -> None:
    write(writer, "one\n", phase=Phase.FETCHING)
    write(writer, "two\n", phase=Phase.BUILDING)
    write(writer, "three\n", phase=Phase.FETCHING)
    write(writer, "four\n")
    phases = [event.phase for event in events(writer)]
    assert phases == [Phase.FETCHING, Phase.BUILDING, Phase.BUILDING, Phase.BUILDING]
    assert messages(writer) == ["one\n", "two\n", "three\n", "four\n"]


@pytest.mark.parametrize("phase", [Phase.READY, Phase.FAILED, Phase.CANCELLED, Phase.BUILT])
def test_attack_a_log_cannot_end_the_stream(writer: Writer, phase: Phase) -> None:
    # A script could print what looks like the last event of a source.
    write(writer, "building\n", phase=Phase.BUILDING)
    write(writer, "I am the end\n", phase=phase)
    assert events(writer)[-1].phase is Phase.BUILDING
    writer.end(Phase.BUILT, "Built.\n")
    assert [e.phase for e in events(writer)][-2:] == [Phase.BUILDING, Phase.BUILT]


def test_a_phase_that_cannot_follow_is_refused_and_nothing_is_changed(writer: Writer) -> None:
    before = writer.channel.written
    with pytest.raises(IllegalTransitionError):
        writer.append(Phase.READY)
    assert (writer.channel.written, writer.phase) == (before, Phase.WAITING)
    assert writer.append(Phase.FETCHING).event.id == before + 1


def test_a_step_goes_on_until_the_phase_ends(writer: Writer) -> None:
    write(writer, "a\n", phase=Phase.BUILDING, step=numbered(2, 5))
    write(writer, "b\n")
    write(writer, "c\n", phase=Phase.PUSHING)
    assert [(e.step, e.step_index, e.step_total) for e in events(writer)] == [
        ("Step 2 of 5", 2, 5),
        ("Step 2 of 5", 2, 5),
        ("", 0, 0),
    ]


@asynchronous(10)
async def test_numbers_times_and_the_bar_only_go_forward(writer: Writer) -> None:
    write(writer, "a\n", phase=Phase.FETCHING)
    write(writer, "b\n", phase=Phase.BUILDING, step=numbered(3, 4))
    write(writer, "c\n", step=numbered(1, 4))
    await writer.fail(failure("build-failed"), log=LOG)
    written = events(writer)
    assert [e.id for e in written] == [2, 3, 4, 5]
    assert all(a.time < b.time and a.elapsed < b.elapsed for a, b in pairwise(written))
    assert all(a.progress <= b.progress < 100 for a, b in pairwise(written))
    assert written[-1].curve is None


# -- ends


def test_nothing_follows_the_end(writer: Writer) -> None:
    writer.cancel("cancelled")
    assert writer.channel.ended
    with pytest.raises((IllegalTransitionError, StreamError)):
        writer.append(Phase.WAITING)
    assert events(writer)[-1].phase is Phase.CANCELLED
    assert events(writer)[-1].reason == "cancelled"


@asynchronous(10)
async def test_a_failure_that_only_an_exit_code_tells_is_explained_from_the_log(
    writer: Writer,
) -> None:
    write(writer, "ERROR: No matching distribution found for six==99.99\n", phase=Phase.BUILDING)
    write(writer, "some more\n")
    await writer.fail(failure("build-failed"), log=LOG)
    end = events(writer)[-1]
    assert end.reason == "unsatisfiable-requirement"
    assert end.subject == "six==99.99"
    assert "six==99.99" in end.message
    assert end.advice
    assert end.evidence == ["ERROR: No matching distribution found for six==99.99"]


@asynchronous(10)
async def test_a_failure_with_a_reason_keeps_it_whatever_the_log_says(writer: Writer) -> None:
    write(writer, "No space left on device\n")
    await writer.fail(
        LaunchFailedError("It took too long.", reason="build-timeout", advice="Wait."),
        log=LOG,
    )
    end = events(writer)[-1]
    assert (end.reason, end.message, end.advice) == (
        "build-timeout",
        "It took too long.\n",
        "Wait.",
    )
    assert end.evidence == []


@asynchronous(20)
async def test_a_failure_is_explained_off_the_loop(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The log is untrusted. Searching it must not block the event loop.
    released = threading.Event()

    def waiting(*args: Any, **options: Any) -> Diagnosis:
        assert released.wait(10), "the loop waits for the diagnosis"
        return diagnose(*args, **options)

    monkeypatch.setattr(writing, "diagnose", waiting)
    failing = asyncio.create_task(writer.fail(failure("build-failed"), log=LOG))
    await asyncio.sleep(0)
    assert not writer.channel.ended
    released.set()
    await failing
    assert [event.phase for event in events(writer)] == [Phase.FAILED]
    assert writer.channel.ended


@asynchronous(20)
async def test_what_is_cancelled_while_it_is_explained_ends_once(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def explain(*_: object, **__: object) -> Diagnosis:
        assert released.wait(10)
        return diagnose([])

    monkeypatch.setattr(writing, "diagnose", explain)
    failing = asyncio.create_task(writer.fail(failure("build-failed"), log=LOG))
    await asyncio.sleep(0)
    writer.cancel("cancelled")
    released.set()
    await failing
    assert [event.phase for event in events(writer)] == [Phase.CANCELLED]


@asynchronous(10)
async def test_the_reason_is_found_beyond_what_is_shown() -> None:
    writer = make_writer(log=10, line=80)
    for _ in range(20):
        write(writer, "a long line\n")
    write(writer, "OSError: No space left on device\n")
    await writer.fail(failure("build-failed"), log=LOG)
    assert events(writer)[-1].reason == "disk-full"


def test_a_traceback_is_for_the_operator_only(
    writer: Writer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="test"):
        write(writer, "It broke.\n", traceback='Traceback: File "/secret/path.py"')
    assert "/secret/path.py" in caplog.text
    assert b"secret" not in writer.channel.unstored[1].json


# -- a server that cannot start


def launching(writer: Writer) -> None:
    writer.append(Phase.BUILT)
    writer.append(Phase.LAUNCHING)


def stuck() -> Diagnosis:
    return diagnose(
        ['Failed to pull image "https://kim:secret@example.org/lab:2": not found\n'], kind="spawn"
    )


def test_a_problem_is_in_each_event_until_it_is_overcome(writer: Writer) -> None:
    launching(writer)
    writer.show_problem(stuck())
    write(writer, "Back-off pulling image\n")
    writer.show_problem(None)
    write(writer, "Started container\n")
    first, second, third = events(writer)[2:]
    assert first.phase is Phase.LAUNCHING
    assert first.message == f"{first.problem} JupyterHub still tries to start it.\n"
    assert "secret" not in first.message + "".join(first.evidence)
    for event in (first, second):
        assert event.reason == "image-pull-failed"
        assert event.problem == first.problem
        assert (event.fault, event.retry) == ("server", False)
        assert event.advice
        assert event.evidence
    assert (third.problem, third.reason, third.evidence) == ("", "", [])


@asynchronous(10)
async def test_a_failure_has_its_own_reason_not_that_of_the_problem(writer: Writer) -> None:
    launching(writer)
    writer.show_problem(stuck())
    await writer.fail(failure("hub-unreachable"), log=LOG)
    last = events(writer)[-1]
    assert (last.reason, last.problem, last.evidence) == ("hub-unreachable", "", [])
    writer.show_problem(stuck())
    assert events(writer)[-1] == last


def test_the_next_attempt_begins_without_the_problem(writer: Writer) -> None:
    launching(writer)
    writer.show_problem(stuck())
    writer.try_again(Attempt(2, "The server could not be started."))
    assert events(writer)[-1].problem == ""


@asynchronous(10)
async def test_lines_about_an_earlier_pod_do_not_explain_a_failure(writer: Writer) -> None:
    launching(writer)
    write(writer, "0/2 nodes are available: 2 Insufficient nvidia.com/gpu.\n", pod="first")
    write(writer, "Successfully assigned default/kim to node-1\n", pod="second")
    write(writer, 'MountVolume.SetUp failed for volume "home" : mount failed\n', pod="second")
    await writer.fail(failure("start-timeout"), log=LOG)
    assert events(writer)[-1].reason == "storage"
