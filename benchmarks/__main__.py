"""Run all benchmarks: ``python -m benchmarks [--json]``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform

import tornado

from . import fanout


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print JSON only")
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--rate", type=int, default=50, help="events per second")
    parser.add_argument("--seconds", type=float, default=5)
    arguments = parser.parse_args()
    machine = {
        "python": platform.python_version(),
        "tornado": tornado.version,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    result = asyncio.run(
        fanout.compare(viewers=arguments.viewers, rate=arguments.rate, seconds=arguments.seconds)
    )
    if arguments.json:
        print(json.dumps({"machine": machine, "fanout": result}))
        return
    print(f"{machine['system']}, {machine['cores']} cores, Python {machine['python']}, ", end="")
    print(f"Tornado {machine['tornado']}")
    print(fanout.table(result))


if __name__ == "__main__":
    main()
