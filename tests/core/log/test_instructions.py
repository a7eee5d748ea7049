from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binderprogress.core.log.instructions import LONGEST_COMMAND, command_of
from binderprogress.core.log.steps import StepReader

# The browser's tests read them, too.
CASES = json.loads((Path(__file__).parents[2] / "data" / "instructions.json").read_text())


@pytest.mark.parametrize(("instruction", "command"), CASES)
def test_a_command_is_what_an_instruction_does(instruction: str, command: str) -> None:
    assert command_of(instruction) == command


@given(st.text(max_size=200))
def test_a_command_is_one_short_line(instruction: str) -> None:
    command = command_of(f"RUN {instruction}")
    assert len(command) <= LONGEST_COMMAND
    assert command.splitlines() in ([], [command])


def test_attack_a_long_instruction_is_read_in_part() -> None:
    assert len(command_of("RUN " + "--a=b " * 100_000)) < 10


@pytest.mark.parametrize(
    "line",
    [
        "Step 3/51 : RUN pip install six\n",
        "STEP 3/51: RUN pip install six\n",
        "#8 [ 3/51] RUN pip install six\n",
    ],
)
def test_steps_have_their_command(line: str) -> None:
    reader = StepReader()
    step = reader.read(line)
    assert step is not None
    assert step.command == "pip install six"
    cached = reader.read("#8 CACHED\n" if line.startswith("#") else " ---> Using cache\n")
    assert cached is not None
    assert (cached.cached, cached.command) == (True, "pip install six")
