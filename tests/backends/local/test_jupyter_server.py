"""How the Jupyter server of an environment is run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from binderprogress.backends.local.jupyter_server import StoredEnvironment, command

# What a module does when it is freed, which takes long for all of JupyterLab.
SCRIPT = """\
#!python
import atexit, json, os, sys
class Last:
    def __del__(self, write=os.write):
        write(1, b"freed")
json.last = Last()
atexit.register(print, "exit handlers are called")
sys.stdout.write("output is not lost, ")
"""


@pytest.mark.parametrize(
    ("end", "code", "freed", "error"),
    [
        ("", 0, True, ""),
        ("sys.exit()", 0, False, ""),
        ("sys.exit(3)", 3, False, ""),
        ("sys.exit('it fails')", 1, True, "it fails\n"),
        ("1 / 0", 1, True, "ZeroDivisionError: division by zero\n"),
    ],
)
def test_it_ends_at_once_with_its_exit_code(
    tmp_path: Path, end: str, code: int, freed: bool, error: str
) -> None:
    folder = tmp_path / "venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    (folder / "jupyter-lab").write_text(f"{SCRIPT}{end}\n")
    argv = command(StoredEnvironment(tmp_path, ""), tmp_path / "home")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert done.stdout.startswith("output is not lost, exit handlers are called\n")
    assert ("freed" in done.stdout) == freed
    assert done.stderr.endswith(error)
