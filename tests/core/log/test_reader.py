from __future__ import annotations

import json
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.events import Event, encode
from binderprogress.core.log.reader import (
    JUPYTERHUB_STEPS,
    LogReader,
    Normalizer,
    Note,
    Record,
    clean,
    from_binderhub,
    from_jupyterhub,
)
from binderprogress.core.log.steps import BINDERHUB_AWAY, HUB_AWAY, QUEUED
from binderprogress.core.phases import Phase

from .. import recorded

B, F, P = Phase.BUILDING, Phase.FETCHING, Phase.PUSHING


def jsonl(message: object, end: str = "\n", **fields: object) -> str:
    return json.dumps({"message": message, **fields}) + end


def read(*lines: str) -> list[Note | None]:
    normalizer = Normalizer()
    return [normalizer.read(Record("repo2docker", line)) for line in lines]


def binderhub(*records: dict[str, Any]) -> list[Note | None]:
    normalizer = Normalizer()
    return [normalizer.read(Record("binderhub", record)) for record in records]


# Recorded streams ---------------------------------------------------------------------------------


def phases(notes: list[Note]) -> str:
    """Return the phases of the notes, in order."""
    return " ".join(phase for phase, _ in groupby(note.phase for note in notes if note.phase))


def steps(notes: list[Note]) -> str:
    """Return the keys or numbers of the steps, with a star for cached ones."""
    words = [
        f"{step.index}/{step.total}{'*' * step.cached}" if step.total else step.key
        for step in (note.step for note in notes)
        if step is not None
    ]
    return " ".join(word for word, _ in groupby(words))


_FETCHED = "found cloning checked-out detected"
_ELEVEN = " ".join(f"{index}/11" for index in range(1, 12))
_ELEVEN_CACHED = (
    "1/11 2/11 2/11* 3/11 3/11* 4/11 4/11* 5/11 5/11* 6/11 6/11* 7/11 8/11 9/11 10/11 11/11"
)
_NINE = "1/9 2/9 2/9* 3/9 4/9 5/9 6/9 7/9 8/9 9/9"
# Of each stream: its phases, its steps.
STREAMS = {
    "repo2docker-2024.7-podmanapi.jsonl": ("fetching building", f"{_FETCHED} {_ELEVEN} saving"),
    "repo2docker-2024.7-push.jsonl": (
        "fetching building pushing",
        "found detected 1/7 pulling-base 2/7 3/7 4/7 5/7 6/7 7/7 saving 9/10 10/10 pushed",
    ),
    "repo2docker-badbuild.jsonl": (
        "fetching building",
        f"{_FETCHED} 1/11 2/11 2/11* 3/11 3/11* 4/11",
    ),
    "repo2docker-badref.jsonl": ("fetching", "found cloning"),
    "repo2docker-busybox-ok.jsonl": ("fetching building", f"found cloning detected {_NINE} saving"),
    "repo2docker-killed.jsonl": ("fetching building", "found cloning detected 1/5 2/5"),
    "repo2docker-norepo.jsonl": ("fetching", "found cloning"),
    "repo2docker-ok.jsonl": ("fetching building", f"{_FETCHED} {_ELEVEN} saving"),
    "repo2docker-run.jsonl": ("fetching building", "found cloning checked-out reused"),
    "repo2docker-shim-ok.jsonl": ("fetching building", f"{_FETCHED} {_ELEVEN_CACHED} saving"),
    "hub-progress-bad.txt": ("launching", ""),
    "hub-progress-dockerspawner-noimage.txt": ("launching", ""),
    "hub-progress-dockerspawner-ok.txt": ("launching", "requested starting"),
    "hub-progress-exit1.txt": ("launching", "requested starting"),
    "hub-progress-kubespawner-ok.txt": (
        "launching",
        "requested waiting-for-node scheduled pulling pulled created answering",
    ),
    "hub-progress-ok-again.txt": ("launching", ""),
    "hub-progress-ok.txt": ("launching", "requested starting"),
    "hub-progress-slow.txt": ("launching", "requested scheduled pulling pulled created answering"),
    "hub-progress-slowbad.txt": ("launching", "requested scheduled pulling pulled created"),
    "binderhub-build-fake-launch.txt": (
        "waiting building built launching ready",
        "queued requested starting",
    ),
    "binderhub-build-real-badbuild.txt": (
        "waiting fetching building failed",
        f"queued {_FETCHED} 1/11 2/11 2/11* 3/11 3/11* 4/11",
    ),
    "binderhub-build-real-ok.txt": (
        "waiting fetching building built launching ready",
        f"queued {_FETCHED} {_ELEVEN_CACHED} saving requested starting",
    ),
}


