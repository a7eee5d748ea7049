"""Whether processes have ended."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import psutil


def gone(processes: Iterable[psutil.Process], timeout: float = 30) -> bool:
    """Whether all of them end in time.

    A zombie has ended: its parent may be an init that takes its time.
    """
    deadline = time.monotonic() + timeout
    while any(_runs(process) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)  # other people's children can only be looked at
    return True


def within(folder: Path) -> list[psutil.Process]:
    """List the processes that run below a folder or were started with its name."""
    found = []
    for process in psutil.process_iter():
        try:
            line = [process.cwd(), *process.cmdline()]
        except psutil.Error:
            continue
        if any(str(folder) in word for word in line):
            found.append(process)
    return found


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
