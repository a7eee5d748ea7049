"""Run one benchmark, or all of them with what they are to run, and keep what they found."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.support.postgresql import programs

from . import (
    estimator,
    fanout,
    firstview,
    history,
    idle,
    ingest,
    kubernetes,
    late,
    launch,
    log,
    longlog,
    many,
    memory,
    prepull,
    proxy,
    ranges,
    replicas,
    report,
    standby,
    startup,
    store,
    whatif,
    whatif_real,
)
from .servers import MISSING, SERVERS


class Benchmark(NamedTuple):
    """What can be run.

    Attributes
    ----------
    compare : callable
        Takes what the options say and returns what was measured.
    table : callable
        Writes that for people.
    options : dict
        By what `compare` calls it, what `argparse` is told of it.
    """

    compare: Callable[..., dict[str, Any]]
    table: Callable[[dict[str, Any]], str]
    options: dict[str, dict[str, Any]]


def _number(default: float, text: str = " ") -> dict[str, Any]:
    return {"type": type(default), "default": default, "help": text}


_NAMES = {
    "flags": "--servers",
    "nargs": "+",
    "choices": list(SERVERS),
    "default": [],
    "help": "all by default",
}

BENCHMARKS = {
    "fanout": Benchmark(
        fanout.compare,
        fanout.table,
        {
            "viewers": _number(500),
            "rates": {
                "flags": "--rate",
                "nargs": "+",
                "type": float,
                "default": [50.0, 200.0],
                "help": "events a second, one after the other",
            },
            "seconds": _number(2.0),
            "repeat": _number(3),
            "names": _NAMES,
        },
    ),
    "idle": Benchmark(
        idle.compare,
        idle.table,
        {
            "counts": {
                "flags": "--viewers",
                "nargs": "+",
                "type": int,
                "default": [5000, 10_000],
                "help": "one after the other",
            },
            "names": _NAMES,
        },
    ),
    "many": Benchmark(
        many.compare,
        many.table,
        {
            "launches": _number(1000),
            "rate": _number(10.0, "events a second of each"),
            "seconds": _number(5.0),
            "names": _NAMES,
        },
    ),
    "replicas": Benchmark(
        replicas.compare,
        replicas.table,
        {
            "launches": _number(200),
            "rates": {
                "flags": "--rate",
                "nargs": "+",
                "type": float,
                "default": [1000.0, 2000.0, 5000.0, 10_000.0],
                "help": "events a second of all launches, one after the other",
            },
            "seconds": _number(5.0),
        },
    ),
    "memory": Benchmark(
        memory.compare,
        memory.table,
        {"launches": _number(50), "viewers": _number(500), "minutes": _number(10.0)},
    ),
    "late": Benchmark(
        late.compare,
        late.table,
        {
            "joiners": _number(100),
            "lines": _number(50_000),
            "live": _number(20, "viewers that watch meanwhile"),
            "rate": _number(20.0, "lines a second meanwhile"),
        },
    ),
    "firstview": Benchmark(firstview.compare, firstview.table, {"repeat": _number(5)}),
    "prepull": Benchmark(
        prepull.compare,
        prepull.table,
        {
            "nodes": _number(50),
            "images": _number(500),
            "hours": _number(4.5, "of the virtual clock"),
            "warm_up": {"flags": "--warm-up", **_number(3.0, "hours after which launches begin")},
            "rate": _number(20.0, "launches a minute"),
            "budget": _number(250.0, "GiB on each node"),
            "max_pulls": {"flags": "--max-pulls", **_number(40, "at the same time")},
            "speed": _number(100.0, "MiB on the disk that a node pulls in a second"),
            "seed": _number(1),
        },
    ),
    "whatif": Benchmark(
        whatif.compare,
        whatif.table,
        {
            "launches": _number(100_000, "in the week"),
            "seed": _number(1),
            "weeks": _number(3, "that are made of each kind, and replayed"),
        },
    ),
    "whatif-real": Benchmark(
        whatif_real.compare,
        whatif_real.table,
        {
            "students": _number(20),
            "seconds": _number(30.0, "in which all of them launch"),
            "within": _number(1.0, "seconds of the goal"),
        },
    ),
    "proxy": Benchmark(
        proxy.compare,
        proxy.table,
        {"rate": _number(50), "seconds": _number(5.0), "repeat": _number(3)},
    ),
    "kubernetes": Benchmark(
        kubernetes.compare,
        kubernetes.table,
        {
            "builds": _number(200),
            "viewers": _number(2000, "of all builds together"),
            "lines": _number(50, "of each build"),
            "rate": _number(5.0, "lines a second of each build"),
        },
    ),
    "ingest": Benchmark(ingest.compare, ingest.table, {"lines": _number(100_000)}),
    "store": Benchmark(
        store.compare,
        store.table,
        {
            "lines": _number(100_000),
            "channels": _number(200),
            "rate": _number(10.0, "events a second of each channel"),
            "seconds": _number(5.0),
        },
    ),
    "launch": Benchmark(
        launch.compare,
        launch.table,
        {
            "repeat": _number(5),
            "before": {"default": "", "help": "program of an earlier version to compare with"},
        },
    ),
    "standby": Benchmark(
        standby.compare,
        standby.table,
        {
            "launches": _number(200, "with servers that stand ready"),
            "without": _number(200, "launches in between, without any"),
            "standing": _number(8, "servers that stand ready"),
            "at_once": {"flags": "--at-once", **_number(50, "launches at the same moment")},
        },
    ),
    "startup": Benchmark(startup.compare, startup.table, {"repeat": _number(3)}),
    "estimator": Benchmark(
        estimator.measure_ours,
        estimator.table,
        {
            "train": _number(400, "made up launches to learn from"),
            "test": _number(200, "made up launches to estimate"),
        },
    ),
    "ranges": Benchmark(
        ranges.compare,
        ranges.table,
        {
            "train": _number(200, "made up launches to learn from"),
            "test": _number(300, "made up launches to estimate"),
            "seeds": _number(3, "how many worlds of each kind"),
        },
    ),
    "history": Benchmark(
        history.compare,
        history.table,
        {
            "count": {"flags": "--launches", **_number(20_000)},
            "url": {
                "default": "",
                "help": "of an empty database; sqlite, postgresql: one of that kind; else both",
            },
        },
    ),
    "log": Benchmark(
        log.compare,
        log.table,
        {"lines": _number(100_000), "rate": {"flags": "--lines-rate", **_number(5_000)}},
    ),
    "longlog": Benchmark(longlog.compare, longlog.table, {"lines": _number(1_000_000)}),
}


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(
        dest="name", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; all by default"
    )
    for name, benchmark in BENCHMARKS.items():
        command = commands.add_parser(name, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        form = command.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print JSON only")
        form.add_argument("--save", action="store_true", help="keep it in benchmarks/results")
        for option, settings in benchmark.options.items():
            settings = dict(settings)
            flag = settings.pop("flags", f"--{option}")
            command.add_argument(flag, dest=option, **settings)
    return parser


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run what the command line names."""
    benchmark = BENCHMARKS[arguments.name]
    began = time.monotonic()
    try:
        found = benchmark.compare(**{name: getattr(arguments, name) for name in benchmark.options})
    except ValueError as error:
        sys.exit(f"{arguments.name}: {error}")
    print(f"{arguments.name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    return found


def main() -> None:
    arguments = parser().parse_args()
    for name, why in MISSING.items():
        print(f"{name} is left out: {why}.", file=sys.stderr)
    tables = {name: benchmark.table for name, benchmark in BENCHMARKS.items()}
    if arguments.name:
        results = {arguments.name: run(arguments)}
        if arguments.json:
            print(json.dumps({"machine": report.machine(), **results}))
            return
        print(tables[arguments.name](results[arguments.name]))
        if arguments.save:
            report.save(results, tables)
        return
    names = list(BENCHMARKS)
    if log.chromium() is None:
        print(
            "log, longlog and firstview are left out: chromium is not installed.", file=sys.stderr
        )
        names = [name for name in names if name not in {"log", "longlog", "firstview"}]
    if programs() is None:
        print("replicas is left out: PostgreSQL is not installed.", file=sys.stderr)
        names.remove("replicas")
    for name in names:
        found = run(parser().parse_args([name]))
        print(tables[name](found), flush=True)
        report.save({name: found}, tables)


if __name__ == "__main__":
    main()
