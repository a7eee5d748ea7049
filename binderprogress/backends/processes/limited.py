"""Runs a program with resource limits: ``python -I -S limited.py LIMITS PROGRAM [ARGUMENT …]``.

It imports none of our modules, nor json, so it starts in 10 ms. The `preexec_fn` of `subprocess`
may deadlock in a process with threads.
"""

from __future__ import annotations

import os
import resource
import signal
import sys


def set_limits(limits: str) -> None:
    """Lower the limits of this process and its children.

    Parameters
    ----------
    limits : str
        Limits by the names of getrlimit(2) in lower case without ``RLIMIT_``: ``core=0,cpu=10``.
        Lower limits are kept.
    """
    for each in limits.split(","):
        name, _, value = each.partition("=")
        limit = int(value)
        number = getattr(resource, f"RLIMIT_{name.upper()}", None)
        if number is None:
            continue  # not on this system
        _, hard = resource.getrlimit(number)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(number, (limit, limit))


def main() -> None:
    """Set the limits, and replace this process by the program."""
    set_limits(sys.argv[1])
    # Python ignores these signals, and the program would inherit that and not end at its limit.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell is needed
    except OSError as error:
        sys.exit(f"{sys.argv[2]} cannot be started: {error.strerror}.")


if __name__ == "__main__":
    main()
