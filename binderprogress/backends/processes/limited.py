"""Runs a program with resource limits: ``python -I -S limited.py LIMITS PROGRAM [ARGUMENT …]``.

It imports none of our modules, so it starts in 10 ms. The `preexec_fn` of `subprocess` may deadlock
in a process with threads.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys


def set_limits(limits: dict[str, int]) -> None:
    """Lower the limits of this process and its children.

    Parameters
    ----------
    limits : dict of str to int
        Limits by the names of getrlimit(2) in lower case without ``RLIMIT_``. Lower limits are
        kept.
    """
    for name, limit in limits.items():
        number = getattr(resource, f"RLIMIT_{name.upper()}", None)
        if number is None:
            continue  # not on this system
        _, hard = resource.getrlimit(number)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(number, (limit, limit))


def main() -> None:
    """Set the limits, and replace this process by the program."""
    set_limits(json.loads(sys.argv[1]))
    # Python ignores these signals, and the program would inherit that and not end at its limit.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell is needed
    except OSError as error:
        sys.exit(f"{sys.argv[2]} cannot be started: {error.strerror}.")


if __name__ == "__main__":
    main()
