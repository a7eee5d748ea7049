"""Start-up: how long a command takes, and how soon a server answers."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import psutil

_PROGRAM = str(Path(sys.executable).with_name("binderprogress"))
# With what is installed beside this Python, as configurable-http-proxy is.
_PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


def command(*argv: str) -> float:
    """Return the seconds that a command takes."""
    began = time.monotonic()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def serve(*options: str) -> float:
    """Return the seconds until a server that is started answers a request for its health."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="binderprogress-start-") as folder:
        argv = [_PROGRAM, "serve", f"--port={port}", *options]
        with Path(folder, "log").open("w") as log:
            began = time.monotonic()
            process = subprocess.Popen(
                argv, cwd=folder, env={**os.environ, "PATH": _PATH}, stdout=log, stderr=log
            )
            try:
                _answer(process, port, end=began + 60)
                return time.monotonic() - began
            finally:
                _stop(process)


def _answer(process: subprocess.Popen[bytes], port: int, *, end: float) -> None:
    """Wait until there is an answer, whatever it says."""
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"The server ended with {process.returncode} at its start.")
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                if connection.recv(1 << 16).startswith(b"HTTP/1.1 "):
                    return
        except ConnectionRefusedError:
            time.sleep(0.005)
    raise TimeoutError("The server does not answer.")


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    children = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _, alive = psutil.wait_procs(children, 5)
    for child in alive:
        child.kill()


def compare(*, repeat: int) -> dict[str, Any]:
    """Measure all, taking turns; medians in seconds, and ratios to a Python that does nothing."""
    ways: dict[str, Callable[[], float]] = {
        "python -c pass": lambda: command(sys.executable, "-c", "pass"),
        "binderprogress --version": lambda: command(_PROGRAM, "--version"),
        "serve, in front of a BinderHub": lambda: serve("--upstream=http://127.0.0.1:9/"),
        "serve, with a JupyterHub": serve,
    }
    hub = Path(sys.executable).with_name("jupyterhub")
    if hub.exists():
        ways["jupyterhub --version"] = lambda: command(str(hub), "--version")
    if shutil.which("configurable-http-proxy", path=_PATH) is None:
        del ways["serve, with a JupyterHub"]
    took: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()  # what is read from the disk for the first time is not measured
    for _ in range(repeat):
        for name, way in ways.items():
            took[name].append(way())
    seconds = {name: median(values) for name, values in took.items()}
    least = seconds["python -c pass"]
    rows = {
        name: {
            "seconds": value,
            "lowest": min(took[name]),
            "highest": max(took[name]),
            "to_python": value / least,
        }
        for name, value in seconds.items()
    }
    return {"repeat": repeat, "ways": rows}


def table(result: dict[str, Any]) -> str:
    """Write a result for people."""
    lines = [
        f"Start-up: median of {result['repeat']}; a server until it answers /health",
        "",
        "|what|took (lowest–highest)|to python -c pass|",
        "|---|---:|---:|",
    ]
    lines += [
        f"| {name} | {row['seconds'] * 1e3:.0f} ms "
        f"({row['lowest'] * 1e3:.0f}–{row['highest'] * 1e3:.0f}) | {row['to_python']:.1f} |"
        for name, row in result["ways"].items()
    ]
    return "\n".join(lines) + "\n"
