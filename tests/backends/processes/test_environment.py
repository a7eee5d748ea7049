"""Environment variables and resource limits of programs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from traitlets import TraitError

from binderprogress.backends.fetch.git import GitResolver
from binderprogress.backends.processes.environment import git_environment, private_home, select
from binderprogress.backends.processes.limits import limited


def test_variables_are_selected_by_name() -> None:
    environment = {"LC_TIME": "de", "LC": "x", "PATH": "/bin", "path": "/", "A_TOKEN": "secret"}
    assert select(["LC_*", "PATH"], environment) == {"LC_TIME": "de", "PATH": "/bin"}


def test_git_has_no_home_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert git_environment(credentials=False)["HOME"] == os.devnull
    assert git_environment(credentials=True)["HOME"] == "/home/ada"


def test_a_private_home_is_removed() -> None:
    with private_home() as variables:
        home = Path(variables["HOME"])
        assert list(home.iterdir()) == []
        assert home.stat().st_mode & 0o777 == 0o700
    assert not home.exists()


def test_limits_are_those_of_getrlimit() -> None:
    assert GitResolver(resource_limits={"cpu": 10}).resource_limits == {"cpu": 10}
    for wrong in ({"memory": 1}, {"cpu": -1}):
        with pytest.raises(TraitError):
            GitResolver(resource_limits=wrong)


def test_limits_are_set_and_none_is_raised() -> None:
    code = "import resource; print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    inner = limited([sys.executable, "-c", code], {"nofile": 500})
    done = subprocess.run(limited(inner, {"nofile": 100}), capture_output=True, text=True)
    assert done.stdout == "100 100\n", done.stderr
    assert limited(["true"], {}) == ["true"]


def test_a_program_that_is_not_there_is_told() -> None:
    done = subprocess.run(limited(["no-such-program"], {"core": 0}), capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "no-such-program cannot be started: No such file or directory.\n"
