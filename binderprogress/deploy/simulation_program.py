"""A program that reads a question from standard input, and writes the answer to standard output."""

from __future__ import annotations

import os
import resource
import sys

import msgspec

from ..errors import ConfigError
from ..whatif.question import WRONG_QUESTION, Question
from ..whatif.study import answer

__all__ = ["main"]

_NICE = 10
"""The server itself comes first."""


def main() -> int:
    """Simulate within the seconds of processor time that the first argument allows."""
    os.nice(_NICE)
    seconds = int(sys.argv[1])
    # If the server is killed, nobody else would end this.
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    question = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Question)
    try:
        report = answer(question)
    except ConfigError as error:
        sys.stderr.write(str(error))
        return WRONG_QUESTION
    sys.stdout.buffer.write(msgspec.msgpack.encode(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
