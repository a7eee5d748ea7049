"""Records real launches: ``python -m benchmarks.record FOLDER [--engine podman] [--only NAME …]``.

A server with a JupyterHub of its own launches repositories that are made for it
(`benchmarks.repositories`): cold, warm, with new commits, and some that cannot come up. Every raw
record of its builder and its Hub is written down with its time, one file a launch: those to learn
from below ``train``, later ones below ``test``. With ``--demo`` it is the demo's examples instead,
each twice in a row, with nothing there before.

It is for a machine that has nothing else to do.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal

import psutil
from traitlets.config import Config

from binderprogress.backends.base import BuildResult, LaunchRequest
from binderprogress.cli.demo import examples
from binderprogress.core.log.reader import Normalizer, Record
from binderprogress.core.specs import Spec, from_address
from binderprogress.core.timing.estimator import FRESH
from binderprogress.deploy.standalone import Standalone
from binderprogress.launches import Caller, Launch
from tests.podman.podman_support import BASE_IMAGE, Podman, base_tar

from .repositories import GOOD, LOCAL, PODMAN, change, commit_of, spec_of
from .traces import Header, Line, Trace, write

__all__ = ["main", "record"]

Engine = Literal["local", "podman"]


class Tape:
    """Passes the records of a builder and a spawner on, and writes them down."""

    def __init__(self) -> None:
        self.began = 0.0
        self.lines: list[Line] = []

    def start(self) -> None:
        """Begin a new launch."""
        self.began, self.lines = time.monotonic(), []

    def build(self, source: Callable[[Any], AsyncGenerator[Any, None]]) -> Callable[[Any], Any]:
        """Return the builder's `build` with this tape beside it; it begins the launch's time."""
        taped = self.on(source)

        async def build(target: Any) -> AsyncGenerator[Any, None]:
            # The bar begins here: what was before is the ref's way to a commit.
            self.start()
            async with aclosing(taped(target)) as items:
                async for item in items:
                    if isinstance(item, BuildResult):
                        self.write("repo2docker", {"phase": "built"})
                    yield item

        return build

    def on(self, source: Callable[[Any], AsyncGenerator[Any, None]]) -> Callable[[Any], Any]:
        """Return the source with this tape beside it."""

        async def taped(argument: Any) -> AsyncGenerator[Any, None]:
            async with aclosing(source(argument)) as items:
                async for item in items:
                    if isinstance(item, Record):
                        self.write(item.source, item.raw)
                    yield item

        return taped

    def write(self, source: Any, record: Any) -> None:
        """Write a record down, as of now."""
        self.lines.append(Line(round(time.monotonic() - self.began, 3), source, record))


class Recorder:
    """A server whose launches are written down.

    Parameters
    ----------
    engine : str
    work : Path
        A folder that is there, and empty.
    """

    def __init__(self, engine: Engine, work: Path) -> None:
        self._engine: Engine = engine
        self._work = work
        config = Config()
        for builder in ("LocalBuilder", "Repo2dockerBuilder"):
            config[builder].local_folders = [str(work)]
        config.LocalBuilder.environments = str(work / "environments")
        # A start that failed is tried once: a trace is of one attempt.
        config.HubLauncher.attempts = 1
        config.Standalone.port = 0
        config.Standalone.engine = engine
        config.Standalone.hub_config = {
            # As the tests have it: containers may have no network of their own here.
            "ContainerSpawner": {"host_network": True, "http_timeout": 20},
        }
        config.History.url = ""
        self._standalone = Standalone(config=config)
        self._tape = Tape()
        builder, spawner = self._standalone.builder, self._standalone.spawner
        builder.build = self._tape.build(builder.build)
        spawner.spawn = self._tape.on(self._asked(spawner.spawn))
        self._requests: list[LaunchRequest] = []

    async def __aenter__(self) -> Recorder:
        await self._standalone.start()
        if self._standalone.hub is not None:
            await self._standalone.hub.available()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._standalone.stop()

    async def launch(self, title: str, spec: Spec, commit: str) -> Trace:
        """Launch it, stop its server, and return the trace."""
        self._tape.start()
        psutil.cpu_percent()
        began = round(time.time(), 3)
        launches = self._standalone.launches
        launch = await launches.start(spec, Caller(base_url=self._standalone.url))
        await _over(launch)
        last = launch.last
        if last.phase == "failed":
            self._tape.write("repo2docker", {"phase": "failed", "message": last.message})
        busy = psutil.cpu_percent()
        how = " ".join(filter(None, (str(last.phase), last.reason)))
        # More than one launch can make busy, and the machine was not quiet.
        print(f"{title}: {how} after {last.elapsed:.1f} s, processors {busy} % busy", flush=True)
        header = Header(
            spec=f"git/{title}/HEAD",
            commit=commit,
            began=began,
            engine=self._engine,
        )
        await self._stop_servers()
        return Trace(header, _slim(_without_places(self._tape.lines, str(self._work))))

    def _asked(self, spawn: Callable[[Any], AsyncGenerator[Any, None]]) -> Callable[[Any], Any]:
        def asked(request: LaunchRequest) -> AsyncGenerator[Any, None]:
            self._requests.append(request)
            return spawn(request)

        return asked

    async def _stop_servers(self) -> None:
        """Stop what was launched: the next one is to have the machine for itself."""
        for request in self._requests:
            await self._standalone.spawner.stop(request)
        self._requests.clear()


async def record(
    folder: Path, *, engine: Engine, names: Sequence[str], launches: int
) -> list[Path]:
    """Record launches of repositories, one after the other, and return the files."""
    known = PODMAN if engine == "podman" else LOCAL
    made = []
    with _work(engine) as work:
        async with Recorder(engine, work) as recorder:
            for title in names or known:
                repository = known[title]
                part, at = "train", work / "repositories" / title
                for number, letter in enumerate(repository.launches.changes[:launches]):
                    if letter == "|":
                        part = "test"
                        continue
                    change(at, repository, letter, number)
                    spec = spec_of(at, repository.launches)
                    trace = await recorder.launch(title, spec, commit_of(at)[:12])
                    if repository.launches is GOOD and not trace.ready:
                        # As when another program has taken its port.
                        trace = await recorder.launch(title, spec, commit_of(at)[:12])
                    path = folder / part / f"{engine}-{title}-{number:02d}.jsonl"
                    write(trace, path)
                    made.append(path)
    return made


async def record_demo(folder: Path, run: int) -> list[Path]:
    """Record the demo's examples, each twice in a row, and return the files."""
    made = []
    with _work("local") as work:
        repositories = work / "repositories"
        repositories.mkdir()
        entries = await examples(repositories)
        async with Recorder("local", work) as recorder:
            for entry in entries:
                for number in range(2):
                    spec = from_address(entry["repo"], "")
                    trace = await recorder.launch(entry["slug"], spec, "1")
                    path = folder / f"{run}-{entry['slug']}-{number}.jsonl"
                    write(trace, path)
                    made.append(path)
    return made


