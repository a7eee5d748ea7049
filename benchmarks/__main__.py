"""Run one benchmark, with what it is to run: ``python -m benchmarks NAME [--help]``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import tornado

from . import fanout, history, log, proxy
from .servers import SERVERS


class Benchmark(NamedTuple):
    """What can be run.

    Attributes
    ----------
    run : callable
        Takes the arguments and returns what was measured.
    table : callable
        Writes that for people.
    arguments : dict
        By option, what `argparse` is told of it.
    """

    run: Callable[[argparse.Namespace], dict[str, Any]]
    table: Callable[[dict[str, Any]], str]
    arguments: dict[str, dict[str, Any]]


def run_fanout(arguments: argparse.Namespace) -> dict[str, Any]:
    return fanout.compare(
        viewers=arguments.viewers,
        rates=arguments.rate,
        seconds=arguments.seconds,
        repeat=arguments.repeat,
        names=arguments.servers,
    )


def run_proxy(arguments: argparse.Namespace) -> dict[str, Any]:
    return asyncio.run(proxy.compare(rate=arguments.rate, seconds=arguments.seconds))


def run_log(arguments: argparse.Namespace) -> dict[str, Any]:
    return log.compare(lines=arguments.lines, rate=arguments.lines_rate)


def run_history(arguments: argparse.Namespace) -> dict[str, Any]:
    return history.compare(count=arguments.launches, url=arguments.url)


_SERVERS = {"nargs": "+", "choices": list(SERVERS), "default": [], "help": "all by default"}

BENCHMARKS = {
    "fanout": Benchmark(
        run_fanout,
        fanout.table,
        {
            "--viewers": {"type": int, "default": 500},
            "--rate": {"type": float, "nargs": "+", "default": [50, 200], "help": "events/s"},
            "--seconds": {"type": float, "default": 4},
            "--repeat": {"type": int, "default": 3},
            "--servers": _SERVERS,
        },
    ),
    "proxy": Benchmark(
        run_proxy,
        proxy.table,
        {"--rate": {"type": int, "default": 50}, "--seconds": {"type": float, "default": 5}},
    ),
    "log": Benchmark(
        run_log,
        log.table,
        {
            "--lines": {"type": int, "default": 100_000},
            "--lines-rate": {"type": int, "default": 5_000, "help": "lines per second"},
        },
    ),
    "history": Benchmark(
        run_history,
        history.table,
        {
            "--launches": {"type": int, "default": 20_000},
            "--url": {"default": "", "help": "of an empty database; else SQLite and PostgreSQL"},
        },
    ),
}


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="name", metavar="NAME")
    for name, benchmark in BENCHMARKS.items():
        command = commands.add_parser(
            name, formatter_class=argparse.ArgumentDefaultsHelpFormatter, help=""
        )
        command.add_argument("--json", action="store_true", help="print JSON only")
        for option, settings in benchmark.arguments.items():
            command.add_argument(option, **settings)
    return parser


def main() -> None:
    arguments = parser().parse_args()
    names = [arguments.name] if arguments.name else list(BENCHMARKS)
    if not arguments.name and log.chromium() is None:
        print("log: left out, chromium is not installed", file=sys.stderr)
        names.remove("log")
    machine = describe_machine()
    results = {}
    for name in names:
        chosen = arguments if arguments.name else parser().parse_args([name])
        benchmark = BENCHMARKS[name]
        results[name] = benchmark.run(chosen)
        if not getattr(arguments, "json", False):
            print(benchmark.table(results[name]), flush=True)
    if getattr(arguments, "json", False):
        print(json.dumps({"machine": machine, **results}))


def describe_machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "tornado": tornado.version,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


if __name__ == "__main__":
    main()
