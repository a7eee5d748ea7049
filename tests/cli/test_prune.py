"""``binderprogress prune``: the real command, on real folders."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from binderprogress.backends.local.marker import IN_USE, MARKER
from binderprogress.backends.local.usage import use

from ..support.processes import BIN

SIZE = 2**20


def make(folder: Path, letter: str, *, days: float) -> str:
    path = folder / f"name-{letter * 32}"
    path.mkdir(parents=True)
    (path / "data").write_bytes(os.urandom(SIZE))
    (path / MARKER).write_text("{}")
    with use(path):
        pass
    used = time.time() - days * 86400
    os.utime(path / IN_USE, (used, used))
    return path.name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "environments"


@pytest.fixture
def names(folder: Path) -> list[str]:
    """Environments that were used a day, ten and forty days ago."""
    return [make(folder, "a", days=1), make(folder, "b", days=10), make(folder, "c", days=40)]


def prune(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [str(BIN / "binderprogress"), "prune", f"--LocalBuilder.environments={folder}"]
    return subprocess.run([*program, *arguments], capture_output=True, text=True, timeout=60)


def removed(folder: Path, *arguments: str) -> list[str]:
    done = prune(folder, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    gone = [item["name"] for item in summary["items"] if item["removed"]]
    assert summary["freed"] == sum(one["size"] for one in summary["items"] if one["removed"])
    for item in summary["items"]:
        exists = (folder / item["name"]).exists()
        assert exists == (summary["dry_run"] or not item["removed"])
    return gone


def test_it_shows_what_there_is(folder: Path, names: list[str]) -> None:
    done = prune(folder)
    assert (done.returncode, done.stderr) == (0, "")
    title, *lines, last = done.stdout.splitlines()
    assert title.split() == ["name", "size", "last", "used"]
    assert [line.split()[0] for line in lines] == names[::-1], "the least recently used first"
    assert all("1.0 MiB" in line for line in lines)
    assert last == "3 in all, 3.0 MiB."
    assert removed(folder) == []


def test_nothing_is_there(folder: Path) -> None:
    assert prune(folder).stdout.splitlines()[-1] == "0 in all, 0 B."
    assert removed(folder, "--all") == []


def test_what_is_removed(folder: Path, names: list[str]) -> None:
    day, ten, forty = names
    assert removed(folder, "--all", "--dry-run") == [forty, ten, day]
    assert removed(folder, "--older-than", "30d") == [forty]
    assert removed(folder, "--older-than", "240h", "--budget", "1G") == []
    assert removed(folder, "--budget", "1.5M") == [ten]
    assert "1 removed, 1.0 MiB." in prune(folder, "--all").stdout
    assert list(folder.glob("name-*[0-9a-f]")) == []


@pytest.mark.long
def test_what_is_in_use_is_kept(folder: Path, names: list[str]) -> None:
    with use(folder / names[1]):
        assert f"{names[1]}" in [line.split()[0] for line in prune(folder).stdout.splitlines()]
        assert "in use" in prune(folder).stdout
        assert removed(folder, "--all") == [names[2], names[0]]


@pytest.mark.long
def test_images_of_an_engine_that_is_not_installed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for arguments in (["--engine", "podman"], ["--engine", "nonsense"]):
        done = prune(folder, *arguments)
        assert done.returncode in {1, 2}
        assert "Traceback" not in done.stderr
        assert arguments[1] in done.stderr


def test_images_on_kubernetes_are_not_ours(folder: Path) -> None:
    done = prune(folder, "--engine", "kubernetes")
    assert done.returncode in {1, 2}
    assert "removed by the cluster" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("wrong", [("--older-than", "soon"), ("--budget", "a lot")])
def test_wrong_usage(folder: Path, wrong: tuple[str, str]) -> None:
    done = prune(folder, *wrong)
    assert done.returncode == 2
    assert repr(wrong[1]) in done.stderr
    assert "Traceback" not in done.stderr