@contextlib.contextmanager
def _work(engine: Engine) -> Iterator[Path]:
    """Give a folder for one server; with podman, a podman of its own that has the base image."""
    # Not too deep: the path of a socket must be short.
    if engine == "local":
        with tempfile.TemporaryDirectory(prefix="binderprogress-record-") as name:
            yield Path(name)
        return
    work = Path(tempfile.mkdtemp(prefix="binderprogress-record-"))
    podman = Podman(work)
    before = {name: os.environ.get(name) for name in podman.env}
    os.environ.update(podman.env)
    try:
        podman.run("import", "--quiet", str(base_tar()), BASE_IMAGE, timeout=120)
        yield work
    finally:
        podman.close()
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


async def _over(launch: Launch) -> None:
    """Watch a launch to its end."""
    changed = asyncio.Event()
    launch.changed.add(changed.set)
    launch.join()
    while not launch.closed:
        changed.clear()
        await changed.wait()
    launch.leave()
    launch.changed.remove(changed.set)


def _slim(lines: list[Line]) -> list[Line]:
    """Leave out what a replay does not need: what says nothing new, soon after what came before.

    For so long an estimate holds anyway.
    """
    kept: list[Line] = []
    normalizer, phase = Normalizer(), None
    for line in lines:
        note = normalizer.read(line.as_record())
        news = note is not None and (note.step is not None or note.phase not in {None, phase})
        phase = note.phase or phase if note is not None else phase
        if news or isinstance(line.record, dict) or not kept or line.t - kept[-1].t > FRESH:
            kept.append(line)
    return kept


_USER = re.compile(r"/user/[^ /]+/")


def _without_places(lines: list[Line], work: str) -> list[Line]:
    """Leave out what is of this machine and this run only."""
    for line in lines:
        if isinstance(line.record, dict):
            message = _plain(str(line.record.get("message", "")), work)
            wanted = ("phase", "progress", "ready", "failed")
            fields = {name: line.record[name] for name in wanted if name in line.record}
            line.record = {**fields, "message": message}
        else:
            line.record = _plain(line.record, work)
    return lines


def _plain(text: str, work: str) -> str:
    text = text.replace(work, "/srv").replace(sys.prefix, "/usr")
    return _USER.sub("/user/ada/", text)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.record", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the traces are written")
    parser.add_argument("--engine", choices=["local", "podman"], default="local")
    parser.add_argument("--only", nargs="*", default=[], help="names of repositories")
    parser.add_argument("--launches", type=int, default=20, help="at most so many of each")
    parser.add_argument("--demo", type=int, metavar="RUNS", help="the demo's examples instead")
    args = parser.parse_args()
    if unknown := set(args.only) - set(PODMAN if args.engine == "podman" else LOCAL):
        parser.error(f"there is no repository {', '.join(sorted(unknown))}")
    if args.demo:
        for run in range(args.demo):
            asyncio.run(record_demo(args.folder, run))
        return
    asyncio.run(record(args.folder, engine=args.engine, names=args.only, launches=args.launches))


if __name__ == "__main__":
    main()
