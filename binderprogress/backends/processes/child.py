"""A child process whose output is read line by line, and which leaves no processes behind."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from .limits import written
from .lines import Lines

__all__ = ["Process", "check_exit", "run"]

_CHUNK = 65536
# Longer lines are split. Attack: a process fills our memory with one line.
_LONGEST_LINE = 4 * 2**20
# The signals that end a process at its limit of CPU time or file size.
_AT_A_LIMIT = (signal.SIGXCPU, signal.SIGXFSZ)
# Seconds beyond the `stop_timeout` for the supervisor to end. It may have been stopped (SIGSTOP).
_MARGIN = 5.0


class Process:
    r"""A process in its own session, below a `supervisor`. Its processes end with it.

    They also end with the context, and if the server ends, even by SIGKILL. On Linux, this includes
    processes that have left the session.

    Parameters
    ----------
    argv : sequence of str
    env : mapping, optional
        All environment variables; the default is our environment.
    cwd : str, optional
    limits : mapping, optional
        Resource limits of the process and its children, see `limits.limited`.
    stop_timeout : float
        Seconds between SIGTERM and SIGKILL.
    keep_daemons : bool
        Whether processes that have left the session stay, as those of podman must.

    Raises
    ------
    OSError
        On entering the context, if the process cannot be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        limits: Mapping[str, int] | None = None,
        stop_timeout: float = 2.0,
        keep_daemons: bool = False,
    ) -> None:
        self._program = argv[0]
        program = Path(__file__).with_name("supervisor.py")
        kind = "group" if keep_daemons else "all"
        supervisor = [sys.executable, "-I", "-S", str(program), str(stop_timeout), kind]
        self._argv = [*supervisor, written(limits or {}), *argv]
        self._env = env
        self._cwd = cwd
        self._stop_timeout = stop_timeout
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Process:
        env = os.environ if self._env is None else self._env
        if shutil.which(self._program, path=env.get("PATH", os.defpath)) is None:
            # The supervisor could not raise it.
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._program)
        starting = asyncio.ensure_future(self._start())
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # asyncio would kill only the supervisor, and then wait for what is left of the program.
            await asyncio.shield(asyncio.ensure_future(self._abandon(starting)))
            raise
        return self

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._argv,
            # Open as long as this process runs. Programs themselves have no input.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._env,
            cwd=self._cwd,
            start_new_session=True,
        )

    async def _abandon(self, starting: asyncio.Future[None]) -> None:
        with suppress(OSError):
            await starting
        await self._stop()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Shielded, so that a second cancellation does not leave the process running.
        await asyncio.shield(asyncio.ensure_future(self._stop()))

    async def lines(self) -> AsyncGenerator[str, None]:
        r"""Yield the lines of stdout and stderr, with line ends.

        A ``\r`` without ``\n`` also ends a line: programs use it to overwrite the line.
        """
        if self._process is None or self._process.stdout is None:
            raise RuntimeError("The process was not started.")
        lines = Lines(longest=_LONGEST_LINE)
        while chunk := await self._process.stdout.read(_CHUNK):
            for line in lines.feed(chunk):
                yield line
        for line in lines.end():
            yield line

    async def wait(self) -> int:
        """Wait for the process to end and return its exit code; negative: the signal."""
        if self._process is None:
            raise RuntimeError("The process was not started.")
        return await self._process.wait()

    async def _stop(self) -> None:
        process = self._process
        if process is None:
            return
        try:
            if process.returncode is None:
                process.terminate()
                await asyncio.wait_for(process.wait(), self._stop_timeout + _MARGIN)
        except TimeoutError:
            self._kill_group()
            # asyncio waits for the end of the output, too, which daemons keep open.
            process._transport.close()  # type: ignore[attr-defined]
            await process.wait()
        except asyncio.CancelledError:
            # The event loop is closing.
            if process.returncode is None:
                process.send_signal(signal.SIGUSR1)
                with suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), _MARGIN)
            raise
        finally:
            # If the supervisor was killed, or is not on Linux, some may be left in the session.
            self._kill_group()
            # Unread output would keep the pipe open after the event loop has ended. asyncio has no
            # public way to close it.
            process._transport.close()  # type: ignore[attr-defined]

    def _kill_group(self) -> None:
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return  # it has already ended


async def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    timeout: float,
    keep_daemons: bool = False,
) -> tuple[int, str]:
    """Run a program and return its exit code and output; see `Process` for the parameters.

    Raises
    ------
    TimeoutError
        If it takes longer than `timeout` seconds. The program is ended then.
    """
    async with (
        asyncio.timeout(timeout),
        Process(argv, env=env, keep_daemons=keep_daemons) as process,
    ):
        output = "".join([line async for line in process.lines()])
        return await process.wait(), output


def check_exit(code: int) -> None:
    """Raise `LaunchFailedError` unless the exit code of a build's process is 0.

    The launch will look for a more specific reason in the log.
    """
    if code:
        # Imported here, because the processes of a build do not need it.
        from ...core.log.reasons import failure

        if -code in _AT_A_LIMIT:
            raise failure("resource-limit")
        # repo2docker exits with 1. Other signals come from outside.
        raise failure("build-interrupted" if code < 0 else "build-failed")
