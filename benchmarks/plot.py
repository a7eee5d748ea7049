"""Draws the main results: small, and readable on a light and on a dark page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK = "#777777"
"""As far from white as from black."""
_COLOURS = {
    "binderprogress": "#e66581",
    "sqlite": "#b03060",
    "nchan": "#4a90d9",
    "tornado": "#8a8a8a",
    "sse-starlette": "#b0a060",
}
_LABELS = {"sqlite": "the same, in SQLite", "tornado": "as JupyterHub's"}


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw what is there of fan-out, latency and memory into an SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    panels = _panels(results)
    if not panels:
        return
    style = {
        "svg.fonttype": "none",  # text stays text: small, and found by a search
        "svg.hashsalt": "binderprogress",
        "font.family": "sans-serif",
        "font.size": 9,
        **{f"{name}.color": _INK for name in ("text", "xtick", "ytick")},
        "axes.labelcolor": _INK,
        "axes.edgecolor": _INK,
    }
    with pyplot.rc_context(style):
        figure, axes = pyplot.subplots(
            1, len(panels), figsize=(3.2 * len(panels), 2.4), layout="constrained", squeeze=False
        )
        for axis, (title, values) in zip(axes[0], panels.items(), strict=True):
            _bars(axis, title, values)
        figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)


def _panels(results: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return by title what is drawn of each server."""
    panels: dict[str, dict[str, float]] = {}
    fanout = results.get("fanout", {"rates": {}})
    for rate, rows in fanout["rates"].items():
        title = f"CPU per event, µs\n{fanout['viewers']} viewers, {rate} events/s"
        panels[title] = {name: row["cpu_us_per_event"] for name, row in rows.items()}
    if "idle" in results:
        servers = results["idle"]["servers"]
        viewers = next(iter(servers.values()))[0]["viewers"]
        panels[f"Memory per idle viewer, KiB\n{viewers:,} viewers"] = {
            name: rows[0]["bytes_per_viewer"]["rss"] / 1024 for name, rows in servers.items()
        }
    return panels


def _bars(axis: Axes, title: str, values: dict[str, float]) -> None:
    names = sorted(values, key=lambda name: list(_COLOURS).index(name), reverse=True)
    bars = axis.barh(
        [_LABELS.get(name, name) for name in names],
        [values[name] for name in names],
        color=[_COLOURS[name] for name in names],
    )
    axis.bar_label(bars, fmt="%.1f", padding=3)
    axis.set_title(title, fontsize=9)
    axis.margins(x=0.2)
    axis.spines[["top", "right", "bottom"]].set_visible(False)
    axis.set_xticks([])
