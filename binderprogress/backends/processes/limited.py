"""Runs a program with resource limits: ``python -I -S limited.py LIMITS PROGRAM [ARGUMENT …]``.

A file of its own that imports nothing of ours: it starts in 10 ms. `preexec_fn` of `subprocess`
may deadlock in a process that has threads.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys


def set_limits(limits: dict[str, int]) -> None:
    """Lower this process's limits, and those of what it starts.

    Parameters
    ----------
    limits : dict of str to int
        By the names of getrlimit(2) in lower case, without ``RLIMIT_``. None is raised.
    """
    for name, limit in limits.items():
        number = getattr(resource, f"RLIMIT_{name.upper()}", None)
        if number is None:
            continue  # not on this system
        _, hard = resource.getrlimit(number)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(number, (limit, limit))


def main() -> None:
    """Set the limits and become the program."""
    set_limits(json.loads(sys.argv[1]))
    # Python ignores these two, and what is ignored stays so: then nothing ends at its limit.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.exit(f"{sys.argv[2]} cannot be started: {error.strerror}.")


if __name__ == "__main__":
    main()
