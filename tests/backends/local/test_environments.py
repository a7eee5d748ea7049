"""Environments have a budget. Those in use are never removed."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from binderprogress.backends.local.environments import Environments, disk_usage
from binderprogress.backends.local.marker import IN_USE, MARKER
from binderprogress.backends.local.usage import use

SIZE = 2**20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "environments"


def make(folder: Path, letter: str, *, hours: float = 1.0) -> Path:
    """Make an environment of 1 MiB that was last used some hours ago."""
    path = folder / f"name-{letter * 32}"
    path.mkdir(parents=True)
    (path / "data").write_bytes(os.urandom(SIZE))
    (path / MARKER).write_text("{}")
    with use(path):
        pass
    used = time.time() - hours * 3600
    os.utime(path / IN_USE, (used, used))
    return path


def test_they_are_listed_by_their_last_use(folder: Path) -> None:
    assert Environments(folder).find() == []
    new, old = make(folder, "a", hours=1), make(folder, "b", hours=2)
    found = Environments(folder).find()
    assert [one.folder for one in found] == [old, new]
    assert all(SIZE <= one.size < SIZE + 2**16 for one in found)
    assert 3500 < time.time() - found[1].last_used < 3700
    assert not any(one.in_use for one in found)


def test_the_least_recently_used_go_first(folder: Path) -> None:
    kept, old, older = (make(folder, name, hours=n) for n, name in enumerate("abc", 1))
    environments = Environments(folder)
    assert environments.shrink(10 * SIZE) == []
    removed = environments.shrink(int(1.5 * SIZE))
    assert [one.folder for one in removed] == [older, old]
    assert [one.folder for one in environments.find()] == [kept]
    assert not old.exists()


# Uses an environment, and has it used by another program that outlives it.
USER = """
import subprocess, sys
from pathlib import Path
from binderprogress.backends.local.usage import use
with use(Path(sys.argv[1])) as file:
    child = subprocess.Popen(["cat"], stdin=sys.stdin, pass_fds=file)
print(flush=True)
child.wait()
"""


def test_one_that_a_server_uses_is_kept(folder: Path) -> None:
    used, other = make(folder, "a", hours=3), make(folder, "b", hours=2)
    environments = Environments(folder)
    with subprocess.Popen(
        [sys.executable, "-c", USER, str(used)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        server.stdout.readline()
        # The use was noted, too.
        assert [one.folder for one in environments.find() if one.in_use] == [used]
        long_ago = time.time() - 10_000
        os.utime(used / IN_USE, (long_ago, long_ago))
        assert [one.folder for one in environments.shrink(0)] == [other]
        assert not environments.remove(used, unused_for=0)
        assert used.is_dir()
        server.communicate()
    assert environments.remove(used)
    assert not used.exists()


def test_one_that_was_just_used_is_kept(folder: Path) -> None:
    """A launch has found it, and is about to start it."""
    path = make(folder, "a")
    environments = Environments(folder)
    with use(path):
        pass
    assert environments.shrink(0) == []
    assert environments.remove(path, unused_for=0)


def test_all_files_are_looked_at_once(folder: Path) -> None:
    old, new = make(folder, "a", hours=2), make(folder, "b", hours=1)
    long_ago = time.time() - 1000
    os.utime(old / MARKER, (long_ago, long_ago))
    before = {one.folder: one.size for one in Environments(folder).find()}
    for path in (old, new):
        (path / "more").write_bytes(os.urandom(SIZE))
    after = {one.folder: one.size for one in Environments(folder).find()}
    assert after[old] == before[old]
    # A first server may still compile what it imports.
    assert after[new] >= before[new] + SIZE
    # What cannot be read does not count, and nothing is written through a link.
    (old / "size").unlink()
    (old / "size").symlink_to(folder / "elsewhere")
    found = {one.folder: one.size for one in Environments(folder).find()}
    assert found[old] >= before[old] + SIZE
    assert not (folder / "elsewhere").exists()


def test_what_does_not_exist_is_not_used(folder: Path) -> None:
    path = make(folder, "a")
    (path / MARKER).unlink()
    with pytest.raises(FileNotFoundError, match="incomplete"), use(path):
        pass
    with pytest.raises(FileNotFoundError), use(folder / "none"):
        pass


def test_other_folders_are_no_environments(folder: Path, tmp_path: Path) -> None:
    """Attack: a link that leads elsewhere. A mistake: the folder of environments is the home."""
    elsewhere = make(tmp_path / "elsewhere", "a")
    folder.mkdir()
    (folder / f"name-{'b' * 32}").symlink_to(elsewhere)
    (folder / "photos").mkdir()
    environments = Environments(folder)
    assert environments.find() == []
    assert environments.remove_incomplete() == []
    assert environments.shrink(0) == []
    assert elsewhere.is_dir()


def test_files_that_are_shared_count_in_part(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    (first / "data").write_bytes(os.urandom(SIZE))
    alone = disk_usage(first)
    (tmp_path / "link").hardlink_to(first / "data")
    assert disk_usage(first) == alone // 2


@pytest.mark.parametrize("is_removed", [False, True])
def test_to_use_one_waits_for_the_instant_in_which_another_looks_at_it(
    folder: Path, is_removed: bool
) -> None:
    looked_at = make(folder, "a")
    (looked_at / IN_USE).touch()
    ends: list[str] = []

    def server() -> None:
        try:
            with use(looked_at):
                ends.append("used")
        except FileNotFoundError:
            ends.append("not there")

    with (looked_at / IN_USE).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        thread = threading.Thread(target=server)
        thread.start()
        thread.join(0.2)
        assert ends == []
        if is_removed:
            (looked_at / MARKER).unlink()
    thread.join(10)
    assert ends == ["not there" if is_removed else "used"]
