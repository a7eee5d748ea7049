"""How many instructions the hot operations take: ``python -m benchmarks.instructions``.

valgrind counts them, which needs no privileges and comes to nearly the same number on a busy
machine. Each operation is compared with a reference in the same process, one that uses the
interpreter and the libraries as it does. So one set of ratios (``instructions.json``) holds for all
versions of Python.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from .operations import COUNT, NOTHING, OPERATIONS

__all__ = ["ACCEPT", "MARGIN", "count", "exceeded", "missing", "noted", "ratios"]

MARGIN = 0.15
"""By what part a ratio may be above the noted one."""

ACCEPT = "python -m benchmarks.instructions --accept"

_ROOT = Path(__file__).parents[1]
_NOTED = Path(__file__).with_suffix(".json")
_COUNTED = re.compile(r"==(\d+)== I +refs: +([\d,]+)")


def missing() -> str:
    """Return what keeps instructions from being counted here; empty if nothing does."""
    if shutil.which("valgrind") is None:
        return "valgrind is not installed"
    if platform.machine() != "x86_64":
        return f"the ratios are noted for x86_64, and this is {platform.machine()}"
    return ""


def count() -> dict[str, float]:
    """Return how many instructions each operation takes, done once."""
    # Without "site", which takes longer than what is to be counted.
    path = [str(_ROOT), sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [
            *("valgrind", "--tool=cachegrind", "--cache-sim=no"),
            "--cachegrind-out-file=/dev/null",
            *(sys.executable, "-S", "-m", "benchmarks.operations"),
        ],
        cwd=_ROOT,
        env={**env, "PYTHONPATH": os.pathsep.join(path), "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"valgrind failed:\n{done.stdout}{done.stderr}")
    counted = {int(pid): int(text.replace(",", "")) for pid, text in _COUNTED.findall(done.stderr)}
    pids = dict(line.split() for line in done.stdout.splitlines())
    nothing = counted[int(pids[NOTHING])]
    return {
        name: (counted[int(pid)] - nothing) / COUNT for name, pid in pids.items() if name != NOTHING
    }


def ratios(counts: dict[str, float]) -> dict[str, float]:
    """Return what each operation takes beside its reference."""
    return {
        name: round(counts[name] / counts[reference], 4)
        for name, (_, reference) in OPERATIONS.items()
    }


def noted() -> dict[str, float]:
    """Return the ratios that were accepted."""
    found: dict[str, float] = json.loads(_NOTED.read_text()) if _NOTED.is_file() else {}
    return found


def exceeded(found: dict[str, float], limits: dict[str, float]) -> list[str]:
    """Return a sentence for each operation that takes more than it may, or is not noted."""
    sentences = []
    for name, ratio in found.items():
        before = limits.get(name)
        if before is None:
            sentences.append(f"{name} is not noted yet: {ACCEPT}")
        elif ratio > before * (1 + MARGIN):
            sentences.append(
                f"{name} takes {ratio / before - 1:.0%} more instructions than noted "
                f"({ratio:.3f} times the reference, not {before:.3f}); {MARGIN:.0%} are let "
                f"through. If it is worth that: {ACCEPT}"
            )
    return sentences


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    parser.add_argument("--accept", action="store_true", help="note what is found")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    if why := missing():
        sys.exit(f"Instructions cannot be counted: {why}.")
    counts = count()
    found, limits = ratios(counts), noted()
    if arguments.json:
        print(json.dumps({"instructions": counts, "ratios": found}))
    else:
        print(f"{'':12} {'instructions':>12} {'ratio':>8} {'noted':>8}  reference")
        for name, number in counts.items():
            told = ""
            if name in found:
                told = f"{found[name]:8.3f} {limits.get(name, 0):8.3f}  {OPERATIONS[name][1]}"
            print(f"{name:12} {number:12,.0f} {told}".rstrip())
    if arguments.accept:
        _NOTED.write_text(json.dumps(found, indent=2) + "\n")
    elif problems := exceeded(found, limits):
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
