"""Processes whose clock can be set while they run."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["ShiftedClock"]

_SOURCE = Path(__file__).with_name("shifted_clock.c")


class ShiftedClock:
    """The time of day of processes. Their monotonic clocks are right.

    Parameters
    ----------
    folder : Path
        For its files.

    Attributes
    ----------
    variables : dict of str to str
        The environment variables of these processes.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc")
        if sys.platform != "linux" or compiler is None:
            pytest.skip("there is no C compiler, which is needed to shift the clock of a process")
        library = folder / "shifted_clock.so"
        command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", library, _SOURCE]
        subprocess.run([*command, "-ldl"], check=True)
        self._file = folder / "clock-offset"
        self.variables = {"LD_PRELOAD": str(library), "CLOCK_OFFSET_FILE": str(self._file)}
        self.shift(0)

    def shift(self, seconds: int) -> None:
        """Set the clocks to the right time and some seconds."""
        new = self._file.with_suffix(".new")
        new.write_text(str(seconds))
        new.replace(self._file)
