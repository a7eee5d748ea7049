"""Runs `binderprogress` and JupyterHub in processes that have imported them before they start.

A server, or a JupyterHub, takes a second of processor time to import what it is made of, and the
tests start hundreds of them. So one process for each process of the tests imports all of it, and
forks for each command: Python's own forkserver. What a command does then is the same, in a session,
with files, variables and signals of its own.

What differs: `/proc` shows the command line and the variables of the process that forks, and
variables that are read by imports have no effect (see `can_fork`).
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import reduction
from pathlib import Path
from signal import Signals
from typing import Any

import psutil

from binderprogress.deploy.embedded_jupyterhub import HUB_PROGRAM
from binderprogress.deploy.host_processes import HostProcess

__all__ = ["ForkedProcess", "can_fork", "run", "start_host_process", "start_plainly"]

# Python reads them when it starts, and aiohttp when it is imported.
_READ_BY_IMPORTS = ("LANG", "LC_", "LD_", "NO_COLOR", "PYTHON", "SSL_", "TZ", "AIOHTTP_")

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.support.imported"])

_COMMAND = str(Path(sys.executable).with_name("binderprogress"))


def _read_by_imports(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name.startswith(_READ_BY_IMPORTS)}


# Tests change the variables of their process, and then the one that forks may have begun already.
_VARIABLES = _read_by_imports(os.environ)


def can_fork(arguments: Sequence[str], env: Mapping[str, str]) -> bool:
    """Return whether a command is one of ours, and does not need variables of its own to import."""
    is_ours = arguments[0] == _COMMAND or [*arguments[:3]] == [sys.executable, "-m", HUB_PROGRAM]
    return is_ours and _read_by_imports(env) == _VARIABLES


class ForkedProcess:
    """Like `subprocess.Popen`, for commands that `can_fork`.

    Parameters
    ----------
    arguments : list of str
        The command; the first one is the path of the program.
    env : dict of str to str
        All variables.
    stdout, stderr : int
        Open files. They are not closed.
    folder : str
        Where it starts.
    umask : int
        The one of this process if it is negative, as with `subprocess.Popen`.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        stdout: int,
        stderr: int,
        folder: str,
        umask: int = -1,
    ) -> None:
        self.args = arguments
        files = _File(stdout), _File(stderr)
        task = (list(arguments), dict(env), folder, umask, *files)
        self._process = _CONTEXT.Process(target=_run, args=task, daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code; None: it is running."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return its exit code; None: it is running."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Await its end and return its exit code."""
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def send_signal(self, number: Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


class _File:
    """An open file that a process gets a copy of."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (reduction.DupFd(self._number),)


def _received(copy: Any) -> int:
    number: int = copy.detach()
    return number


def _run(
    arguments: list[str], env: dict[str, str], folder: str, umask: int, stdout: int, stderr: int
) -> None:
    """Be the command."""
    os.setsid()
    if umask >= 0:
        os.umask(umask)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    # A command inherits nothing else.
    os.closerange(3, max(int(entry.name) for entry in Path("/proc/self/fd").iterdir()) + 1)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    sys.stderr.reconfigure(line_buffering=True, errors="backslashreplace")
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.argv[:] = arguments
    try:
        if arguments[0] == _COMMAND:
            from binderprogress.cli import main

            main()
        else:
            del sys.argv[:2]
            runpy.run_module(HUB_PROGRAM, run_name="__main__", alter_sys=True)
    finally:
        # multiprocessing ends a process without them.
        atexit._run_exitfuncs()


def run(
    *arguments: str, env: Mapping[str, str], timeout: float, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `binderprogress` without input until it exits, and return its output as text.

    Parameters
    ----------
    arguments : str
    env : dict of str to str
        All variables.
    timeout : float
        Seconds.
    folder : Path, optional
        Where it starts; the current folder by default.
    """
    command = [_COMMAND, *arguments]
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        if can_fork(command, env):
            process = ForkedProcess(
                command,
                env=env,
                stdout=stdout.fileno(),
                stderr=stderr.fileno(),
                folder=str(folder or Path.cwd()),
            )
            try:
                code = process.wait(timeout)
            finally:
                process.send_signal(Signals.SIGKILL)
        else:
            code = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=env,
                cwd=folder,
                timeout=timeout,
                check=False,
            ).returncode
        output = []
        for file in (stdout, stderr):
            file.seek(0)
            output.append(file.read().decode())
    return subprocess.CompletedProcess(command, code, *output)


start_plainly = HostProcess.start


def start_host_process(argv: Sequence[str], **options: Any) -> HostProcess:
    """Like `HostProcess.start`, for the JupyterHub of a server in the process of a test."""
    env, stdout, stderr = options["env"], options["stdout"], options["stderr"]
    if not can_fork(argv, env):
        return start_plainly(argv, **options)
    child = ForkedProcess(
        argv,
        env=env,
        stdout=stdout.fileno(),
        stderr=stderr.fileno(),
        folder=str(options["cwd"]),
        umask=0o077,
    )
    return HostProcess(psutil.Process(child.pid), child)  # type: ignore[arg-type] # it is like one
