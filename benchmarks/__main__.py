"""Run all benchmarks, or those that are named: ``python -m benchmarks [log] [--json]``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
from typing import Any

import tornado

from . import fanout, log


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("only", nargs="*", choices=[[], *BENCHMARKS], metavar=" | ".join(BENCHMARKS))
    viewers = parser.add_argument_group("fanout")
    viewers.add_argument("--viewers", type=int, default=200)
    viewers.add_argument("--rate", type=int, default=50, help="events per second")
    viewers.add_argument("--seconds", type=float, default=5)
    lines = parser.add_argument_group("log")
    lines.add_argument("--lines", type=int, default=100_000)
    lines.add_argument("--lines-rate", type=int, default=5_000, help="lines per second")
    arguments = parser.parse_args()
    machine = {
        "python": platform.python_version(),
        "tornado": tornado.version,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    chosen = {name: BENCHMARKS[name] for name in arguments.only or BENCHMARKS}
    if not arguments.json:
        print(f"{machine['system']}, {machine['cores']} cores, Python {machine['python']}, ", end="")
        print(f"Tornado {machine['tornado']}")
    results = {}
    for name, (run, table) in chosen.items():
        results[name] = run(arguments)
        if not arguments.json:
            print(table(results[name]), flush=True)
    if arguments.json:
        print(json.dumps({"machine": machine, **results}))


def run_fanout(arguments: argparse.Namespace) -> dict[str, Any]:
    load = {name: getattr(arguments, name) for name in ("viewers", "rate", "seconds")}
    return asyncio.run(fanout.compare(**load))


def run_log(arguments: argparse.Namespace) -> dict[str, Any]:
    return log.run(lines=arguments.lines, rate=arguments.lines_rate)


BENCHMARKS = {"fanout": (run_fanout, fanout.table), "log": (run_log, log.table)}

if __name__ == "__main__":
    main()