def test_a_line_about_a_server_that_is_started_here() -> None:
    note = Normalizer().read(Record("process", "Starting the server"))
    assert note is not None
    assert (note.message, note.phase) == ("Starting the server\n", Phase.LAUNCHING)
    assert note.step == JUPYTERHUB_STEPS["Spawning server..."]


def test_every_recorded_stream_is_read() -> None:
    assert set(STREAMS) == {*recorded.REPO2DOCKER, *recorded.HUB, *recorded.BINDERHUB}


@pytest.mark.parametrize("name", STREAMS)
def test_phases_and_steps_of_a_stream(name: str) -> None:
    notes = recorded.notes(name)
    assert (phases(notes), steps(notes)) == STREAMS[name]


def said(name: str) -> list[str]:
    """Return the messages of a stream, each with a line end."""
    if name in recorded.REPO2DOCKER:
        raw = [
            json.loads(line)["message"] if line.startswith("{") else line
            for line in recorded.lines(name)
        ]
        # docker's older API ends a message by one that is nothing but a line feed.
        raw = [
            message
            for before, message in pairwise(["\n", *filter(None, raw)])
            if message != "\n" or before[-1] in "\r\n"
        ]
    else:
        raw = [record.get("message", "") for record in recorded.records(name)]
    return [message if message[-1:] in ("", "\n", "\r") else message + "\n" for message in raw]


@pytest.mark.parametrize("name", STREAMS)
def test_messages_of_a_stream_are_kept(name: str) -> None:
    assert [note.message for note in recorded.notes(name)] == said(name)


def raw_text(name: str) -> str:
    return (recorded.FOLDER / name).read_text()


@pytest.mark.parametrize("name", [name for name in STREAMS if "exc_info" in raw_text(name)])
def test_tracebacks_of_a_stream_are_for_the_operator_only(name: str) -> None:
    # They tell of paths, versions and command lines of the server.
    notes = recorded.notes(name)
    assert any(note.traceback.startswith("Traceback") for note in notes)
    for note in notes:
        assert "Traceback" not in note.message
        assert "exc_info" not in str(note.source)
        assert "Traceback" not in str(note.source)


@pytest.mark.parametrize("name", [name for name in STREAMS if "html_message" in raw_text(name)])
def test_html_of_a_stream_stays_under_source(name: str) -> None:
    # A spawner of the Hub's writes it: shown, it would run in the page of whoever launches.
    notes = recorded.notes(name)
    assert any("<" in (note.source or {}).get("html_message", "") for note in notes)
    for note in notes:
        assert "<" not in note.message + (note.step.label if note.step else "")


@pytest.mark.parametrize("name", recorded.BINDERHUB)
def test_the_token_of_a_stream_stays_out_of_it(name: str) -> None:
    # The log of a build is everybody's, the server is not.
    assert "AAAAAAAAAAAAAAAA" not in repr(recorded.notes(name))


def test_what_a_hub_says_beyond_its_message_is_kept() -> None:
    for record, note in zip(
        recorded.records("hub-progress-kubespawner-ok.txt"),
        recorded.notes("hub-progress-kubespawner-ok.txt"),
        strict=True,
    ):
        assert {**(note.source or {}), "message": record["message"]} == record
        assert note.error == ("failed" in record)


