"""What simulations replace in the real code: threads, files, ids, and logs."""

from __future__ import annotations

import asyncio
import gc
import logging
import secrets
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, ParamSpec, TypeVar
from unittest.mock import patch

from binderprogress.core.timing.priors import Priors
from binderprogress.core.timing.spans import PastLaunch
from binderprogress.launches import fanout, learner, log_files
from binderprogress.launches import manager as manager_module
from binderprogress.launches.build_log import BuildLog

from .loop import PROCESS
from .processes import Process

__all__ = ["IDS", "QUIET", "Kept", "Log", "simulated"]

P = ParamSpec("P")
T = TypeVar("T")


class Log(BuildLog):
    """The log of a build, which knows that its process ended."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        process = PROCESS.get()
        if isinstance(process, Process):
            process.logs.append(self)

    def lose(self) -> None:
        """Lose what is not written yet."""
        self._buffer.clear()
        self._close_file()
        self.is_cut = True


class _Threads:
    """Calls functions at once, instead of in threads; see `_daemon_threads.DaemonThreads`."""

    def __init__(self, name: str, **options: Any) -> None:
        pass

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        await asyncio.sleep(0)
        return call(*args, **kwargs)


def _learn(knowledge: Priors, past: PastLaunch, *_: object, **__: object) -> None:
    """Learn how long a launch took, and not how far its estimates were off, which takes longer."""
    knowledge.add(past)


class _Folder:
    name = "."

    def __init__(self, kind: str) -> None:
        pass

    def cleanup(self) -> None:
        pass


class Kept(logging.Logger):
    """The operator's log of a process, which becomes part of a trace.

    Parameters
    ----------
    note : callable
        Called with each line.
    name : str
        Of the process.
    """

    def __init__(self, note: Callable[[str], None], name: str) -> None:
        super().__init__("kept", logging.INFO)
        self._note = note
        self._name = name

    def handle(self, record: logging.LogRecord) -> None:
        text = f"{self._name}: {record.getMessage()}"
        if record.exc_info and record.exc_info[1] is not None:
            text += "".join(traceback.format_exception(record.exc_info[1])[-3:])
        self._note(text)


IDS = Random()  # noqa: S311 - the ids of simulated launches are no secrets
"""Where ids come from instead of `secrets`, so that they are the same in each run."""

QUIET = logging.getLogger("binderprogress.simulation")
QUIET.addHandler(logging.NullHandler())
QUIET.setLevel(logging.CRITICAL + 1)
QUIET.propagate = False


@contextmanager
def simulated() -> Iterator[None]:
    """Let simulations run: without threads, temporary folders, and the time of the machine."""
    hook, collects = sys.unraisablehook, gc.isenabled()
    # What is left of a killed process must not run its `finally` in the next simulation.
    gc.disable()
    # Nor must what is there already be looked at, again and again.
    gc.freeze()
    with (
        patch.object(manager_module, "OwnedFolder", _Folder),
        patch.object(log_files, "BuildLog", Log),
        patch.object(learner, "DaemonThreads", _Threads),
        patch.object(learner, "learn", _learn),
        patch.object(fanout, "monotonic", lambda: asyncio.get_running_loop().time()),
        patch.object(secrets, "token_hex", lambda size: IDS.randbytes(size).hex()),
        patch.object(secrets, "token_urlsafe", lambda size: IDS.randbytes(size).hex()),
        warnings.catch_warnings(),
    ):
        # Tasks of killed processes are collected. Their `finally` cannot await any more.
        warnings.simplefilter("ignore")
        sys.unraisablehook = lambda _: None
        try:
            yield
            gc.collect()
        finally:
            sys.unraisablehook = hook
            gc.unfreeze()
            if collects:
                gc.enable()
