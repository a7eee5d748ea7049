"""Processes that outlive the server that started them, and are found again by the next one."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil

__all__ = ["HostProcess", "ProcessId", "kill_within", "with_children", "within"]

_POLL = 0.2
"""Seconds between two looks at a process, where the system has no pidfd_open."""


class ProcessId(msgspec.Struct, frozen=True):
    """What identifies a process, also after its pid was used again.

    Attributes
    ----------
    pid : int
    created : float
        When it was started, in seconds since the epoch, by the clock of psutil.
    """

    pid: int
    created: float


class HostProcess:
    """A process that does not end with this one.

    asyncio's subprocesses are not used for it, because they are killed with the event loop.

    Parameters
    ----------
    process : psutil.Process
    child : subprocess.Popen, optional
        If this process has started it.
    """

    def __init__(
        self, process: psutil.Process, child: subprocess.Popen[bytes] | None = None
    ) -> None:
        self.process = process
        self.id = ProcessId(process.pid, process.create_time())
        self._child = child

    @classmethod
    def start(cls, argv: Sequence[str], **options: Any) -> HostProcess:
        """Start a program in its own session; `options` are those of `subprocess.Popen`.

        Raises
        ------
        OSError
            If it cannot be started.
        """
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, start_new_session=True, umask=0o077, **options
        )
        # It is not waited for yet, so it exists, if only as a zombie.
        return cls(psutil.Process(child.pid), child)

    @classmethod
    def find(cls, wanted: ProcessId | None) -> HostProcess | None:
        """Return a process of an earlier run, if it is still running."""
        if wanted is None:
            return None
        try:
            found = cls(psutil.Process(wanted.pid))
        except psutil.NoSuchProcess:
            return None
        # The clock of the machine may have been corrected meanwhile.
        same = abs(found.id.created - wanted.created) < 1.0
        return found if same and not found.has_ended else None

    @property
    def has_ended(self) -> bool:
        """Whether it has ended."""
        if self._child is not None:
            return self._child.poll() is not None
        try:
            status = self.process.status()
        except psutil.NoSuchProcess:
            return True
        return bool(status == psutil.STATUS_ZOMBIE)

    async def wait(self) -> str:
        """Wait for its end, and return how it ended, as the end of a sentence."""
        if hasattr(os, "pidfd_open"):
            try:
                file = os.pidfd_open(self.id.pid)
            except ProcessLookupError:
                return self._ending()
            try:
                await _readable(file)
            finally:
                os.close(file)
        while not self.has_ended:  # noqa: ASYNC110 - without pidfd_open, there is no event for it
            await asyncio.sleep(_POLL)
        return self._ending()

    def terminate(self) -> None:
        """Ask it to end."""
        if not self.has_ended:
            try:
                self.process.terminate()
            except psutil.NoSuchProcess:
                return  # it has ended meanwhile

    def kill(self) -> None:
        """End it."""
        if not self.has_ended:
            try:
                self.process.kill()
            except psutil.NoSuchProcess:
                return  # it has ended meanwhile

    def _ending(self) -> str:
        code = self._child.poll() if self._child is not None else None
        if code is None:
            return "has ended"
        return f"was killed by signal {-code}" if code < 0 else f"exited with status {code}"


async def _readable(file: int) -> None:
    loop = asyncio.get_running_loop()
    event = asyncio.Event()
    loop.add_reader(file, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(file)


def with_children(pid: int) -> list[psutil.Process]:
    """Return a process and all that it has started, as far as they are still its children."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def within(folder: Path) -> list[psutil.Process]:
    """Return the processes whose current folder is in a folder, and their children.

    This finds what a process has started that was killed meanwhile.
    """
    folder = folder.resolve()
    processes = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                processes += with_children(process.pid)
        except psutil.Error:
            continue  # it has ended, or belongs to another user
    return processes


def kill_within(folder: Path, more: Iterable[psutil.Process] = (), *, timeout: float = 1.0) -> None:
    """Kill the processes in a folder, and others. psutil detects ids that were reused.

    Parameters
    ----------
    folder : Path
    more : iterable of psutil.Process
    timeout : float
        Seconds to wait for their end.
    """
    own = os.getpid()
    alive = {
        process
        for process in [*more, *within(folder)]
        if process.pid != own and process.is_running()
    }
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue  # it has ended
    psutil.wait_procs(alive, timeout=timeout)