def test_what_a_hub_does_in_plain_words() -> None:
    notes = recorded.notes("hub-progress-kubespawner-ok.txt")
    assert [note.step.label for note in notes if note.step] == [
        "Requesting a server",
        "Waiting for a node",
        "Found a node",
        "Pulling the image",
        "Pulled the image",
        "Created the container",
        "Waiting for the server to respond",
    ]


def test_what_a_hub_answers_when_there_is_no_stream() -> None:
    # The bodies of hub-progress-errors.txt, should one of them be taken for an event.
    assert from_jupyterhub({"status": 404, "message": None}).message == ""
    note = from_jupyterhub({"status": 403, "message": "Missing or invalid credentials."})
    assert note.message == "Missing or invalid credentials.\n"


def test_the_refusal_that_is_not_json() -> None:
    notes = read(*recorded.lines("repo2docker-rootrefused.stdout.txt"))
    assert notes[0] == Note(message="Root as the primary user in the image is not permitted.\n")
    assert notes[-1] is None


# repo2docker --------------------------------------------------------------------------------------

LINES: dict[str, tuple[str, Note | None]] = {
    "with phase": (jsonl("a\n", phase="building"), Note(message="a\n", phase=B)),
    "without phase": (jsonl("a\n"), Note(message="a\n")),
    "without the line's end": (jsonl("a\n", end="", phase="pushing"), Note(message="a\n", phase=P)),
    "without the message's end": (jsonl("a", phase="fetching"), Note(message="a\n", phase=F)),
    "a message that is overwritten": (jsonl("a 10%\r"), Note(message="a 10%\r")),
    "a message with CR LF": (jsonl("a\r\n"), Note(message="a\n")),
    "blanks are kept": (jsonl("  a \t \n"), Note(message="  a \t \n")),
    "colours are kept": (jsonl("\x1b[31ma\x1b[0m\n"), Note(message="\x1b[31ma\x1b[0m\n")),
    "several lines in one": (jsonl("a\n  b\n"), Note(message="a\n  b\n")),
    "plain text": ("a\n", Note(message="a\n")),
    "plain text that is overwritten": ("a 10%\r", Note(message="a 10%\r")),
    "plain text with CR LF": ("a\r\n", Note(message="a\n")),
    "plain text, cut off": ("a", Note(message="a\n")),
    "an error": (jsonl("a", phase="failed"), Note(message="a\n", error=True)),
    "an error without a word": (jsonl("", phase="failed"), Note(error=True)),
    "a phase that nobody knows": (jsonl("a", phase="dreaming"), Note(message="a\n")),
    "a phase that is no text": (jsonl("a", phase=["building"]), Note(message="a\n")),
    "a phase that is null": (jsonl("a", phase=None), Note(message="a\n")),
    "more fields": (jsonl("a", level="info"), Note(message="a\n", source={"level": "info"})),
    "fields and no word": (jsonl("", level="info"), Note(source={"level": "info"})),
    "an empty line with a phase": (
        jsonl("\n", phase="fetching"),
        Note(message="\n", phase=F),
    ),
    "an empty message": (jsonl(""), None),
    "an empty message, ended": (jsonl("\n"), None),
    "an empty line": ("\n", None),
    "nothing": ("", None),
    "a list": ('["a"]\n', Note(message='["a"]\n')),
    "a text": ('"a"\n', Note(message='"a"\n')),
    "a number": ("12\n", Note(message="12\n")),
    "broken JSON": ('{"message": "a\n', Note(message='{"message": "a\n')),
    "JSON with more behind it": ('{"message": "a"} b\n', Note(message='{"message": "a"} b\n')),
    "a number too long for Python": (
        f'{{"message": "a", "n": {"9" * 5000}}}\n',
        Note(message=f'{{"message": "a", "n": {"9" * 5000}}}\n'),
    ),
    "no message": (
        '{"aux": {"ID": "sha256:01"}}\n',
        Note(message='{"aux": {"ID": "sha256:01"}}\n'),
    ),
    "an empty object": ("{}\n", Note(message="{}\n")),
    "a message that is no text": ('{"message": 5}\n', Note(message='{"message": 5}\n')),
}


