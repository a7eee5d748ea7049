"""A child process that is read line by line and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType

from ..core.reasons import failure

__all__ = ["Process", "check_exit", "run"]

_CHUNK = 65536
# A line that is longer is cut: a process must not fill our memory with one.
_LONGEST_LINE = 4 * 2**20


class Process:
    r"""A process in a session of its own; on leaving the context, the whole session is ended.

    Parameters
    ----------
    argv : sequence of str
    env : mapping, optional
        The whole environment; ours by default.
    cwd : str, optional
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
        stop_timeout: float = 2.0,
    ) -> None:
        self._argv = argv
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
        rest = b""
        while chunk := await self._process.stdout.read(_CHUNK):
            parts = _split(rest + chunk)
            rest = parts.pop()
            for part in parts:
                yield part.decode("utf-8", "replace")
            if len(rest) > _LONGEST_LINE:
                yield rest.decode("utf-8", "replace")
                rest = b""
        if rest:
            yield rest.decode("utf-8", "replace")

    async def wait(self) -> int:
        """Wait for its end and return its exit code; negative: the signal that ended it."""
        if self._process is None:
            raise RuntimeError("The process was not started.")
        return await self._process.wait()

    async def _stop(self) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            self._signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), self._stop_timeout)
            except TimeoutError:
                self._signal(signal.SIGKILL)
                await process.wait()
        # What it started and left behind is in its session still.
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                return  # it has ended: what was wanted


def _split(data: bytes) -> list[bytes]:
    """Split into lines; the last item is what is not finished yet."""
    parts: list[bytes] = []
    for line in data.split(b"\n"):
        *overwritten, last = line.split(b"\r")
        if overwritten and not last:
            # "\r" right before "\n" belongs to it.
            last = overwritten.pop() + b"\r"
        parts.extend(item + b"\r" for item in overwritten)
        parts.append(last + b"\n")
    parts[-1] = parts[-1][:-1]
    return parts


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
        # repo2docker itself ends with 1; a signal comes from outside.
        raise failure("build-interrupted" if code < 0 else "build-failed")
