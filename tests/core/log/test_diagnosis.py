"""Why launches failed, read from logs of real programs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.log.diagnosis import diagnose, diagnosis_of
from binderprogress.core.log.reasons import REASONS, RULES
from binderprogress.core.printable import plain

from .. import recorded

DATA = Path(__file__).parents[2] / "data"


class Case(NamedTuple):
    name: str
    log: str
    reason: str
    subject: str
    message: str
    rule: str


# What real programs print, and what is made of it; the browser's tests read them, too.
SHARED = json.loads((DATA / "reasons.json").read_text())
CASES = {case["name"]: Case(**case) for case in SHARED["cases"]}
PLAIN = {case["name"]: (case["given"], case["plain"]) for case in SHARED["plain"]}
# Logs after public reports of failures, as a whole.
FAILURES: dict[str, dict[str, Any]] = json.loads((DATA / "failures.json").read_text())


def messages(path: Path) -> list[str]:
    """Return the messages of a log: of a builder, of a JupyterHub or of a BinderHub."""
    lines = path.read_text().splitlines(keepends=True)
    if path.suffix == ".txt":
        return lines
    records = [json.loads(line) for line in lines]
    return [
        record["POST"][1]["message"] if "POST" in record else record["message"]
        for record in records
    ]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("split", [True, False], ids=["lines", "one message"])
def test_diagnose(case: Case, split: bool) -> None:
    log = case.log.splitlines(keepends=True) if split else [case.log]
    diagnosis = diagnose(log, otherwise="build-failed")
    assert (diagnosis.reason, diagnosis.subject) == (case.reason, case.subject)
    assert (diagnosis.message, diagnosis.rule) == (case.message, case.rule)
    shown = {plain(line).strip() for line in re.split("[\r\n]+", case.log)}
    assert diagnosis.evidence
    assert set(diagnosis.evidence) <= shown


@pytest.mark.parametrize("name", FAILURES)
def test_failures_that_people_had(name: str) -> None:
    is_spawn = "hub" in name
    diagnosis = diagnose(
        messages(DATA / "failures" / name),
        otherwise="spawn-failed" if is_spawn else "build-failed",
        kind="spawn" if is_spawn else "",
    )
    expected = FAILURES[name]
    assert {field: getattr(diagnosis, field) for field in expected} == expected


def test_there_is_an_answer_for_every_failure() -> None:
    assert set(FAILURES) == {path.name for path in (DATA / "failures").iterdir()}


# Stream -> reason, message.
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
    kind = "spawn" if name.startswith("hub") else ""
    diagnosis = diagnose([note.message for note in recorded.notes(name)], kind=kind)
    assert (diagnosis.reason, diagnosis.message) == STREAMS[name]


@pytest.mark.parametrize(
    "name", [n for n in [*recorded.REPO2DOCKER, *recorded.HUB, *recorded.BINDERHUB] if "ok" in n]
)
def test_a_log_that_ended_well_has_no_reason(name: str) -> None:
    # Else it would be given for a failure that comes later. (A spawn did fail in one of them.)
    notes = [note.message for note in recorded.notes(name) if "didn't respond" not in note.message]
    kind = "spawn" if name.startswith("hub") else ""
    assert diagnose(notes, otherwise="spawn-failed", kind=kind).rule == ""


# What was overcome before the step failed, or while it went on, and what failed in the end.
OVERCOME = {
    "pip retries, and installs": [
        "STEP 3/9: RUN pip install -r requirements.txt",
        "WARNING: Retrying (Retry(total=4)) after connection broken by 'NewConnectionError': /six/",
        "Collecting six",
        "Successfully installed six-1.17.0",
    ],
    "a mirror of apt fails, and another one answers": [
        "STEP 3/9: RUN apt-get update && apt-get install -y git",
        "W: Failed to fetch http://deb.example.org/a.deb  Could not resolve 'deb.example.org'",
        "Get:1 http://deb2.example.org/a.deb",
        "Setting up git (1:2.39.5-0+deb12u2) ...",
    ],
    "an earlier step failed and was repeated": [
        "STEP 3/9: RUN pip install nosuch || true",
        "ERROR: No matching distribution found for nosuch",
        "STEP 4/9: RUN pip install six",
        "Successfully installed six-1.17.0",
    ],
    "a node was found after a while": [
        "2024-03-24T22:16:06Z [Warning] 0/3 nodes are available: 3 Insufficient memory.",
        "2024-03-24T22:17:06Z [Normal] Successfully assigned default/jupyter-kim to node-a",
        "2024-03-24T22:17:16Z [Normal] Started container notebook",
    ],
    "a volume was mounted in the end": [
        'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) jupyter-kim',
        'Pulling image "lab:1"',
        "Started container notebook",
    ],
    "an image was pulled in the end": [
        'Failed to pull image "lab:1": rpc error: code = Unknown',
        "Error: ErrImagePull",
        'Successfully pulled image "lab:1" in 12s',
    ],
    "a submodule was cloned at the second attempt": [
        "Cloning into '/tmp/repo2dockerab'...",
        "error: RPC failed; curl 56 GnuTLS recv error (-9)",
        "Receiving objects: 100% (10/10), done.",
        "HEAD is now at 0a1b2c3 Update",
    ],
    "a wheel failed to build, and an older one was taken": [
        "STEP 3/9: RUN conda env update",
        "  - nothing provides requested nosuch",
        "Executing transaction: done",
    ],
}


@pytest.mark.parametrize("log", OVERCOME.values(), ids=OVERCOME)
def test_what_was_overcome_is_no_reason(log: list[str]) -> None:
    assert diagnose(log, kind="spawn" if "[" in log[0] or '"' in log[0] else "").rule == ""


def test_the_step_that_failed_counts_not_one_before() -> None:
    log = [
        "#7 [3/5] RUN pip install nosuch || true",
        "#7 1.0 ERROR: No matching distribution found for nosuch",
        "#7 DONE 1.2s",
        "#8 [4/5] RUN make",
        "#8 0.5 make: *** No rule to make target 'data'.  Stop.",
        '#8 ERROR: process "/bin/sh -c make" did not complete successfully: exit code: 2',
    ]
    diagnosis = diagnose(log)
    assert diagnosis.message == "The command make failed with exit code 2."
    assert diagnosis.evidence == ["make: *** No rule to make target 'data'.  Stop."]
    assert diagnosis.numbers == [4]


def test_a_step_of_a_repositorys_own_dockerfile_that_nothing_explains() -> None:
    step = ["STEP 2/2: RUN ./analyse", "analyse: no data"]
    end = 'Error: building at STEP "RUN ./analyse": while running runtime: exit status 3'
    diagnosis = diagnose(["Using DockerBuildPack builder", *step, end])
    assert (diagnosis.reason, diagnosis.file) == ("build-step-failed", "Dockerfile")
    assert diagnosis.message == "The command ./analyse failed with exit code 3."
    assert diagnosis.evidence == ["analyse: no data"]
    assert diagnose([*step, end]).file == ""


def test_a_failure_of_a_repositorys_own_dockerfile_names_its_line() -> None:
    log = [
        "Using DockerBuildPack builder",
        "#5 [2/3] RUN pip install nosuch",
        "#5 1.0 ERROR: No matching distribution found for nosuch",
        '#5 ERROR: process "pip install nosuch" did not complete successfully: exit code: 1',
        "------",
        " > [2/3] RUN pip install nosuch:",
        "1.0 ERROR: No matching distribution found for nosuch",
        "------",
        "Dockerfile:7",
        "--------------------",
        "   6 |     ",
        "   7 | >>> RUN pip install nosuch",
        "--------------------",
    ]
    diagnosis = diagnose(log)
    assert (diagnosis.file, diagnosis.line) == ("Dockerfile", 7)
    assert diagnosis.advice == "Correct the name or the version in the Dockerfile."
    assert diagnosis.evidence == ["ERROR: No matching distribution found for nosuch"]


def test_a_push_by_buildkit() -> None:
    log = [
        "#9 exporting to image",
        "#9 pushing layers 3.1s done",
        "#9 ERROR: unauthorized: authentication required",
    ]
    diagnosis = diagnose(log)
    assert (diagnosis.reason, diagnosis.fault, diagnosis.retry) == ("push-failed", "server", False)


def test_repo2dockers_own_sentence() -> None:
    log = ["Using PythonBuildPack builder", "Error during build: The sky has fallen"]
    diagnosis = diagnose(log, otherwise="build-failed")
    assert (diagnosis.reason, diagnosis.message) == ("build-failed", "The sky has fallen.")
    said = diagnose([log[0], "Error during build: Why not?"], otherwise="build-failed")
    assert said.message == "Why not?"


def test_a_cause_near_the_end_counts_more_than_one_long_before() -> None:
    """Rules that come first in the file are often seen in output that means nothing."""
    log = ["no space left on device is what this test is about"] + ["more"] * 100
    log += ["E: Unable to locate package nosuch"]
    assert diagnose(log).reason == "apt-package-missing"
    assert diagnose(log[:-1]).reason == "disk-full"


def test_a_diagnosis_as_an_error() -> None:
    diagnosis = diagnose(["E: Unable to locate package nosuch"])
    error = diagnosis.error()
    assert str(error) == diagnosis.message
    assert (error.fault, error.retry, error.file) == ("repository", False, "apt.txt")
    assert str(diagnosis.error("In other words.")) == "In other words."
    again = diagnosis_of(error)
    assert (again.reason, again.fault, again.retry) == ("apt-package-missing", "repository", False)


# -- the evidence


def test_what_went_wrong_first_comes_first() -> None:
    log = [
        "ERROR: No matching distribution found for six==99.99\n",
        'Error: building at STEP "RUN pip install six==99.99": exit status 1\n',
    ]
    for lines in (log, log[::-1]):
        diagnosis = diagnose(lines)
        assert diagnosis.reason == "unsatisfiable-requirement"
        assert diagnosis.evidence == ["ERROR: No matching distribution found for six==99.99"]


def test_a_wrapped_sentence_is_evidence_as_a_whole() -> None:
    log = CASES["uv, older, wrapped"].log.splitlines()
    assert diagnose([*log, "uv exited with status 1."]).evidence == [
        "× No solution found when resolving dependencies:",
        "╰─▶ Because six==99.99 was not found in the package registry and you",
        "require six==99.99, we can conclude that your requirements are",
    ]


def test_the_last_lines_are_the_evidence_where_no_rule_matches() -> None:
    diagnosis = diagnose([f"line {count}\n" for count in range(20)], otherwise="build-failed")
    assert diagnosis.reason == "build-failed"
    assert diagnosis.message == "The build failed."
    assert diagnosis.evidence == [f"line {count}" for count in range(14, 20)]


def test_evidence_is_plain_and_short() -> None:
    log = [f"\x1b[31mno space left on device {count}\x1b[0m\r\n" for count in range(50)]
    assert diagnose(log).evidence == [f"no space left on device {count}" for count in range(6)]


def test_of_a_long_line_only_what_is_around_the_match_is_evidence() -> None:
    (line,) = diagnose(["x" * 1000 + " No space left on device " + "y" * 900]).evidence
    assert re.fullmatch("…x+ No space left on device y+…", line)
    assert len(line) == 402
    (line,) = diagnose(["No space left on device " + "y" * 900]).evidence
    assert line.startswith("No space") and line.endswith("y…")


def test_no_log_at_all() -> None:
    diagnosis = diagnose([])
    assert (diagnosis.reason, diagnosis.message) == ("unknown", "The launch failed.")
    assert diagnosis.evidence == []
    assert diagnose(["\n", " \r\n", "\x1b[0m"]).evidence == []


# -- attacks

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
    "#1 ERROR: ",
    "process postBuild",
    "The command ",
    "------",
    "you require a,<",
    "NotFoundError: - ",
    "0/0 nodes",
]


def test_a_hostile_log_does_not_hold_the_server() -> None:
    log = [(piece * 5000)[:100_000] for piece in PIECES] * 15
    assert diagnose(log, otherwise="build-failed").reason in REASONS


def test_a_name_from_a_log_is_cut_and_plain() -> None:
    # It stands in the page's own sentence.
    diagnosis = diagnose([f"No matching distribution found for {'A' * 290}\n"])
    assert diagnosis.subject == "A" * 100 + "…"
    assert diagnosis.message == f"The requirement {'A' * 100}… cannot be satisfied."
    log = ["No matching distribution found for \x1b]8;;http://evil\x07{0}{x}\x1b[8m\n"]
    assert diagnose(log).message == "The requirement {0}{x} cannot be satisfied."


def test_a_name_of_nothing_but_punctuation_is_left_out() -> None:
    diagnosis = diagnose(["No matching distribution found for ''.\n"])
    assert diagnosis.subject == ""
    assert diagnosis.message == "The requirements cannot all be satisfied."


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
def test_nothing_that_a_terminal_obeys_remains(text: str) -> None:
    shown = plain(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)
    assert plain(shown) == shown
    assert shown.count("\n") == text.count("\n")


@given(st.text(st.characters(exclude_categories=["Cc"])))
def test_text_without_controls_is_kept(text: str) -> None:
    assert plain(text) == text


EXAMPLES = [example.log for rule in RULES.rules for example in rule.examples]


@given(st.lists(st.text() | st.sampled_from(EXAMPLES)))
def test_any_log_is_diagnosed(lines: list[str]) -> None:
    diagnosis = diagnose(lines)
    assert diagnosis.reason in REASONS
    assert diagnosis.message[-1] in ".!?"
    assert len(diagnosis.evidence) == len(diagnosis.numbers) <= 6
