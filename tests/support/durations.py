"""How long each test took the last time that it ran, in pytest's cache."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

_KEY = "binderprogress/durations"

# Seconds of a test with such a marker that has not run yet, and of others.
_GUESSED = {"podman": 6.0, "hub": 3.0, "browser": 1.5}
_OTHERS = 0.2

AT_LEAST: dict[str, float] = {
    "tests/attacks/test_archives.py": 20.0,
    "tests/attacks/test_patterns.py": 40.0,
    "tests/backends/fetch/test_archives.py": 20.0,
    "tests/backends/local/test_builder.py": 50.0,
    "tests/faults/test_connections.py": 30.0,
    "tests/faults/test_kills.py": 30.0,
    "tests/faults/test_paused_and_killed.py": 40.0,
    "tests/test_bench_servers.py": 30.0,
    "tests/test_instructions.py": 30.0,
    "tests/test_packaging.py": 40.0,
}
"""About how many seconds files take whose tests have no such marker, or few of them have.

In a new clone, such a file would come last otherwise, and all others would wait for it.
"""


def guessed(item: pytest.Item) -> float:
    """Return about how many seconds a test takes, by its markers."""
    marked = (seconds for name, seconds in _GUESSED.items() if item.get_closest_marker(name))
    return max(marked, default=_OTHERS)


class Durations:
    """A plugin of the process that starts the workers, or of the only one.

    Attributes
    ----------
    known : dict of str to float
        Seconds by the id of a test.
    """

    def __init__(self, config: pytest.Config) -> None:
        # There is none with ``-p no:cacheprovider``.
        self._cache = getattr(config, "cache", None)
        self.known: dict[str, float] = self._cache.get(_KEY, {}) if self._cache else {}
        self._new: Counter[str] = Counter()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker: all have to put the tests into the same order."""
        node.workerinput["durations"] = self.known

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add what a test took, or its fixtures."""
        self._new[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        """Keep them for the next run."""
        if self._cache:
            new = {name: round(seconds, 2) for name, seconds in self._new.items()}
            self._cache.set(_KEY, self.known | new)
