"""What the benchmarks must show, and whether they do."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from . import launch
from .many import ratio


class Target(NamedTuple):
    """One thing that is wanted.

    Attributes
    ----------
    what : str
    wanted : str
        With its sign in front: "≤ 1.2".
    measured : float or None
        None: nothing of it was measured, or not with that load.
    unit : str
    """

    what: str
    wanted: str
    measured: float | None
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """Whether it is so; None if nobody knows."""
        if self.measured is None:
            return None
        sign, number = self.wanted.split()
        compare = {"≤": operator.le, "<": operator.lt, "≥": operator.ge, "=": operator.eq}[sign]
        return bool(compare(self.measured, float(number.replace(",", ""))))


def targets(results: dict[str, Any]) -> list[Target]:
    """Return all targets with what was measured."""
    return [Target(what, wanted, _get(results, get), unit) for what, wanted, get, unit in _all()]


def _get(results: dict[str, Any], get: Callable[[dict[str, Any]], float]) -> float | None:
    try:
        return get(results)
    except LookupError:
        return None


def _all() -> Iterator[tuple[str, str, Callable[[dict[str, Any]], float], str]]:
    for rate, most, least in (("50", "1.2", "4"), ("200", "1.0", "7")):
        yield (
            f"{rate} events/s, 500 viewers: CPU per event, to nchan's",
            f"≤ {most}",
            lambda r, rate=rate: 1 / _fanout(r, rate, "nchan"),
            "×",
        )
        yield (
            f"{rate} events/s, 500 viewers: CPU per event of a handler like the Hub's, to ours",
            f"≥ {least}",
            lambda r, rate=rate: _fanout(r, rate, "tornado"),
            "×",
        )
    yield (
        "5,000 idle viewers: resident memory of each",
        "≤ 8",
        lambda r: _idle(r, 5000)["bytes_per_viewer"]["rss"] / 1024,
        "KiB",
    )
    yield "10,000 connect within", "≤ 20", lambda r: _idle(r, 10_000)["connect_seconds"], "s"
    yield "1,000 launches, 10 events/s each: lost", "= 0", lambda r: _many(r)["lost"], ""
    yield "1,000 launches: p99 from source to viewer", "≤ 100", lambda r: _many(r)["p99_ms"], "ms"
    yield (
        "1,000 launches: CPU per event, to that of JupyterHub's own handler",
        "≤ 0.8",
        lambda r: ratio(_same(r["many"], launches=1000, rate=10), "binderprogress"),
        "×",
    )
    yield (
        "200 events/s, 500 viewers: CPU per event with SQLite, to memory's",
        "≤ 1.15",
        lambda r: _fanout(r, "200", "sqlite"),
        "×",
    )
    yield (
        "A line to an event in SQLite: CPU",
        "≤ 25",
        lambda r: float(r["store"]["stores"]["sqlite"]["line_us"]),
        "µs",
    )
    yield (
        "PostgreSQL, 10,000 events/s: p99 from source to a viewer at the other server",
        "≤ 100",
        lambda r: float(r["replicas"]["rates"]["10000"]["p99_ms"]),
        "ms",
    )
    yield (
        "50 launches, 500 viewers that come and go, 10 minutes: memory grows by",
        "< 1",
        lambda r: float(
            _same(r["memory"], launches=50, viewers=500, minutes=10)["slope_mib_per_minute"]
        ),
        "MiB/min",
    )
    yield (
        "100 late joiners to 50,000 lines: complete",
        "= 100",
        lambda r: _late(r)["binderprogress"]["complete"],
        "",
    )
    yield (
        "… bytes per CPU second, to a static file's",
        "≥ 0.5",
        lambda r: _late(r)["ratio"],
        "×",
    )
    yield (
        "… p99 of live viewers meanwhile",
        "< 100",
        lambda r: _late(r)["binderprogress"]["live"]["p99_ms"],
        "ms",
    )
    yield "In front of a BinderHub: added p99", "≤ 5", lambda r: r["proxy"]["added"]["p99_ms"], "ms"
    yield (
        "binderprogress --version",
        "≤ 150",
        lambda r: r["startup"]["ways"]["binderprogress --version"]["seconds"] * 1e3,
        "ms",
    )
    warm, another = "launch, warm, to ready", "launch, another notebook, to ready"
    for name, peer, most in (
        (warm, "jupyter lab", "1.0"),
        ("launch, cold, to built", "uv by hand", "1.15"),
        (another, warm, "1.1"),
    ):
        yield (
            f"{name}: beside {peer}",
            f"≤ {most}",
            lambda r, name=name, peer=peer: launch.ratio(r["launch"], name, peer),
            "×",
        )
    for way in ("serve, in front of a BinderHub", "serve, with a JupyterHub"):
        yield (
            f"{way}: answers within",
            "≤ 1000",
            lambda r, way=way: r["startup"]["ways"][way]["seconds"] * 1e3,
            "ms",
        )


def _fanout(results: dict[str, Any], rate: str, peer: str) -> float:
    """Return how many times ours a peer's CPU is."""
    found = results["fanout"]
    return float(_same(found, viewers=500)["rates"][rate][peer]["cpu_to_ours"])


def _idle(results: dict[str, Any], viewers: int) -> dict[str, Any]:
    rows = results["idle"]["servers"]["binderprogress"]
    return {row["viewers"]: dict(row) for row in rows}[viewers]


def _many(results: dict[str, Any]) -> dict[str, Any]:
    return dict(_same(results["many"], launches=1000, rate=10)["servers"]["binderprogress"])


def _late(results: dict[str, Any]) -> dict[str, Any]:
    return _same(results["late"], joiners=100, lines=50_000)


def _same(result: dict[str, Any], **load: float) -> dict[str, Any]:
    """Return a result if it was measured with this load: with another it says nothing of it."""
    if any(result[name] != value for name, value in load.items()):
        raise LookupError
    return result


def table(results: dict[str, Any]) -> str:
    """Write them for people."""
    lines = ["|wanted| |measured|met|", "|---|---:|---:|---|"]
    for target in targets(results):
        unit = f" {target.unit}" if target.unit else ""
        measured = "not measured"
        if target.measured is not None:
            digits = 0 if target.measured >= 100 else 2
            measured = f"{target.measured:,.{digits}f}".removesuffix(".00") + unit
        met = {True: "yes", False: "no", None: ""}[target.met]
        lines.append(f"| {target.what} | {target.wanted}{unit} | {measured} | {met} |")
    return "\n".join(lines) + "\n"