@pytest.mark.parametrize(("line", "note"), LINES.values(), ids=LINES)
def test_a_line(line: str, note: Note | None) -> None:
    assert read(line) == [note]


def test_the_line_feed_of_an_unfinished_message_goes() -> None:
    # The older docker API sends it in a message of its own.
    assert read(
        jsonl("Step 1/3 : FROM busybox", phase="building"),
        jsonl("\n", phase="building"),
        jsonl("\n", phase="building"),
        jsonl(" ---> 65ad0d468eb1", phase="building"),
        jsonl("\r\n", phase="building"),
        jsonl("done\n", phase="building"),
        jsonl("\n", phase="building"),
    )[1:] == [
        None,
        Note(message="\n", phase=B),
        Note(message=" ---> 65ad0d468eb1\n", phase=B),
        None,
        Note(message="done\n", phase=B),
        Note(message="\n", phase=B),
    ]


def test_the_line_feed_of_an_unfinished_message_goes_in_a_binderhub_too() -> None:
    assert binderhub(
        {"phase": "building", "message": "a"},
        {"phase": "building", "message": "\n"},
        {"phase": "building", "message": "\n"},
    ) == [Note(message="a\n", phase=B), None, Note(message="\n", phase=B)]


FRAGMENTS = {
    "conda": (
        ["Preparing transaction: ...working... ", "done\n", "next\n"],
        [
            "Preparing transaction: ...working... \r",
            "Preparing transaction: ...working... done\n",
            "next\n",
        ],
    ),
    "several": (["a... ", "b... ", "c\n"], ["a... \r", "a... b... \r", "a... b... c\n"]),
    "a line feed of its own": (["a...", "\n", "b\n"], ["a...\r", "a...\n", "b\n"]),
    "a line feed before the next": (
        ["Building tree...", "\nReading state...", "\ndone\n"],
        [
            "Building tree...\r",
            "Building tree...\nReading state...\r",
            "Reading state...\ndone\n",
        ],
    ),
    "attack: a line without an end": (
        ["x" * 250 + "...", "y\n"],
        ["x" * 250 + "...\n", "y\n"],
    ),
}


@pytest.mark.parametrize("name", FRAGMENTS)
@pytest.mark.parametrize("reader", ["repo2docker", "binderhub"])
def test_a_line_that_comes_in_fragments_is_one_line(reader: str, name: str) -> None:
    fragments, shown = FRAGMENTS[name]
    if reader == "repo2docker":
        notes = read(*(jsonl(text, phase="building") for text in fragments))
    else:
        notes = binderhub(*({"phase": "building", "message": text} for text in fragments))
    assert [note.message for note in notes if note is not None] == shown


def test_fragments_are_of_the_build_and_of_nothing_else() -> None:
    notes = read(jsonl("a... "), jsonl("b... ", phase="building"), jsonl("c\n"))
    assert [note.message for note in notes if note is not None] == ["a... \n", "b... \r", "c\n"]


def test_after_a_binderhub_was_away_its_step_goes_on() -> None:
    away = {"phase": "waiting", "message": "hub: the connection was lost.\n", "unreachable": True}
    notes = binderhub(
        away,
        {"message": "a\n"},
        {"phase": "building", "message": "Step 1/3 : FROM x\n"},
        away,
        away,
        {"phase": "building", "message": "b\n"},
        {"phase": "building", "message": "c\n"},
        away,
        {"phase": "building", "message": "Step 2/3 : RUN y\n"},
    )
    steps = [note.step for note in notes if note is not None]
    first, second = steps[2], steps[8]
    assert steps == [
        *(BINDERHUB_AWAY, None, first, BINDERHUB_AWAY, BINDERHUB_AWAY, first, None),
        *(BINDERHUB_AWAY, second),
    ]
    assert first is not None and second is not None
    assert (first.index, second.index) == (1, 2)


@pytest.mark.parametrize("name", ["building", "Building", "BUILDING"])
def test_phases_may_be_in_upper_case(name: str) -> None:
    assert read(jsonl("a\n", phase=name)) == [Note(message="a\n", phase=B)]


