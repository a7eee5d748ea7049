from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.log.diagnosis import diagnose
from binderprogress.core.log.reasons import REASONS, Reason, failure
from binderprogress.core.printable import plain

from .. import recorded

KNOWN = [reason for reason in REASONS.values() if reason.pattern]


class Case(NamedTuple):
    name: str
    log: str
    reason: str
    subject: str
    message: str


# What real programs print, and what is made of it; the browser's tests read them, too.
SHARED = json.loads((Path(__file__).parents[2] / "data" / "reasons.json").read_text())
CASES = {case["name"]: Case(**case) for case in SHARED["cases"]}
PLAIN = {case["name"]: (case["given"], case["plain"]) for case in SHARED["plain"]}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("split", [True, False], ids=["lines", "one message"])
def test_diagnose(case: Case, split: bool) -> None:
    before = ["Cloning into '/tmp/repo2docker'...\n", "STEP 3/11: RUN pip install six\n"]
    log = case.log.splitlines(keepends=True) if split else [case.log]
    found = diagnose([*before, *log], otherwise="build-failed")
    assert (found.reason, found.subject, found.message) == (case.reason, case.subject, case.message)
    assert found.advice == REASONS[case.reason].advice
    shown = {plain(line).strip() for line in re.split("[\r\n]+", case.log)}
    assert found.evidence
    assert set(found.evidence) <= shown


def test_every_reason_that_a_log_can_tell_has_a_case() -> None:
    assert {case.reason for case in CASES.values()} == {reason.key for reason in KNOWN}


# Stream -> reason where no line tells, reason, message.
STREAMS = {
    "repo2docker-badref.jsonl": (
        "bad-ref",
        "The branch, tag or commit nosuchref does not exist in the repository.",
    ),
    "repo2docker-norepo.jsonl": (
        "private-or-missing",
        "The repository does not exist, or it is private.",
    ),
    "repo2docker-badbuild.jsonl": (
        "unsatisfiable-requirement",
        "The requirement six==99.99 cannot be satisfied.",
    ),
    "binderhub-build-real-badbuild.txt": (
        "unsatisfiable-requirement",
        "The requirement six==99.99 cannot be satisfied.",
    ),
    "repo2docker-run.jsonl": ("no-jupyter", "Jupyter is not installed in the image."),
    "repo2docker-killed.jsonl": ("unknown", "The launch failed."),
    "hub-progress-exit1.txt": (
        "server-did-not-answer",
        "The server started but did not respond in time.",
    ),
    "hub-progress-kubespawner-ok.txt": (
        "server-did-not-answer",
        "The server started but did not respond in time.",
    ),
    "hub-progress-dockerspawner-noimage.txt": (
        "image-pull-failed",
        "The image localhost/nosuch:1 could not be found or pulled.",
    ),
    "hub-progress-slowbad.txt": (
        "image-pull-failed",
        "The image example:latest could not be found or pulled.",
    ),
    "hub-progress-bad.txt": ("unknown", "The launch failed."),
}


@pytest.mark.parametrize("name", STREAMS)
def test_recorded_failures(name: str) -> None:
    found = diagnose([note.message for note in recorded.notes(name)])
    assert (found.reason, found.message) == STREAMS[name]


@pytest.mark.parametrize(
    "name", [n for n in [*recorded.REPO2DOCKER, *recorded.HUB, *recorded.BINDERHUB] if "ok" in n]
)
def test_a_log_that_ended_well_tells_no_reason(name: str) -> None:
    # Else it would be given for a failure that comes later. (A spawn did fail in one of them.)
    messages = [
        note.message for note in recorded.notes(name) if "didn't respond" not in note.message
    ]
    expected = "no-node" if "kubespawner" in name else "spawn-failed"
    assert diagnose(messages, otherwise="spawn-failed").reason == expected


# The evidence -------------------------------------------------------------------------------------


def test_what_went_wrong_first_comes_first() -> None:
    log = [
        "ERROR: No matching distribution found for six==99.99\n",
        'Error: building at STEP "RUN pip install six==99.99": exit status 1\n',
    ]
    for lines in (log, log[::-1]):
        found = diagnose(lines)
        assert found.reason == "unsatisfiable-requirement"
        assert found.evidence == ["ERROR: No matching distribution found for six==99.99"]


def test_a_wrapped_sentence_is_evidence_as_a_whole() -> None:
    found = diagnose([*CASES["uv, older, wrapped"].log.splitlines(), "uv exited with status 1."])
    assert found.evidence == [
        "× No solution found when resolving dependencies:",
        "╰─▶ Because six==99.99 was not found in the package registry and you",
        "require six==99.99, we can conclude that your requirements are",
    ]


def test_the_last_lines_are_the_evidence_where_none_tells() -> None:
    found = diagnose([f"line {count}\n" for count in range(20)], otherwise="build-failed")
    assert found.reason == "build-failed"
    assert found.message == "The build failed."
    assert found.evidence == [f"line {count}" for count in range(14, 20)]


