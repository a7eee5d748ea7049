"""The fuzzers run; `make test-long` gives them the time to find something."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_a_target_is_fuzzed_for_a_second() -> None:
    pytest.importorskip("atheris", reason="atheris has no wheels for this system")
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "sse", "--seconds", "1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.fullmatch(r"sse: (\d+) inputs, the slowest [\d.]+ ms\n", done.stdout)
    assert found is not None, done.stdout
    assert int(found[1]) > 0