# What a line of "building" gives away: phase, key of the step.
GIVEN_AWAY = {
    "The push refers to repository [registry.example.org/ok]\n": (P, "pushing"),
    "#12 pushing layers\n": (P, "pushing"),
    "Successfully pushed registry.example.org/ok:main\n": (P, "pushed"),
    "Using CondaBuildPack builder\n": (B, "detected"),
    "STEP 7/51: RUN true\n": (B, "step"),
    # A postBuild may clone: nothing goes back to fetching for that.
    "Cloning into 'data'...\n": (B, "cloning"),
    "HEAD is now at ec7ac44 init\n": (B, "checked-out"),
}


@pytest.mark.parametrize("text", GIVEN_AWAY)
@pytest.mark.parametrize("reader", ["repo2docker", "binderhub"])
def test_a_text_within_building_gives_away_a_later_phase_only(reader: str, text: str) -> None:
    record = {"phase": "building", "message": text}
    (note,) = read(json.dumps(record)) if reader == "repo2docker" else binderhub(record)
    assert note is not None
    assert note.step is not None
    assert (note.phase, note.step.key) == GIVEN_AWAY[text]


@pytest.mark.parametrize("phase", [{}, {"phase": "unknown"}])
def test_a_text_gives_away_the_phase_that_its_record_does_not_name(phase: dict[str, str]) -> None:
    record = {"message": "Picked Git content provider.\n", **phase}
    assert [note and note.phase for note in [*read(json.dumps(record)), *binderhub(record)]] == [
        F,
        F,
    ]


@pytest.mark.parametrize("traceback", ["Traceback (most recent call last):\n…", ["a", 1], {"b": 2}])
@pytest.mark.parametrize("message", ["a", 5, None, ["x"]])
def test_no_viewer_sees_a_traceback(message: object, traceback: object) -> None:
    # However the record is made. It tells of paths, versions and command lines of the server.
    secret = traceback if isinstance(traceback, str) else repr(traceback)
    record = {"message": message, "exc_info": traceback, "level": "error"}
    for note in [*read(json.dumps(record)), *binderhub(record)]:
        assert note is not None
        assert note.traceback == secret
        assert "exc_info" not in note.message + str(note.source)
        assert secret not in note.message + str(note.source)


@pytest.mark.parametrize("nothing", [None, "", False])
def test_no_traceback(nothing: object) -> None:
    assert read(jsonl("a", exc_info=nothing)) == [Note(message="a\n")]


def test_a_traceback_and_no_word() -> None:
    assert read(jsonl("", exc_info="Traceback …")) == [Note(traceback="Traceback …")]


# The Hub ------------------------------------------------------------------------------------------

REASONS = {
    "FailedScheduling": "Waiting for a node",
    "NotTriggerScaleUp": "Waiting for a node",
    "TriggeredScaleUp": "Adding a node",
    "Scheduled": "Found a node",
    "Pulling": "Pulling the image",
    "Pulled": "Pulled the image",
    "Created": "Created the container",
    "Started": "Waiting for the server to respond",
    "BackOff": "Retrying after a failure",
    "Failed": "Retrying after a failure",
    "FailedMount": "Waiting for storage",
    "FailedAttachVolume": "Waiting for storage",
    "SuccessfulAttachVolume": "Waiting for storage",
    "Preempted": "Removed from its node",
    "": None,
}


@pytest.mark.parametrize("reason", REASONS)
def test_reasons_of_kubernetes_in_plain_words(reason: str) -> None:
    note = from_jupyterhub(
        {"raw_event": {"reason": reason, "message": "Pod went its way"}, "progress": 3}
    )
    assert (note.step.label if note.step else None) == REASONS[reason]
    assert note.message == "Pod went its way\n"
    assert note.phase is Phase.LAUNCHING


# What BinderHub leaves of them, key of the step; the browser's tests read these, too.
SHARED = json.loads((Path(__file__).parents[2] / "data" / "steps.json").read_text())["launches"]
MESSAGES = {case["message"]: case["key"] for case in SHARED}


