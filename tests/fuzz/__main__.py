"""``python -m tests.fuzz [TARGET …] [--seconds 60]``: run targets under atheris."""

from __future__ import annotations

import argparse
import heapq
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
FOUND = HERE / "found"
MOST = 0.005
_SLOWEST = 20
# Of real seconds; where others have the processor, an input may wait for long.
_GIVE_UP = 100
_stopped: list[bool] = []
_children: set[subprocess.Popen[str]] = set()


def main() -> int:
    """Run what the command line names; 1 if something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all, unless some are named")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--jobs", type=int, default=2, help="targets at a time (default: 2)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--keep", action="store_true", help="add small inputs that reach more to the corpus"
    )
    arguments = parser.parse_args()
    if arguments.one:
        return _fuzz(arguments.one, arguments.folder, arguments.seconds)
    from .targets import TARGETS

    if unknown := set(arguments.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    try:
        import atheris  # noqa: F401 - whether it is there
    except ImportError:
        # It has no wheels for some systems and versions of Python.
        print("Fuzzing is left out: atheris is not installed.")
        return 0
    signal.signal(signal.SIGTERM, _stop)
    names = arguments.targets or list(TARGETS)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.jobs) as pool:
        found = pool.map(lambda name: _supervise(name, Path(folder) / name, arguments), names)
        return max(found)


def _supervise(name: str, folder: Path, arguments: argparse.Namespace) -> int:
    """Fuzz one target in a process of its own, and say how it went."""
    if _stopped:
        return 1
    (folder / "corpus").mkdir(parents=True)
    command = [sys.executable, "-m", "tests.fuzz", "--one", name, "--folder", str(folder)]
    process = subprocess.Popen(
        [*command, "--seconds", str(arguments.seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    _children.add(process)
    try:
        output, _ = process.communicate(timeout=arguments.seconds + 2 * _GIVE_UP)
    finally:
        process.kill()
        process.wait()
        _children.discard(process)
    if _stopped:
        return 1
    slow = _too_slow(name, folder)
    crashes = [*folder.glob("crash-*"), *folder.glob("timeout-*"), *folder.glob("oom-*")]
    for path in [*crashes, *([slow[1]] if slow[0] > MOST else [])]:
        FOUND.mkdir(exist_ok=True)
        shutil.copy(path, FOUND / f"{name}-{path.name}")
    runs = re.search(r"number_of_executed_units: (\d+)", output)
    print(f"{name}: {runs[1] if runs else 'no'} inputs, the slowest {slow[0] * 1000:.2f} ms")
    failed = bool(crashes) or slow[0] > MOST or process.returncode != 0 or runs is None
    if failed:
        print(output[-4000:])
        print(f"{name}: what was found is in {FOUND}")
    elif arguments.keep:
        _keep(name, folder)
    return int(failed)


def _stop(*_: object) -> None:
    """End what runs: the tests that this ran beside have failed, or were interrupted."""
    _stopped.append(True)
    for process in list(_children):
        process.kill()


def _fuzz(name: str, folder: Path, seconds: int) -> int:
    """Fuzz until the time is over; the slowest inputs are written down."""
    import atheris

    with atheris.instrument_imports(include=["binderprogress.core"]):
        from .targets import LONGEST, TARGETS
    target = TARGETS[name]
    slowest: list[tuple[float, int, bytes]] = []
    count = 0

    def once(data: bytes) -> None:
        nonlocal count
        count += 1
        began = time.thread_time()
        target(data)
        taken = time.thread_time() - began
        if len(slowest) < _SLOWEST or taken > slowest[0][0]:
            place = heapq.heappush if len(slowest) < _SLOWEST else heapq.heappushpop
            place(slowest, (taken, count, data))
            # libFuzzer ends the process itself.
            if len(slowest) == _SLOWEST:
                path = folder / f"slow-{heapq.nlargest(1, slowest)[0][1]}"
                path.write_bytes(heapq.nlargest(1, slowest)[0][2])

    seeds = CORPUS / name
    seeds.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST}",
        f"-timeout={_GIVE_UP}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
        "-rss_limit_mb=2048",
        "-verbosity=0",
        "-close_fd_mask=0",
    ]
    dictionary = HERE / f"{name}.dict"
    if dictionary.exists():
        options.append(f"-dict={dictionary}")
    atheris.Setup([sys.argv[0], *options, str(folder / "corpus"), str(seeds)], once)
    atheris.Fuzz()
    return 0


def _too_slow(name: str, folder: Path) -> tuple[float, Path]:
    """Return the longest CPU time of those that took long, without atheris in between."""
    from .targets import TARGETS

    worst = (0.0, folder)
    for path in folder.glob("slow-*"):
        data, best = path.read_bytes(), float("inf")
        for _ in range(50):
            began = time.thread_time()
            TARGETS[name](data)
            best = min(best, time.thread_time() - began)
            if best < MOST / 2:
                break
        worst = max(worst, (best, path))
    return worst


def _keep(name: str, folder: Path) -> None:
    """Keep the smallest of the inputs that reached something new, in the repository's corpus."""
    new = sorted((folder / "corpus").iterdir(), key=lambda path: path.stat().st_size)
    for path in new[:40]:
        if path.stat().st_size <= 256:
            shutil.copy(path, CORPUS / name / path.name[:12])


if __name__ == "__main__":
    sys.exit(main())
