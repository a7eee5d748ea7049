"""Runs seeds, and says which of them fail."""

from __future__ import annotations

import asyncio
import gc
import shutil
import tempfile
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .replaced import simulated
from .scenario import Scenario

__all__ = ["Result", "command", "run_seed", "run_seeds"]

_COLLECT = 50
"""Seeds after which garbage is collected. It is not collected meanwhile."""


@dataclass
class Result:
    """What came of some seeds.

    Attributes
    ----------
    seeds, launches, crashes, viewers : int
    taken : int
        Servers that stood ready and were taken.
    failures : dict of int to str
        What repeats each, and what was wrong, by the seed.
    """

    seeds: int = 0
    launches: int = 0
    crashes: int = 0
    viewers: int = 0
    taken: int = 0
    failures: dict[int, str] = field(default_factory=dict)

    def add(self, other: Result) -> None:
        """Add another result."""
        self.seeds += other.seeds
        self.launches += other.launches
        self.crashes += other.crashes
        self.viewers += other.viewers
        self.taken += other.taken
        self.failures |= other.failures

    def __str__(self) -> str:
        summary = (
            f"{self.seeds} simulations with {self.launches} launches, {self.viewers} viewers, "
            f"{self.taken} servers that stood ready and were taken, and {self.crashes} ended "
            f"servers; {len(self.failures)} failed."
        )
        lines = [summary]
        for seed, problem in self.failures.items():
            lines += [f"Seed {seed}, {problem}"]
        return "\n".join(lines)


def command(seed: int, *, many: bool = False, standby: bool = False) -> str:
    """Return the command that repeats a simulation, and prints what happens."""
    options = f"{' --many' if many else ''}{' --standby' if standby else ''}"
    return f"python -m tests.simulation --seed {seed}{options}"


def run_seeds(
    seeds: Iterable[int], *, many: bool = False, standby: bool = False, most_failures: int = 10
) -> Result:
    """Run simulations.

    Parameters
    ----------
    seeds : iterable of int
    many, standby : bool
        See `Scenario`.
    most_failures : int
        After so many, the rest is left out.
    """
    result = Result()
    folder = _log_folder()
    try:
        with simulated():
            for seed in seeds:
                result.add(_run(seed, folder, many=many, standby=standby))
                if len(result.failures) >= most_failures:
                    break
                if result.seeds % _COLLECT == 0:
                    gc.collect()
            gc.collect()
    finally:
        shutil.rmtree(folder)
    return result


def run_seed(seed: int, *, many: bool = False, standby: bool = False) -> list[str]:
    """Run one simulation, and return what happened; the last lines say what is wrong."""
    folder = _log_folder()
    try:
        with simulated():
            scenario = Scenario(seed, folder, many=many, standby=standby, trace=True)
            problem = _problem(scenario)
            lines = [*(scenario.lines or ()), *problem.splitlines()]
            del scenario
            gc.collect()
    finally:
        shutil.rmtree(folder)
    return lines


def _log_folder() -> Path:
    # In memory, where there is a file system for that.
    memory = Path("/dev/shm")
    folder = tempfile.mkdtemp(
        prefix="binderprogress-simulation-", dir=memory if memory.is_dir() else None
    )
    return Path(folder)


def _problem(scenario: Scenario) -> str:
    """Run a simulation, and return what is wrong; empty: nothing."""
    try:
        scenario.run()
    except AssertionError as error:
        return str(error) or "".join(traceback.format_exception(error))
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever it is, it is found
        return "".join(traceback.format_exception(error))
    return ""


def _run(seed: int, folder: Path, *, many: bool, standby: bool) -> Result:
    scenario = Scenario(seed, folder, many=many, standby=standby)
    result = Result(seeds=1)
    if problem := _problem(scenario):
        result.failures[seed] = f"{command(seed, many=many, standby=standby)}:\n{problem}"
    result.launches = len(scenario.launched)
    result.taken = sum(
        server.manager.standby.counts["taken"]
        for server in scenario.servers
        if hasattr(server, "manager")
    )
    result.crashes = sum(server.is_dead for server in scenario.servers)
    result.viewers = sum(len(launched.views) - 1 for launched in scenario.launched.values())
    for log in folder.iterdir():
        log.unlink()
    return result
