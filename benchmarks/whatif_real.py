"""What `whatif --find standby` answers, and what a real server does with that many.

First, launches with and without a server that stands ready are timed, on an idle server. With these
times, a class is simulated, and the number of standing servers is searched with which 80 % of it is
ready within a second. Then a class launches on real servers with that many, and with half of them.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from binderprogress.whatif.classes import Described
from binderprogress.whatif.outcome import simulate
from binderprogress.whatif.policy import Policy, changed, read_policy
from binderprogress.whatif.report import Goal
from binderprogress.whatif.search import find

from .standby import Bench

__all__ = ["compare", "table"]

_LESSON = 10 * 3600.0
"""When the class begins, in seconds of the simulated week."""


def compare(
    *,
    students: int = 20,
    seconds: float = 30.0,
    within: float = 1.0,
    packages: list[str] | None = None,
) -> dict[str, Any]:
    """Compare what is predicted with what happens.

    Parameters
    ----------
    students : int
    seconds : float
        In which all of them launch.
    within : float
        Seconds of the goal.
    packages : list of str, optional
        The base packages of environments; by default as usual.
    """
    with tempfile.TemporaryDirectory(prefix="binderprogress-whatif-") as folder:
        return asyncio.run(_compare(Path(folder), students, seconds, within, packages or []))


async def _compare(
    folder: Path, students: int, seconds: float, within: float, packages: list[str]
) -> dict[str, Any]:
    handed_over, started = await _times(_bench(folder / "times", 1, packages))
    policy = _policy(students, seconds, handed_over, started)
    source = Described(policy)
    answer = find(source, policy, "standby", Goal(0.8, within), runs=20, seed=1, most=students)
    enough = students if answer.value is None else answer.value
    requests = source.draw(Random("the real class")).requests  # noqa: S311 - no secret
    times = [request.time - _LESSON for request in requests]
    found = []
    for number in dict.fromkeys((enough, max(enough // 2, 1))):
        standing = changed(policy, f"standby={number}", name="")
        predicted = simulate(source, standing, runs=50, seed=1)
        took = await _class(_bench(folder / str(number), number, packages), times)
        found.append(
            {
                "standing": number,
                "predicted": next(p.share for p in predicted.within if p.seconds == within),
                "p50_s": predicted.p50.middle,
                "real": sum(each <= within for each in took) / len(took),
                "real_p50_s": median(took),
            }
        )
    return {
        "students": students,
        "seconds": seconds,
        "within": within,
        "handed_over_s": handed_over,
        "started_s": started,
        "enough": answer.value,
        "found": found,
    }


def _bench(folder: Path, standing: int, packages: list[str]) -> Bench:
    folder.mkdir()
    return Bench(folder, standing=standing, packages=packages)


def _policy(students: int, seconds: float, handed_over: float, started: float) -> Policy:
    values = {
        # One machine with room for all.
        "nodes": {"least": 1, "most": 1, "memory_gb": 1000},
        "launches": {
            "check_seconds": handed_over / 2,
            "handover_seconds": handed_over / 2,
            "start_seconds": max(started - handed_over / 2, 0.1),
            "image_gb": 0.001,
        },
        "classes": [{"students": students, "days": ["Monday"], "within_minutes": seconds / 60}],
    }
    return read_policy(values, name="the class")


async def _times(bench: Bench) -> tuple[float, float]:
    """Return the seconds of a launch with a server that stands ready, and without one."""
    took: dict[str, list[float]] = {bench.ahead: [], bench.usual: []}
    async with bench.running():
        # The first of each reads everything from the disk.
        for _ in range(4):
            for address, values in took.items():
                await bench.full()
                seconds, event = await bench.launch(address)
                values.append(seconds)
                await bench.use(event)
    return median(took[bench.ahead][1:]), median(took[bench.usual][1:])


async def _class(bench: Bench, times: list[float]) -> list[float]:
    """Launch at these times. Return the seconds that each launch took."""

    async def launch(after: float) -> float:
        await asyncio.sleep(after)
        return (await bench.launch(bench.ahead))[0]

    async with bench.running():
        await bench.full()
        return list(await asyncio.gather(*map(launch, times)))


def table(result: dict[str, Any]) -> str:
    """Lay out what was predicted and measured."""
    within, enough = result["within"], result["enough"]
    answer = "no number of standing servers is" if enough is None else f"{enough} are"
    lines = [
        "whatif-real: {students} launches within {seconds:g} s. One takes {handed_over_s:.2f} s "
        "with a standing server, {started_s:.2f} s without".format(**result),
        f"simulated: {answer} enough for 80 % within {within:g} s",
        f"{'standing':>10}{'predicted':>26}{'real':>8}{'median':>10}{'real':>8}",
    ]
    for each in result["found"]:
        share = each["predicted"]
        ranged = f"{share.middle:.0%} ({share.low:.0%} to {share.high:.0%})"
        lines.append(
            f"{each['standing']:10}{ranged:>26}{each['real']:8.0%}"
            f"{each['p50_s']:8.2f} s{each['real_p50_s']:6.2f} s"
        )
    return "\n".join(lines)
