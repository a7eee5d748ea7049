from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.log.steps import LAYER_LABELS, Step, StepReader, numbered

# Lines of real builders, and what is made of them; the browser's tests read them, too.
CASES = json.loads((Path(__file__).parents[2] / "data" / "steps.json").read_text())
SHARED, RECORDS = CASES["builds"], CASES["records"]


def read(*lines: str) -> list[Step | None]:
    reader = StepReader()
    return [reader.read(line) for line in lines]


def said(step: Step | None) -> dict[str, Any] | None:
    """A step in the format of the shared cases."""
    if step is None:
        return None
    text: dict[str, Any] = {"label": step.label}
    if step.total:
        label = LAYER_LABELS.get(step.key, "Step {} of {}")
        assert step.label == label.format(step.index, step.total)
        text = {"index": step.index, "total": step.total}
    if step.existing:
        text["there"] = step.existing
    cached: dict[str, Any] = {"cached": True} if step.cached else {}
    return {"key": step.key, **text, **cached, **({"phase": step.phase} if step.phase else {})}


@pytest.mark.parametrize("case", SHARED, ids=[case["name"] for case in SHARED])
def test_lines(case: dict[str, Any]) -> None:
    assert [said(step) for step in read(*case["lines"])] == case["steps"]


@pytest.mark.parametrize("case", RECORDS, ids=[case["name"] for case in RECORDS])
def test_layers_beside_a_line(case: dict[str, Any]) -> None:
    reader = StepReader()
    assert said(reader.read("Pushing image\n", case["layers"])) == case["step"]
    # Only beside this line.
    assert reader.read("Collecting six\n", case["layers"]) is None
    assert reader.read("STEP 1/2: RUN a\n", case["layers"]) == read("STEP 1/2: RUN a\n")[0]


def test_two_builds_do_not_share_what_they_remember() -> None:
    read("#8 [ 4/51] RUN true\n")
    assert read("#8 CACHED\n") == [None]


@given(st.integers(0, 99_999), st.integers(0, 99_999))
def test_a_step_is_one_of_its_total(index: int, total: int) -> None:
    valid = 1 <= index <= total <= 9999
    for line in (
        f"Step {index}/{total} : RUN",
        f"STEP {index}/{total}: RUN",
        f"#1 [{index}/{total}] RUN",
    ):
        (step,) = read(line)
        digest = step.digest if step else ""
        expected = numbered(index, total, digest=digest, command="RUN")
        assert step == (expected if valid else None)


def test_the_same_instruction_is_known_again_whatever_prints_it() -> None:
    found = read(
        "Step 2/9 : RUN apt-get update\n",
        "STEP 7/11: RUN apt-get update\r\n",
        "#8 [stage-1 3/12] RUN apt-get update",
        "#8 CACHED",
        "Step 2/9 : RUN apt-get upgrade\n",
    )
    digests = [step.digest for step in found if step is not None]
    assert len(digests) == 5
    assert len(digests[0]) == 12
    assert digests[:4] == digests[:1] * 4
    assert digests[4] != digests[0]


# Attacks ------------------------------------------------------------------------------------------


def test_attack_a_log_does_not_write_the_label_of_a_step() -> None:
    # Whoever owns the repository writes the log; the label is what the page itself says.
    assert read(f"Using {'A' * 4000} builder\n") == [None]


STARTS = ["", "#", "#8 [", "#8 extracting sha256:", "Step ", "STEP ", "Using ", "--> Using cache"]
STARTS += ["4f50a35f1c79: ", "Copying blob ", "Copying config "]


@given(st.text())
def test_any_line_is_read(line: str) -> None:
    reader = StepReader()
    for start in STARTS:
        step = reader.read(start + line)
        assert step is None or len(step.label) <= 60


def test_attack_a_log_that_begins_ever_new_vertices_does_not_fill_the_memory() -> None:
    """Attack: the owner of the repository writes the log, and may write for an hour."""
    reader = StepReader()
    for number in range(20_000):
        assert reader.read(f"#{number} [1/9] RUN {number}") is not None
    assert len(reader._vertices) <= 2000
    # Those from the beginning are known still; a build has no more than a few dozens.
    step = reader.read("#7 CACHED")
    assert step is not None
    assert step.cached
