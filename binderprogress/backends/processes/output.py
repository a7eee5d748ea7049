"""Runs programs in the process of a build, and reads their output line by line."""

from __future__ import annotations

import errno
import os
import select
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .lines import Lines

__all__ = ["output"]

# The capacity of a pipe.
_CHUNK = 65536
# Longer lines are split, so that as JSON they stay below the limit of `Process.lines`.
_LONGEST_LINE = 2**18


def output(
    command: Sequence[str], env: Mapping[str, str] | None = None, *, cwd: Path | None = None
) -> Iterator[str]:
    """Run a program and yield the lines of its output.

    It returns when the program ends, even if its output is still open: a postBuild script may leave
    processes running, which end with this process.

    Parameters
    ----------
    command : sequence of str
    env : mapping of str to str, optional
        All environment variables. The default is those of this process.
    cwd : Path, optional

    Raises
    ------
    subprocess.CalledProcessError
        If it fails.
    """
    try:
        process = _popen(command, env, cwd)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        # A script without "#!" is run by the shell, as in repo2docker's images.
        process = _popen(["/bin/sh", *command], env, cwd)
    with process:
        lines = Lines(longest=_LONGEST_LINE)
        for chunk in _chunks(process):
            yield from lines.feed(chunk) if chunk else lines.pause()
        yield from lines.end()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def _popen(
    command: Sequence[str], env: Mapping[str, str] | None, cwd: Path | None
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _chunks(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """Yield the output as it is written. Empty bytes mean a pause."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    pipe = process.stdout.fileno()
    while process.poll() is None:
        if select.select([pipe], [], [], 0.2)[0]:
            chunk = os.read(pipe, _CHUNK)
            if not chunk:
                # The program has closed its output, but is still running.
                process.wait()
            yield chunk
        else:
            yield b""
    # The rest fits into the pipe, and so into one read.
    if select.select([pipe], [], [], 0)[0]:
        yield os.read(pipe, _CHUNK)