def test_evidence_is_plain_and_short() -> None:
    log = [f"\x1b[31mno space left on device {count}\x1b[0m\r\n" for count in range(50)]
    assert diagnose(log).evidence == [f"no space left on device {count}" for count in range(6)]


def test_no_log_at_all() -> None:
    found = diagnose([])
    assert (found.reason, found.message, found.evidence) == ("unknown", "The launch failed.", [])
    assert diagnose(["\n", " \r\n", "\x1b[0m"]).evidence == []


@pytest.mark.parametrize("key", REASONS)
def test_failure(key: str) -> None:
    error = failure(key)
    assert (str(error), error.reason, error.advice) == (
        REASONS[key].sentence,
        key,
        REASONS[key].advice,
    )
    assert str(failure(key, "In other words.")) == "In other words."
    assert failure(key, "In other words.").advice == REASONS[key].advice


# The table ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", REASONS.values(), ids=REASONS)
def test_every_reason_has_sentences(reason: Reason) -> None:
    named = reason.named.format("THIS")
    for text in (reason.sentence, reason.advice, named or "Nothing."):
        assert re.fullmatch(r"\S.*[^.]\.", text)
        assert not re.search(r"  | [,.;:]|[{}]", text)
        # What stands first may be the name of a file.
        assert text[0].isupper() or text.startswith(("requirements.txt", "environment.yml"))
    assert ("THIS" in named) == bool(re.search(r"(?<!\\)\((?!\?)", reason.pattern + reason.below))


# Attacks ------------------------------------------------------------------------------------------

# Pieces that the patterns begin with, or go round in.
PIECES = [
    "a",
    " ",
    "'",
    "0",
    "─ a",
    "\\",
    "-",
    "Failed to check out ref '",
    "fatal: repository '",
    "Could not resolve host",
    "Python ",
    "building at STEP postBuild ",
    "process postBuild",
    "The command ",
    "Timeout",
    "Timeout waiting for",
    "Failed to build ",
    "Failed to build installable wheels for (",
    "failed to find image a:",
    "initializing source docker://a:",
    "you require a,<",
    "you require a,",
    "NotFoundError: - ",
    "─ a does not exist ",
    "0/0 nodes",
    "image pull back-off: no such image",
]


@pytest.mark.parametrize("reason", KNOWN, ids=[reason.key for reason in KNOWN])
def test_a_hostile_line_does_not_hold_the_server(reason: Reason) -> None:
    # Whoever owns the repository writes the log. An expression that goes back exponentially would
    # stand still for years here, and the test would never end.
    for pattern in filter(None, [reason.pattern, reason.below]):
        expression = re.compile(pattern, re.IGNORECASE)
        for piece in PIECES:
            for tail in ("", "!", "\x00"):
                expression.search((piece * 2000)[:2000] + tail)


def test_a_hostile_log_does_not_hold_the_server() -> None:
    log = [(piece * 5000)[:100_000] for piece in PIECES] * 15
    assert diagnose(log, otherwise="build-failed").reason in REASONS


def test_a_name_from_a_log_is_cut_and_plain() -> None:
    # It stands in the page's own sentence.
    found = diagnose([f"No matching distribution found for {'A' * 1500}\n"])
    assert found.subject == "A" * 100 + "…"
    assert found.message == f"The requirement {'A' * 100}… cannot be satisfied."
    found = diagnose(["No matching distribution found for \x1b]8;;http://evil\x07{0}{x}\x1b[8m\n"])
    assert found.message == "The requirement {0}{x} cannot be satisfied."


def test_a_name_of_nothing_but_punctuation_is_left_out() -> None:
    found = diagnose(["No matching distribution found for ''.\n"])
    assert found.subject == ""
    assert found.message == "The requirements cannot all be satisfied."


def test_what_stands_beyond_2000_characters_is_not_read() -> None:
    assert diagnose(["x" * 2000 + " No space left on device"]).reason == "unknown"


@pytest.mark.parametrize(("given", "expected"), PLAIN.values(), ids=PLAIN)
def test_plain(given: str, expected: str) -> None:
    assert plain(given) == expected


@pytest.mark.parametrize("start", ["\x1b]0;", "\x1bP", "\x9d", "\x1b[", "\x1b"])
def test_what_is_never_finished_does_not_hide_the_next_line(start: str) -> None:
    # A hostile step could take the lines that follow out of the evidence.
    assert plain(f"{start}1\nERROR").endswith("\nERROR")


@given(st.text(st.sampled_from("\x1b\x9b\x9d[]P;01m\\\x07\x9c\n a") | st.characters()))
def test_nothing_that_a_terminal_obeys_is_left(text: str) -> None:
    left = plain(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", left)
    assert plain(left) == left
    assert left.count("\n") == text.count("\n")


@given(st.text(st.characters(exclude_categories=["Cc"])))
def test_text_without_controls_is_kept(text: str) -> None:
    assert plain(text) == text


@given(st.lists(st.text() | st.sampled_from([case.log for case in CASES.values()])))
def test_any_log_is_diagnosed(lines: list[str]) -> None:
    found = diagnose(lines)
    assert found.reason in REASONS
    assert found.message.endswith(".")
    assert len(found.evidence) <= 6
