"""Which command helps after a failure, and where the evidence is in the log."""

from __future__ import annotations

from typing import Any

import pytest

from binderprogress.cli.failure import Invocation, LogLines
from binderprogress.core import specs
from binderprogress.core.events import Earlier, Event
from binderprogress.core.phases import Phase

PENGUINS = "https://github.com/ada/penguins"
REPOSITORY = {"fault": "repository", "retry": False, "file": "apt.txt"}
REQUEST = {"fault": "request", "retry": False}


def remedy(repository: str, failure: dict[str, Any], **options: str) -> str:
    spec = specs.read_address(repository.replace("./", "file:///home/ada/"), "").spec
    asked = Invocation(command="launch", repository=repository, spec=spec, **options)
    fields = {"id": 1, "time": 0.0, "elapsed": 1.0, "progress": 1.0, **failure}
    return asked.remedy(Event(phase=Phase.FAILED, **fields))


@pytest.mark.parametrize(
    ("repository", "failure", "command"),
    [
        (PENGUINS, REQUEST, f"git ls-remote {PENGUINS}"),
        ("10.5281/zenodo.1", REQUEST, ""),
        ("./my penguins", REPOSITORY, "${EDITOR:-vi} './my penguins/apt.txt'"),
        (PENGUINS, REPOSITORY, f"git clone {PENGUINS}"),
        (PENGUINS, {"fault": "network", "retry": True}, f"binderprogress launch {PENGUINS}"),
        (PENGUINS, {"fault": "server", "retry": False}, ""),
        (
            PENGUINS,
            {**REPOSITORY, "reason": "unsupported-file"},
            f"binderprogress launch {PENGUINS} --engine docker",
        ),
    ],
)
def test_the_command_that_helps(repository: str, failure: dict[str, Any], command: str) -> None:
    assert remedy(repository, failure) == command


def test_options_are_repeated_but_no_token() -> None:
    network = {"fault": "network", "retry": True}
    again = remedy(PENGUINS, network, ref="main", server="https://hub.example.org/")
    assert again == (
        f"binderprogress launch {PENGUINS} --ref main --server https://hub.example.org/"
    )
    # The engine is that of the server.
    unsupported = {**REPOSITORY, "reason": "unsupported-file"}
    assert "--engine" not in remedy(PENGUINS, unsupported, server="https://hub.example.org/")


def test_evidence_is_found_from_its_end_backwards() -> None:
    log = LogLines()
    for message in ("same\n", "a\r", "b\rERROR\r\n", "same\nlast\n", "unfinished"):
        log.add(message)
    assert log.numbers(["ERROR", "same"]) == [2, 3]
    assert log.numbers(["same", "…ERROR…"]) == [1, 2]
    assert log.numbers(["not there", "unfinished"]) == [None, 5]
    assert log.numbers(["…", "last"]) == [None, 4]
    assert log.numbers([]) == []


@pytest.mark.parametrize(
    ("date_of", "text"),
    [
        ("commit", "the version of 12 March 2024"),
        ("build", "the version that was built on 12 March 2024"),
        ("launch", "the version that was last launched on 12 March 2024"),
    ],
)
def test_the_command_that_starts_an_earlier_version(date_of: Any, text: str) -> None:
    target = f"gh/ada/penguins/{'c' * 40}"
    noon = 1710244800.0
    earlier = Earlier(spec=target, commit="c" * 40, date=noon, date_of=date_of)
    spec = specs.read_address(PENGUINS, "").spec
    asked = Invocation(command="launch", repository=PENGUINS, spec=spec, server="http://hub/")
    command = f"binderprogress launch {target} --server http://hub/"
    assert asked.offer(earlier) == f"Start {text} now: {command}"
    built = Invocation(command="build", repository=PENGUINS, spec=spec)
    assert built.offer(earlier) == ""
