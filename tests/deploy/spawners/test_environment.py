"""The command that starts an environment's JupyterLab."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import psutil
import pytest

from binderprogress.backends.local.jupyter_server import _jupyter_lab, copy_repository
from binderprogress.deploy.host_processes import kill_within

from ...support.gone import gone

_SCRIPT = """\
import importlib.util, json, sys
import beside
print(json.dumps([__name__, *sys.argv, sys.modules["rfc3987_syntax"]]))
"""
_LONG_PATH = "#!/bin/sh\n'''exec' {python} \"$0\" \"$@\"\n' '''\n"


@pytest.mark.parametrize("head", ["#!{python}\n", _LONG_PATH])
def test_a_script_runs_as_if_it_was_started_itself(head: str, tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to(sys.executable)
    (tmp_path / "beside.py").touch()
    script = tmp_path / "jupyter-lab"
    script.write_text(head.format(python=sys.executable) + _SCRIPT)
    cwd = tmp_path / "repository"
    cwd.mkdir()
    (cwd / "json.py").write_text("raise SystemExit('the repository is not on the path')")
    command = [*_jupyter_lab(tmp_path), "--ServerApp.port=1"]
    output = subprocess.check_output(command, cwd=cwd, text=True)
    assert json.loads(output) == ["__main__", str(script), "--ServerApp.port=1", None]


def test_jupyterlab_does_not_find_node_when_it_is_imported(tmp_path: Path) -> None:
    """It would ask yarn for its registry, which takes half a second."""
    (tmp_path / "python").symlink_to(sys.executable)
    (tmp_path / "node").symlink_to("/bin/true")
    (tmp_path / "jupyterlab").mkdir()
    found = "import shutil\nNODE = shutil.which('node')\n"
    (tmp_path / "jupyterlab" / "labapp.py").write_text(found)
    say = "import json, jupyterlab.labapp\nprint(json.dumps([jupyterlab.labapp.NODE, NODE]))\n"
    (tmp_path / "jupyter-lab").write_text(f"#!{sys.executable}\n{found}{say}")
    output = subprocess.check_output(_jupyter_lab(tmp_path), env={"PATH": str(tmp_path)}, text=True)
    assert json.loads(output) == [None, str(tmp_path / "node")]


def test_a_script_of_another_language_is_run(tmp_path: Path) -> None:
    script = tmp_path / "jupyter-lab"
    script.write_text('#!/bin/sh\necho "$1"\n')
    script.chmod(0o755)
    assert subprocess.check_output([*_jupyter_lab(tmp_path), "hello"], text=True) == "hello\n"


def test_without_a_script_its_name_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="jupyter-lab"):
        subprocess.run(_jupyter_lab(tmp_path), check=True)


def test_a_server_of_a_killed_jupyterhub_is_ended_before_the_next_one_starts(
    tmp_path: Path,
) -> None:
    """It was killed before it had noted the server, which has the same home."""
    checkout, home = tmp_path / "repository", tmp_path / "homes" / "ada" / "default"
    checkout.mkdir()
    home.mkdir(parents=True)
    with subprocess.Popen(["sleep", "600"], cwd=home) as left:
        process = psutil.Process(left.pid)
        copy_repository(checkout, home, clear=partial(kill_within, home))
        assert gone([process])
    assert home.is_dir()
