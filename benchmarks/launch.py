"""Launching one repository on this machine, beside doing the same by hand.

Warm: `binderprogress launch`, to `ready` and to its end, beside `jupyter lab` of the same
environment. Cold: its build, beside `uv venv` and `uv pip install` of the same packages. By hand,
nothing is fetched, and there is no pip in the environment. A commit that changes only a notebook is
launched, too. All have the same cache of packages and take turns.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from uv import find_uv_bin

from binderprogress.backends.local.builder import LocalBuilder
from tests.support.repositories import commit, repository

_PROGRAM = str(Path(sys.executable).with_name("binderprogress"))
_FILES = {"requirements.txt": "numpy\n", "index.ipynb": "{}"}


class _Bench:
    """A repository, and the environments that are made of it, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.environments = folder / "environments"
        self.home = folder / "home"
        self.home.mkdir()
        self.repository = repository(folder / "penguins", _FILES)
        self._number = 0

    def launch(self, *options: str, program: str = _PROGRAM) -> dict[str, float]:
        """Launch, and return the seconds to each phase, and to the `end` of the command."""
        environments = f"--LocalBuilder.environments={self.environments}"
        argv = [program, "launch", str(self.repository), "--json", environments, *options]
        began = time.monotonic()
        reached: dict[str, float] = {}
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                reached.setdefault(json.loads(line)["phase"], time.monotonic() - began)
        if process.returncode:
            raise RuntimeError(f"The launch ended with {process.returncode}.")
        return {**reached, "end": time.monotonic() - began}

    def jupyter_lab(self) -> float:
        """Return the seconds until JupyterLab of the same environment answers with 200."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        venv = next(self.environments.glob("*/venv")).resolve()
        argv = [str(venv / "bin" / "jupyter"), "lab", "--no-browser", f"--port={port}"]
        env = {"HOME": str(self.home), "PATH": f"{venv / 'bin'}{os.pathsep}{os.defpath}"}
        if os.geteuid() == 0:
            argv.append("--allow-root")
        began = time.monotonic()
        with subprocess.Popen(argv, cwd=self.home, env=env, stderr=subprocess.DEVNULL) as process:
            try:
                while not _answers(port):
                    if process.poll() is not None:
                        raise RuntimeError(f"JupyterLab ended with {process.returncode}.")
                    time.sleep(0.005)
                return time.monotonic() - began
            finally:
                process.kill()

    def by_hand(self) -> float:
        """Return the seconds that uv takes for a new environment with the same packages."""
        packages = LocalBuilder().base_packages
        with tempfile.TemporaryDirectory(dir=self.home) as folder:
            began = time.monotonic()
            uv = [find_uv_bin(), "--quiet"]
            subprocess.run([*uv, "venv", "--python", sys.executable, f"{folder}/venv"], check=True)
            requirements = ["--requirements", str(self.repository / "requirements.txt")]
            install = [*uv, "pip", "install", "--python", f"{folder}/venv"]
            subprocess.run([*install, *packages, *requirements], check=True)
            return time.monotonic() - began

    def cold(self, program: str = _PROGRAM) -> dict[str, float]:
        """Launch without an environment, and return the seconds to each phase."""
        shutil.rmtree(self.environments, ignore_errors=True)
        return self.launch(program=program)

    def notebook(self, program: str = _PROGRAM) -> float:
        """Return the seconds to `ready` after a commit that changes a notebook only."""
        self._number += 1
        commit(self.repository, {"index.ipynb": json.dumps({"number": self._number})})
        return self.launch(program=program)["ready"]


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            connection.sendall(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    except (ConnectionRefusedError, ConnectionResetError):
        return False


@contextmanager
def _bench() -> Iterator[_Bench]:
    with tempfile.TemporaryDirectory(prefix="binderprogress-launch-") as folder:
        yield _Bench(Path(folder))


def compare(*, repeat: int, before: str = "") -> dict[str, Any]:
    """Measure all, taking turns; seconds.

    Parameters
    ----------
    repeat : int
    before : str
        The program of an earlier version, which is measured, too; empty: none.
    """
    took: dict[str, list[float]] = {}

    def note(name: str, seconds: float) -> None:
        took.setdefault(name, []).append(seconds)

    with _bench() as bench:
        # What is downloaded, compiled and read from the disk for the first time is not measured.
        if before:
            bench.cold(before)
        bench.cold()
        bench.by_hand()
        for _ in range(repeat):
            note("uv by hand", bench.by_hand())
            if before:
                _measure_before(bench, before, note)
            cold = bench.cold()
            note("launch, cold, its build alone", cold["built"] - cold["building"])
            note("launch, cold, from the command to built", cold["built"])
            # The next start is warm: this one has compiled what it imported.
            note("jupyter lab", bench.jupyter_lab())
            warm = bench.launch()
            note("launch, warm, to ready", warm["ready"])
            note("launch, warm, from ready to its end", warm["end"] - warm["ready"])
            note("launch, another notebook, to ready", bench.notebook())
            hub = bench.launch("--Standalone.start_jupyterhub=True")
            note("launch, warm, with a JupyterHub, to ready", hub["ready"])
            note(
                "launch, warm, with a JupyterHub, from ready to its end", hub["end"] - hub["ready"]
            )
    return {"repeat": repeat, "seconds": took}


def _measure_before(bench: _Bench, program: str, note: Callable[[str, float], None]) -> None:
    cold = bench.cold(program)
    note("earlier version, cold, from the command to built", cold["built"])
    warm = bench.launch(program=program)
    note("earlier version, warm, to ready", warm["ready"])
    note("earlier version, warm, from ready to its end", warm["end"] - warm["ready"])
    note("earlier version, another notebook, to ready", bench.notebook(program))


def ratio(result: dict[str, Any], name: str, to: str) -> float:
    """Return the ratio of two medians."""
    return median(result["seconds"][name]) / median(result["seconds"][to])


def table(result: dict[str, Any]) -> str:
    """Write a result for people."""
    lines = [
        f"Launching one repository on this machine: median of {result['repeat']}",
        "",
        "|what|took (lowest–highest)|ratio|",
        "|---|---:|---:|",
    ]
    for name, values in result["seconds"].items():
        is_peer = name in {"uv by hand", "jupyter lab"} or "its end" in name
        peer = "uv by hand" if "cold" in name else "jupyter lab"
        compared = "" if is_peer else f"{ratio(result, name, peer):.2f} × {peer}"
        took = f"{median(values):.2f} s ({min(values):.2f}–{max(values):.2f})"
        lines.append(f"| {name} | {took} | {compared} |")
    return "\n".join(lines) + "\n"