@pytest.mark.parametrize("message", MESSAGES)
def test_messages_of_kubernetes_without_their_event(message: str) -> None:
    record = {"phase": "launching", "message": message}
    for note in [*binderhub(record), from_jupyterhub({"message": message})]:
        assert note is not None
        assert note.phase is Phase.LAUNCHING
        assert (note.step.key if note.step else "") == MESSAGES[message]


HUB: dict[str, tuple[dict[str, Any], str]] = {
    "no progress": ({"message": "a"}, "a\n"),
    "no message": ({"progress": 10}, ""),
    "nothing": ({}, ""),
    "null": ({"message": None, "raw_event": None}, ""),
    "a number": ({"message": 7}, "7\n"),
    "an object": ({"message": {"a": [1]}}, '{"a": [1]}\n'),
    "an event without a message": ({"raw_event": {"reason": "Pulling"}}, ""),
    "an event with null": ({"raw_event": {"reason": "Pulling", "message": None}}, ""),
    "an event with a number": ({"raw_event": {"message": 7}}, "7\n"),
    "an event that is none": ({"raw_event": "Pulling", "message": "a"}, "a\n"),
    "a reason that is none": ({"raw_event": {"reason": ["Pulling"]}, "message": "a"}, "a\n"),
    "an event again, which is no line": ({"message": "", "raw_event": {"message": "b"}}, ""),
    "its own message before the event's": ({"message": "a", "raw_event": {"message": "b"}}, "a\n"),
}


@pytest.mark.parametrize(("record", "message"), HUB.values(), ids=HUB)
def test_an_event_of_a_hub(record: dict[str, Any], message: str) -> None:
    before = json.dumps(record)
    note = from_jupyterhub(record)
    assert note.message == message
    assert note.phase is Phase.LAUNCHING
    assert note.source == ({k: v for k, v in record.items() if k != "message"} or None)
    assert json.dumps(record) == before


@pytest.mark.parametrize(
    ("failed", "error"), [(True, True), (False, False), ("no", False), (None, False)]
)
def test_only_true_is_a_failure(failed: object, error: bool) -> None:
    assert from_jupyterhub({"message": "a", "failed": failed}).error is error


# BinderHub ----------------------------------------------------------------------------------------

PHASES: dict[object, Phase | None] = {
    "waiting": Phase.WAITING,
    "fetching": F,
    "building": B,
    "Building": B,
    "pushing": P,
    "built": Phase.BUILT,
    "launching": Phase.LAUNCHING,
    "ready": Phase.READY,
    "failed": Phase.FAILED,
    "unknown": None,
    "Pending": None,
    "Running": None,
    "Succeed": None,
    "cancelled": None,
    "": None,
    None: None,
    7: None,
}


@pytest.mark.parametrize("phase", PHASES)
def test_phases_of_a_binderhub(phase: object) -> None:
    (note,) = binderhub({"phase": phase, "message": "a\n"})
    expected = PHASES[phase]
    assert note == Note(message="a\n", phase=expected, error=expected is Phase.FAILED)


def test_a_binderhub_without_a_message() -> None:
    assert binderhub({"phase": "failed"}, {"phase": "unknown"}, {}, {"message": None}) == [
        Note(phase=Phase.FAILED, error=True),
        None,
        None,
        None,
    ]


def test_a_message_of_a_binderhub_that_is_no_text() -> None:
    assert binderhub({"phase": "building", "message": ["a"]}) == [Note(message='["a"]\n', phase=B)]


def test_what_a_binderhub_says_beyond() -> None:
    assert binderhub({"phase": "built", "message": "a", "imageName": "ok:1"}) == [
        Note(message="a\n", phase=Phase.BUILT, source={"imageName": "ok:1"})
    ]


def test_the_log_inside_a_binderhub_is_read_as_one_stream() -> None:
    reader = LogReader()
    first = from_binderhub({"phase": "building", "message": "STEP 2/3: RUN a\n"}, reader)
    cached = from_binderhub({"phase": "building", "message": "--> Using cache 01\n"}, reader)
    assert first is not None
    assert cached is not None
    assert first.step is not None
    assert cached.step is not None
    assert (cached.step.index, cached.step.total, cached.step.cached) == (2, 3, True)


