"""Run all benchmarks, or those that are named: ``python -m benchmarks [NAME …] [--json]``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from typing import Any

import tornado

from . import estimator, fanout, history, log, proxy


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("names", nargs="*", help=", ".join(BENCHMARKS))
    viewers = parser.add_argument_group("fanout; proxy, without viewers")
    viewers.add_argument("--viewers", type=int, default=200)
    viewers.add_argument("--rate", type=int, default=50, help="events per second")
    viewers.add_argument("--seconds", type=float, default=5)
    lines = parser.add_argument_group("log")
    lines.add_argument("--lines", type=int, default=100_000)
    lines.add_argument("--lines-rate", type=int, default=5_000, help="lines per second")
    past = parser.add_argument_group("history")
    past.add_argument("--launches", type=int, default=20_000)
    past.add_argument("--url", default="", help="of an empty database; else SQLite and PostgreSQL")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    names = arguments.names or list(BENCHMARKS)
    if not arguments.names and log.chromium() is None:
        print("log: left out, chromium is not installed", file=sys.stderr)
        names.remove("log")
    results = {}
    machine = describe_machine()
    if not arguments.json:
        print("{system}, {cores} cores, Python {python}, Tornado {tornado}".format(**machine))
    for name in names:
        run, table = BENCHMARKS[name]
        results[name] = run(arguments)
        if not arguments.json:
            print(table(results[name]), flush=True)
    if arguments.json:
        print(json.dumps({"machine": machine, **results}))


def describe_machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "tornado": tornado.version,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def run_fanout(arguments: argparse.Namespace) -> dict[str, Any]:
    load = {name: getattr(arguments, name) for name in ("viewers", "rate", "seconds")}
    return asyncio.run(fanout.compare(**load))


def run_proxy(arguments: argparse.Namespace) -> dict[str, Any]:
    return asyncio.run(proxy.compare(rate=arguments.rate, seconds=arguments.seconds))


def run_log(arguments: argparse.Namespace) -> dict[str, Any]:
    return log.compare(lines=arguments.lines, rate=arguments.lines_rate)


def run_history(arguments: argparse.Namespace) -> dict[str, Any]:
    return history.compare(count=arguments.launches, url=arguments.url)


def run_estimator(_arguments: argparse.Namespace) -> dict[str, Any]:
    return estimator.measure_ours()


BENCHMARKS = {
    "fanout": (run_fanout, fanout.table),
    "proxy": (run_proxy, proxy.table),
    "log": (run_log, log.table),
    "history": (run_history, history.table),
    "estimator": (run_estimator, estimator.table),
}

if __name__ == "__main__":
    main()
