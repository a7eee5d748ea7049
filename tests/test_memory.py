"""Memory is given back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from binderprogress._memory import give_back

SIZE = 60_000
COUNT = 2000

# In a process of its own, whose heap has nothing else. Every hundredth block stays in use.
PROGRAM = f"""
import psutil
from binderprogress._memory import give_back
blocks = [bytes([1]) * {SIZE} for _ in range({COUNT})]
kept = blocks[::100]
process = psutil.Process()
most = process.memory_info().rss
blocks.clear()
give_back()
print(most - process.memory_info().rss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do it themselves")
def test_freed_memory_is_given_back_although_some_of_it_is_in_use() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True)
    assert int(done.stdout) > SIZE * COUNT // 2


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("ctypes.CDLL", None)
    give_back()
