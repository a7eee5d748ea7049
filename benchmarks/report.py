"""Keeps what was measured: as JSON, as a page of tables, and as a plot."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from . import targets
from .plot import draw
from .servers import nchan

RESULTS = Path(__file__).parent / "results"

_BUSY = os.getloadavg()[0]
"""How many programs wanted to run when this one began: what measures should be alone."""

_PACKAGES = ["binderprogress", "tornado", "msgspec", "sse-starlette", "starlette", "uvicorn"]
_PACKAGES += ["uvloop", "jupyterhub"]


def machine() -> dict[str, Any]:
    """Describe where this runs, without its name."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "load_before": round(_BUSY, 1),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of all that is measured."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    if nchan.module():
        said = subprocess.run([nchan.nginx(), "-v"], capture_output=True, text=True, check=True)
        found["nginx"] = said.stderr.strip().rpartition("/")[2]
        found |= _debian("libnginx-mod-nchan", "nchan")
    return found


def _debian(package: str, name: str) -> dict[str, str]:
    if shutil.which("dpkg-query") is None:
        return {}
    argv = ["dpkg-query", "--show", "--showformat=${Version}", package]
    said = subprocess.run(argv, capture_output=True, text=True, check=False)
    return {name: said.stdout} if said.returncode == 0 else {}


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.processor()


def save(
    results: Mapping[str, Any], tables: Mapping[str, Callable[[Any], str]], folder: Path = RESULTS
) -> None:
    """Keep results, beside those of other benchmarks that are there from before."""
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / "latest.json"
    before = json.loads(path.read_text())["results"] if path.exists() else {}
    kept = {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "machine": machine(),
        "versions": versions(),
        "results": {**before, **results},
    }
    path.write_text(json.dumps(kept, indent=1) + "\n")
    (folder / "latest.md").write_text(page(kept, tables))
    draw(kept["results"], folder / "latest.svg")


def page(kept: Mapping[str, Any], tables: Mapping[str, Callable[[Any], str]]) -> str:
    """Write all that is kept for people, in Markdown."""
    on = kept["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in kept["versions"].items())
    where = f"{on['processor']}, {on['cores']} cores, {on['memory_gib']} GiB, {on['system']}"
    where += f", load average {on['load_before']} before"
    parts = [
        f"{kept['date']}; {where}; {versions}.\n",
        targets.table(kept["results"]),
    ]
    parts += [_shown(tables[name](result)) for name, result in kept["results"].items()]
    return "\n".join(parts)


def _shown(table: str) -> str:
    """Return a table as Markdown shows it; the older ones are plain text."""
    head, _, rest = table.partition("\n")
    body = rest if "|---" in rest else f"\n```text\n{rest.rstrip()}\n```\n"
    return f"**{head}**\n{body}"
