"""A small file system in a mount namespace, which a test can fill."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_MOUNT = 'mount -t tmpfs -o size=4m,nr_inodes=400 small "$0" && exec "$@"'


class SmallDisk:
    """A folder that is a file system of 4 MiB for a command, and for it alone.

    Parameters
    ----------
    folder : Path
        An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        # Without root, in a user namespace.
        own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        unshare = shutil.which("unshare") or pytest.skip("unshare is not installed")
        self.command = [unshare, *own, "--mount", "sh", "-c", _MOUNT, str(folder)]
        """Put it before the command."""
        tried = subprocess.run([*self.command, "true"], capture_output=True, text=True, check=False)
        if tried.returncode:
            pytest.skip(f"no mount namespaces: {tried.stderr.strip()}")

    def fill(self, pid: int) -> None:
        """Fill the disk of a process: no byte and no file fits any more."""
        folder = Path(f"/proc/{pid}/root{self.folder}")
        with until_full(), (folder / "bytes").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 4096)
        with until_full():
            for number in itertools.count():
                (folder / f"filler-{number}").touch()

    def free(self, pid: int) -> None:
        """Make room again."""
        folder = Path(f"/proc/{pid}/root{self.folder}")
        for path in [folder / "bytes", *folder.glob("filler-*")]:
            path.unlink()


@contextmanager
def until_full() -> Iterator[None]:
    """Expect that the disk is full at the end."""
    with pytest.raises(OSError) as caught:
        yield
    assert caught.value.errno == errno.ENOSPC