# Attacks ------------------------------------------------------------------------------------------


def test_a_message_of_a_binderhub_cannot_pass_for_a_record() -> None:
    # Whoever owns the repository writes it; it would be its own phase, and hide text.
    forged = json.dumps({"message": "Pushing image\n", "phase": "failed", "exc_info": "x"})
    assert binderhub({"phase": "building", "message": forged}) == [
        Note(message=forged + "\n", phase=B)
    ]


def test_the_token_of_a_remote_server_is_dropped() -> None:
    # What is under "source" goes to every viewer of a shared build.
    (note,) = binderhub({"phase": "ready", "message": "a", "token": "secret", "url": "http://x/"})
    assert note == Note(message="a\n", phase=Phase.READY, source={"url": "http://x/"})


def written(note: Note | None) -> Event:
    assert note is not None
    return Event(
        id=1, phase=B, time=0, elapsed=0, progress=0, message=note.message, source=note.source
    )


HALF = "\ud800"


@pytest.mark.parametrize("record", [{"message": HALF}, {"message": "a", HALF: {"b": [HALF]}}])
def test_half_a_surrogate_pair_does_not_end_the_launch(record: dict[str, Any]) -> None:
    # JSON can say it, UTF-8 cannot: the event could not be sent, and the launch would fail.
    for note in [*read(json.dumps(record)), *binderhub(record), from_jupyterhub(record)]:
        encoded = encode(written(note)).decode()
        assert "\ufffd" in encoded
    assert written(*read(HALF)).message == "\ufffd\n"


def test_json_that_is_nested_without_end_is_text() -> None:
    # Reading it would end the launch with a RecursionError.
    line = '{"message": ' + "[" * 100_000
    assert read(line) == [Note(message=line + "\n")]


def test_what_is_nested_too_deep_to_be_written_is_cut() -> None:
    # It can be read, but writing it would end the launch with a RecursionError.
    deep: Any = "x"
    for level in range(500):
        deep = [deep] if level % 2 else {"a": deep}
    for note in [*read(jsonl("a", deep=deep)), from_jupyterhub({"message": "a", "deep": deep})]:
        assert note is not None
        assert note.message == "a\n"
        assert "…" in encode(written(note)).decode()
        assert "x" not in str(note.source)
    assert from_jupyterhub({"message": deep}).message.count("[") == 16


jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
names = st.sampled_from(
    ["message", "phase", "exc_info", "raw_event", "failed", "progress", "reason", "token"]
)
values = jsons | st.sampled_from(["building", "failed", "\n", "a", "STEP 1/2: RUN a", "#8 CACHED"])


@given(st.lists(st.dictionaries(names | st.text(max_size=3), values, max_size=5), max_size=5))
def test_any_record_is_read_and_can_be_sent(given: list[dict[str, Any]]) -> None:
    notes = [
        *read(*[json.dumps(record) + "\n" for record in given]),
        *binderhub(*given),
        *map(from_jupyterhub, given),
    ]
    for note in notes:
        if note is not None:
            assert note.message == "" or note.message[-1] in "\r\n"
            assert note.message or note.phase or note.source or note.error or note.traceback
            encode(written(note))


@given(st.lists(st.text() | st.text('{}"[]:,\\u d8\r\n')))
def test_any_line_is_read_and_can_be_sent(lines: list[str]) -> None:
    for note in read(*lines):
        if note is not None:
            encode(written(note))


