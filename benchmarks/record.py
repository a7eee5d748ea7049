"""Records real launches: ``python -m benchmarks.record FOLDER``.

A server with the engine ``local`` and a JupyterHub of its own launches repositories that are made
for it: with few and many requirements, cold and warm, new commits, and some that cannot be built.
Every raw record of its builder and its Hub is written down with its time, one file a launch.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from binderprogress.launches.viewer import Viewer
from traitlets.config import Config

from binderprogress.core.specs import Spec, from_address
from binderprogress.ext.standalone import Standalone
from binderprogress.launches.launch import Caller
from binderprogress.sources.base import Record

from .traces import Header, Line, Trace, write

__all__ = ["main", "record"]

REPOSITORIES = {
    "plain": ["humanize"],
    "tables": ["pandas"],
    "pictures": ["matplotlib"],
    "science": ["scipy", "sympy"],
    "widgets": ["ipywidgets", "bqplot"],
    "web": ["aiohttp", "beautifulsoup4", "requests"],
    "unsatisfiable": ["humanize==99"],
}
"""Names of repositories, and what they require."""

COMMITS = 2
"""New commits of each, and so cold launches."""

WARM = 4
"""Launches of each commit after the first."""

_GIT = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org"]


class Tape:
    """Passes the records of a source on, and writes them down."""

    def __init__(self) -> None:
        self.began = 0.0
        self.lines: list[Line] = []

    def start(self) -> None:
        """Begin a new launch."""
        self.began, self.lines = time.monotonic(), []

    def on(self, source: Callable[[Any], AsyncGenerator[Any, None]]) -> Callable[[Any], Any]:
        """Return the source with this tape beside it."""

        async def taped(argument: Any) -> AsyncGenerator[Any, None]:
            async with aclosing(source(argument)) as items:
                async for item in items:
                    if isinstance(item, Record):
                        at = round(time.monotonic() - self.began, 3)
                        self.lines.append(Line(at, item.source, item.raw))
                    yield item

        return taped


async def record(folder: Path, *, commits: int = COMMITS, warm: int = WARM) -> list[Path]:
    """Record launches, one after the other, and return the files."""
    made: list[Path] = []
    with tempfile.TemporaryDirectory(prefix="binderprogress-record-") as name:
        work = Path(name)
        config = Config()
        config.LocalBuilder.local_folders = [name]
        config.LocalBuilder.environments = str(work / "environments")
        config.Standalone.port = 0
        standalone = Standalone(config=config)
        tape = Tape()
        for part, method in ((standalone.builder, "build"), (standalone.spawner, "spawn")):
            setattr(part, method, tape.on(getattr(part, method)))
        await standalone.start()
        try:
            for number in range(commits):
                for title, requirements in REPOSITORIES.items():
                    spec = _commit(work / title, requirements, number)
                    for count in range(1 + warm):
                        trace = await _launch(standalone, tape, title, spec, number, work=name)
                        path = folder / f"local-{title}-{number}-{count}.jsonl"
                        write(trace, path)
                        made.append(path)
        finally:
            await standalone.stop()
    return made


async def _launch(
    standalone: Standalone, tape: Tape, title: str, spec: Spec, number: int, *, work: str
) -> Trace:
    tape.start()
    began = time.time()
    launch = standalone.launches.start(spec, Caller(base_url=standalone.url))
    with Viewer(launch, after=0) as viewer:
        while not viewer.done:
            if not viewer.read():
                await viewer.wait(10)
    print(f"{title}: {launch.last.phase} after {time.time() - began:.1f} s", flush=True)
    header = Header(
        spec=f"git/{title}/HEAD", commit=str(number), began=round(began, 3), engine="local"
    )
    return Trace(header, _without_places(tape.lines, work))


def _without_places(lines: list[Line], work: str) -> list[Line]:
    """Leave out what is of this machine and this run only."""
    for line in lines:
        if isinstance(line.record, dict):
            line.record.pop("url", None)
            line.record.pop("html_message", None)
        else:
            line.record = line.record.replace(work, "/srv").replace(sys.prefix, "/usr")
    return lines


def _commit(folder: Path, requirements: list[str], number: int) -> Spec:
    if not folder.exists():
        folder.mkdir()
        _git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "README.md").write_text(f"# Commit {number}\n")
    (folder / "requirements.txt").write_text("\n".join(requirements) + "\n")
    _git(folder, "add", "--all")
    _git(folder, "commit", "--quiet", "--message", f"Commit {number}")
    return from_address(folder.as_uri(), "")


def _git(folder: Path, *arguments: str) -> None:
    nothing = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    subprocess.run([*_GIT, *arguments], cwd=folder, check=True, env={**os.environ, **nothing})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.record", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the traces are written")
    args = parser.parse_args()
    asyncio.run(record(args.folder))


if __name__ == "__main__":
    main()
