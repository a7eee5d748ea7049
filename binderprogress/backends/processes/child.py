"""A child process that is read line by line and leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from ...core.log.reasons import failure

__all__ = ["Lines", "Process", "check_exit", "limited", "run"]

_CHUNK = 65536
# A line that is longer is cut: a process must not fill our memory with one.
_LONGEST_LINE = 4 * 2**20
# What ends a process that has used up its time, or writes a file that is too large.
_AT_A_LIMIT = (signal.SIGXCPU, signal.SIGXFSZ)


class Process:
    r"""A process in a session of its own; on leaving the context, the whole session is ended.

    Parameters
    ----------
    argv : sequence of str
    env : mapping, optional
        The whole environment; ours by default.
    cwd : str, optional
    limits : mapping, optional
        Its resource limits and those of what it starts, see `limited`.
    stop_timeout : float
        Seconds between SIGTERM and SIGKILL.

    Raises
    ------
    OSError
        On entering, if it cannot be started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        limits: Mapping[str, int] | None = None,
        stop_timeout: float = 2.0,
    ) -> None:
        self._argv = limited(argv, limits or {})
        self._env = env
        self._cwd = cwd
        self._stop_timeout = stop_timeout
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Process:
        self._process = await asyncio.create_subprocess_exec(
            *self._argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._env,
            cwd=self._cwd,
            start_new_session=True,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Shielded: who is cancelled twice must still not leave a build running.
        await asyncio.shield(asyncio.ensure_future(self._stop()))

    async def lines(self) -> AsyncIterator[str]:
        r"""Iterate over what it writes to stdout and stderr, with line ends.

        A ``\r`` that is not part of ``\r\n`` ends a line too: it is how programs overwrite one.
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
        """Wait for its end and return its exit code; negative: the signal that ended it."""
        if self._process is None:
            raise RuntimeError("The process was not started.")
        return await self._process.wait()

    async def _stop(self) -> None:
        process = self._process
        if process is None:
            return
        try:
            if process.returncode is None:
                self._signal(signal.SIGTERM)
                try:
                    await asyncio.wait_for(process.wait(), self._stop_timeout)
                except TimeoutError:
                    self._signal(signal.SIGKILL)
                    await process.wait()
        except asyncio.CancelledError:
            # The loop itself ends.
            self._signal(signal.SIGKILL)
            await process.wait()
            raise
        finally:
            # What it started and left behind is in its session still.
            self._signal(signal.SIGKILL)
            # Output that nobody read keeps the pipe open until there is no loop left to close it
            # in; asyncio offers no other way.
            process._transport.close()  # type: ignore[attr-defined]

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                return  # it has ended: what was wanted


class Lines:
    """Cuts a program's output into lines, the same ones however it arrives in pieces.

    Parameters
    ----------
    longest : int
        Bytes after which a line is cut.
    """

    def __init__(self, *, longest: int) -> None:
        self._longest = longest
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Take in a piece and return the lines that it completes."""
        whole = self._rest + data
        # Of bytes: nothing but "\n", "\r" and "\r\n" ends a line.
        lines = whole.splitlines(keepends=True)
        # The last one may go on, or its "\r" may be half of a "\r\n".
        self._rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        if len(whole) > self._longest:
            lines = [piece for line in lines for piece in self._cut(line)]
            *begun, self._rest = self._cut(self._rest)
            lines += begun
        return [line.decode("utf-8", "replace") for line in lines]

    def pause(self) -> list[str]:
        r"""Return a line that ends in ``\r``, when no ``\n`` has come after it for a while."""
        return self.end() if self._rest.endswith(b"\r") else []

    def end(self) -> list[str]:
        """Return the line that was not finished, if there is one."""
        rest, self._rest = self._rest, b""
        return [rest.decode("utf-8", "replace")] if rest else []

    def _cut(self, line: bytes) -> list[bytes]:
        pieces = []
        while len(line) > self._longest:
            at = self._longest
            while at > self._longest - 3 and line[at] & 0xC0 == 0x80:
                at -= 1  # not within a character
            pieces.append(line[:at])
            line = line[at:]
        return [*pieces, line]


def limited(argv: Sequence[str], limits: Mapping[str, int]) -> list[str]:
    """Return the command that runs a program with resource limits.

    Parameters
    ----------
    argv : sequence of str
    limits : mapping of str to int
        By the names of getrlimit(2) in lower case, without ``RLIMIT_``: ``{"core": 0}``.
    """
    if not limits:
        return list(argv)
    program = Path(__file__).with_name("limited.py")
    return [sys.executable, "-I", "-S", str(program), json.dumps(dict(limits)), *argv]


async def run(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None, timeout: float
) -> tuple[int, str]:
    """Run a program to its end and return its exit code and output.

    Raises
    ------
    TimeoutError
        If it takes longer than `timeout` seconds; it is ended then.
    """
    async with asyncio.timeout(timeout), Process(argv, env=env) as process:
        output = "".join([line async for line in process.lines()])
        return await process.wait(), output


def check_exit(code: int) -> None:
    """Raise `LaunchFailedError` unless a build's process ended well.

    What its log says of the reason is for the launch to find out.
    """
    if code:
        if -code in _AT_A_LIMIT:
            raise failure("resource-limit")
        # repo2docker itself ends with 1; another signal comes from outside.
        raise failure("build-interrupted" if code < 0 else "build-failed")