@given(
    st.dictionaries(
        st.sampled_from(["message", "phase"]) | st.text(max_size=2),
        st.text(st.characters()) | values,  # with halves of surrogate pairs, too
        max_size=3,
    ),
    st.sampled_from([" ", "\t", "", "\x0b", "\0"]),
    st.booleans(),
)
def test_a_line_says_the_same_whichever_way_it_is_read(
    record: dict[str, Any], blank: str, ascii_only: bool
) -> None:
    # A field more, and it is not read as the ordinary line that it is otherwise.
    record.pop("exc_info", None)
    line = json.dumps(record, ensure_ascii=ascii_only)
    odd = json.dumps({**record, "more": 1}, ensure_ascii=ascii_only)
    (plain,), (other,) = read(line + blank), read(odd + blank)
    if isinstance(record.get("message"), str) and blank.isspace() and blank != "\x0b":
        assert other is not None
        source = {k: v for k, v in (other.source or {}).items() if k != "more"} or None
        same = msgspec.structs.replace(other, source=source)
        # What is blank says nothing, but for the field more.
        says_nothing = not same.message.strip() and same == Note(message=same.message)
        assert plain == (None if says_nothing else same)


def test_a_hub_that_lets_one_wait_is_a_queue() -> None:
    note = from_jupyterhub({"message": "JupyterHub is busy. Retrying in 2 s.", "throttled": True})
    assert note.step == QUEUED
    assert from_jupyterhub({"message": "Server requested", "throttled": "yes"}).step != QUEUED
    away = from_jupyterhub({"message": "JupyterHub does not answer.", "unreachable": True})
    assert away.step == HUB_AWAY


def test_a_password_in_an_address_that_git_prints_stays_out_of_the_log() -> None:
    line = "fatal: unable to access 'https://ada:secret@git.example.org/a/': 403\n"
    note = Normalizer().read(Record("repo2docker", line))
    assert note is not None
    assert "secret" not in note.message
    assert "git.example.org/a/" in note.message


def test_a_list_is_cleaned_as_a_whole() -> None:
    assert clean([HALF, [10**400, {"a": HALF}], 1.5]) == [
        "\ufffd",
        [str(10**400), {"a": "\ufffd"}],
        1.5,
    ]


def spawn(*events: dict[str, Any]) -> list[Note]:
    """The notes of the events of a JupyterHub."""
    normalizer = Normalizer()
    notes = [normalizer.read(Record("jupyterhub", event)) for event in events]
    return [note for note in notes if note is not None]


def pod_event(reason: str, container: str = "containers{notebook}") -> dict[str, Any]:
    about = {"kind": "Pod", "name": "jupyter-ada", "uid": "u", "fieldPath": f"spec.{container}"}
    return {"message": reason, "raw_event": {"reason": reason, "involvedObject": about}}


def test_containers_that_prepare_a_pod_are_one_step() -> None:
    """Of z2jh, which blocks the cloud's metadata with an init container."""
    steps = ["Pulled", "Created", "Started"]
    init = "initContainers{block-cloud-metadata}"
    notes = spawn(
        pod_event("Scheduled"),
        *(pod_event(reason, init) for reason in steps),
        *(pod_event(reason) for reason in ["Pulling", *steps]),
    )
    keys = [note.step.key for note in notes if note.step is not None]
    assert keys == [
        *("scheduled", "preparing", "preparing", "preparing"),
        *("pulling", "pulled", "created", "answering"),
    ]


SLOW = (
    "\nServer launch is taking longer than expected. Please be patient! "
    "Current time spent waiting: {} seconds.\n"
)


def test_that_it_takes_long_is_no_line() -> None:
    """KubeSpawner 7.1 says so every 5 s."""
    notes = spawn(*({"message": SLOW.format(seconds)} for seconds in (20, 25, 30)))
    assert [(note.message, note.step and note.step.key) for note in notes] == [("", "slow")]


def test_that_it_takes_long_does_not_hide_what_is_known() -> None:
    notes = spawn(pod_event("Pulling"), {"message": SLOW.format(20)}, pod_event("Pulled"))
    assert [note.step.key for note in notes if note.step is not None] == ["pulling", "pulled"]


@pytest.mark.parametrize(
    ("reason", "key"),
    [("Evicted", "evicted"), ("Preempted", "evicted"), ("FailedCreatePodSandBox", "retrying")],
)
def test_what_happens_to_pods_is_a_step(reason: str, key: str) -> None:
    (note,) = spawn(pod_event(reason))
    assert note.step is not None
    assert note.step.key == key
