"""Runs a program, and ends all that it started: ``python -I -S supervisor.py GRACE KIND LIMITS …``.

Standard input is a socket whose other end only the server has. When the server ends, however it
ends, the socket closes, and the program is stopped: SIGTERM for its process group, SIGKILL for all
of its processes after GRACE seconds. So a server that is killed leaves nothing running.

On Linux, processes that leave the session (``setsid``) are ended, too: this process adopts them
when their parent ends. With the KIND ``group``, they are kept: podman leaves processes that its
next command needs. LIMITS are those of `limited`; empty: none.

========  ==================================================================
SIGTERM   stop the program as above
SIGUSR1   kill everything at once
========  ==================================================================

The exit status is that of the program. If a signal ended it, the same one ends this process.

It imports none of our modules but `limited`, nor typing, so it starts in 20 ms.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

ALL, GROUP = "all", "group"
"""The kinds: which processes end."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36

_KILL_TIMEOUT = 10.0
"""Seconds to wait for processes that were killed. Some are stuck in the kernel."""

_SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1)


def main() -> None:
    """Run the program of the arguments."""
    grace, kind, limits, *argv = sys.argv[1:]
    adopts = kind == ALL and _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signals = _watch_signals()
    child = _start(argv, limits)
    status, abandoned = _supervise(child, signals, grace=float(grace))
    if adopts:
        _kill_all(signals)
    if abandoned:
        # Nobody else ends the rest of the group. This process is part of it.
        os.killpg(0, signal.SIGKILL)
    _end_like(status)


def _prctl(option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    import ctypes

    return bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)


def _watch_signals() -> int:
    """Return a pipe from which the numbers of signals can be read."""
    read, write = os.pipe()
    for end in (read, write):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in _SIGNALS:
        # Without a handler, SIGCHLD would not be written to the pipe.
        signal.signal(number, lambda *_: None)
    return read


def _start(argv: list[str], limits: str) -> int:
    parent = os.getpid()
    child = os.fork()
    if child:
        return child
    try:
        # If this supervisor is killed, so is the program.
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # it was killed before
        # Python ignores these signals, and the program would inherit that.
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(ignored, signal.SIG_DFL)
        if limits:
            _set_limits(limits)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is needed
    except (OSError, ValueError) as error:
        problem = error.strerror if isinstance(error, OSError) else error
        os.write(2, f"{argv[0]} cannot be started: {problem}.\n".encode())
    finally:
        os._exit(127)


def _set_limits(limits: str) -> None:
    # Last, because other files there have names of modules of Python's.
    sys.path.append(__file__.rpartition("/")[0])
    from limited import set_limits  # type: ignore[import-not-found] # it is beside this file

    set_limits(limits)


def _supervise(child: int, signals: int, *, grace: float) -> tuple[int, bool]:
    """Wait for the program to end; stop it if the server ends or asks for it.

    Returns
    -------
    tuple of int and bool
        Its status of waitpid(2), and whether the server has ended.
    """
    abandoned = False
    deadline: float | None = None
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        watched = [signals] if abandoned else [signals, 0]
        ready = select.select(watched, [], [], left)[0]
        numbers = os.read(signals, 512) if signals in ready else b""
        if 0 in ready:
            abandoned = not os.read(0, 512)
        if deadline is None and (abandoned or signal.SIGTERM in numbers):
            deadline = time.monotonic() + grace
            # Also for this process, which does not end.
            os.killpg(0, signal.SIGTERM)
        if signal.SIGUSR1 in numbers or (deadline is not None and time.monotonic() >= deadline):
            os.kill(child, signal.SIGKILL)
            return os.waitpid(child, 0)[1], abandoned
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            # Others are orphans that were adopted.
            if ended[0] == child:
                return ended[1], abandoned


def _kill_all(signals: int) -> None:
    """Kill all children, and those that are adopted meanwhile."""
    deadline = time.monotonic() + _KILL_TIMEOUT
    while time.monotonic() < deadline:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return  # none is left
        for pid in _children():
            try:
                # Not waited for yet, so the id was not reused.
                os.kill(pid, signal.SIGKILL)
            except PermissionError:
                continue  # it runs as another user
        if select.select([signals], [], [], 0.05)[0]:
            os.read(signals, 512)


def _children() -> list[int]:
    own = os.getpid()
    try:
        with open(f"/proc/self/task/{own}/children") as file:  # noqa: PTH123 - pathlib takes 5 ms
            return [int(pid) for pid in file.read().split()]
    except FileNotFoundError:  # Linux without CONFIG_PROC_CHILDREN
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - as above
        return [pid for pid in pids if _parent(pid) == own]


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:  # noqa: PTH123 - as above
            # "pid (name) state parent …". The name may contain any character.
            return int(file.read().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0  # it has ended


def _end_like(status: int) -> None:
    if os.WIFSIGNALED(status):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the program has written its own
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main()
