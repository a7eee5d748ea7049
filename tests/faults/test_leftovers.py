"""What a run that was killed has left is removed by the next one, and nothing else is."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from binderprogress._temporary import OwnedFolder, stale_folders
from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.backends.local.marker import MARKER
from binderprogress.deploy.sweep import sweep

from ..support.gone import gone

LOG = logging.getLogger("tests.faults.leftovers")

# Makes a folder and starts a program in it, both of which stay if this is killed.
OWNER = """
import subprocess, sys
from binderprogress._temporary import OwnedFolder
folder = OwnedFolder("test")
null = subprocess.DEVNULL
child = subprocess.Popen(["sleep", "600"], cwd=folder.name, stdout=null, start_new_session=True)
print(folder.name, child.pid, flush=True)
sys.stdin.read()
"""


def run_sweep(builder: LocalBuilder | None) -> None:
    asyncio.run(sweep(builder, log=LOG))


class Owner:
    """Another process with a folder."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        name, pid = self.process.stdout.readline().split()
        self.folder, self.child = Path(name), psutil.Process(int(pid))

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files, of this process and of those that it starts."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.mark.fault(
    part="The server",
    fault="is killed; it has temporary folders and processes",
    promise="the next server removes them, and nothing else",
)
def test_a_folder_and_its_processes(temporary: Path) -> None:
    owner, killed = Owner(), Owner()
    try:
        # Of another program, or of an earlier version.
        other = temporary / "binderprogress-other"
        other.mkdir()
        killed.kill()
        assert killed.folder.is_dir()
        assert killed.child.is_running()
        run_sweep(None)
        assert gone([killed.child])
        assert not killed.folder.exists()
        assert owner.folder.is_dir(), "it is in use"
        assert owner.child.is_running()
        names = {other.name, owner.folder.name, f"{owner.folder.name}.lock"}
        assert {path.name for path in temporary.iterdir()} == names
    finally:
        owner.kill()
        run_sweep(None)
        assert gone([owner.child])


def test_a_folder_that_is_closed_leaves_nothing(temporary: Path) -> None:
    with OwnedFolder("test") as name:
        assert Path(name).stat().st_mode & 0o777 == 0o700
        assert len(list(temporary.iterdir())) == 2
        with stale_folders() as stale:
            assert stale == [], "its owner is this process"
    assert list(temporary.iterdir()) == []


def test_a_process_that_ends_without_cleaning_up_leaves_nothing(temporary: Path) -> None:
    code = "from binderprogress._temporary import OwnedFolder; folder = OwnedFolder('test')"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)
    assert list(temporary.iterdir()) == []


def test_a_link_with_the_name_of_a_folder(temporary: Path, tmp_path: Path) -> None:
    """Attack: another user replaces a folder of /tmp that was removed."""
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    (temporary / "binderprogress-test-1").symlink_to(precious)
    (temporary / "binderprogress-test-1.lock").touch()
    (temporary / "binderprogress-test-2.lock").symlink_to(precious / "file")
    with stale_folders():
        pass
    assert (precious / "file").exists()
    assert (temporary / "binderprogress-test-2.lock").is_symlink()


@pytest.mark.fault(
    part="The server",
    fault="is killed; it leaves half of an environment",
    promise="the next server removes it",
)
def test_incomplete_environments(tmp_path: Path) -> None:
    folder = tmp_path / "environments"
    builder = LocalBuilder(environments=str(folder))
    complete, incomplete, being_built = (folder / f"name-{i * 32}" for i in "abc")
    for path in (complete, incomplete, being_built):
        (path / "venv").mkdir(parents=True)
    (complete / MARKER).write_text("{}")
    # Somebody has other files there.
    (folder / "photos").mkdir()
    hold = "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire()"
    lock = f"{being_built}.lock"
    with subprocess.Popen(
        [sys.executable, "-c", f"{hold}; print(flush=True); sys.stdin.read()", lock],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        run_sweep(builder)
        folders = {path.name for path in folder.iterdir() if path.is_dir()}
        assert folders == {complete.name, being_built.name, "photos"}
        other.kill()
    run_sweep(builder)
    assert not being_built.exists()
    assert complete.exists()
    assert (folder / "photos").is_dir()
