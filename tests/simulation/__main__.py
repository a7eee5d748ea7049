"""``python -m tests.simulation``: many launches, and whatever can happen to them."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from .run import Result, run_seed, run_seeds

_AT_ONCE = 100
"""Seeds that a process runs before it is asked again."""


def main() -> int:
    """Run what the command line asks for; 1 if something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--first", type=int, help="the first one (default: others each time)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--seed", type=int, help="run this one, and print what happens")
    parser.add_argument("--many", action="store_true", help="several servers at the same time")
    parser.add_argument("--standby", action="store_true", help="servers stand ready")
    arguments = parser.parse_args()
    options = {"many": arguments.many, "standby": arguments.standby}
    if arguments.seed is not None:
        print("\n".join(run_seed(arguments.seed, **options)))
        return 0
    first = secrets.randbelow(2**32) if arguments.first is None else arguments.first
    print(f"Seeds from {first} on", flush=True)
    parts = [
        range(start, min(start + _AT_ONCE, first + arguments.seeds))
        for start in range(first, first + arguments.seeds, _AT_ONCE)
    ]
    result = Result()
    began = time.monotonic()
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for part in pool.map(partial(run_seeds, **options), parts):
            result.add(part)
            for seed in part.failures:
                print(f"Seed {seed} failed", flush=True)
    print(result)
    print(f"It took {time.monotonic() - began:.0f} s.")
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
