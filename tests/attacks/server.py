"""A real server process to attack, and sockets to attack it with."""

from __future__ import annotations

import resource
import select
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import psutil

from ..support.processes import Program, program

WITHIN = 60.0
"""Seconds in which everything that is awaited must come; two shared processors can be slow."""


class Target:
    """A server that is attacked."""

    def __init__(self, running: Program, url: str, log: Path) -> None:
        self.url = url
        self.process = psutil.Process(running.process.pid)
        self._log = log
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self.address = (parts.hostname, parts.port)

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text(errors="replace")

    @property
    def memory(self) -> int:
        """Bytes of memory that it uses."""
        size: int = self.process.memory_info().rss
        return size

    @property
    def cpu(self) -> float:
        """Seconds of processor time that it has used."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def connect(self, source: str = "127.0.0.1", *, receive_buffer: int = 0) -> socket.socket:
        """Open a connection; the whole of 127.0.0.0/8 is this machine."""
        client = socket.socket()
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(WITHIN)
        client.bind((source, 0))
        client.connect(self.address)
        return client

    def get(self, path: str, source: str = "127.0.0.1") -> tuple[int, float]:
        """Ask for an address; return the status and the seconds that it took."""
        began = time.monotonic()
        answer = self.raw(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", source
        )
        return int(answer.split(b" ", 2)[1]), time.monotonic() - began

    def raw(self, request: str | bytes, source: str = "127.0.0.1") -> bytes:
        """Send bytes and return all that comes back."""
        with self.connect(source) as client:
            client.sendall(request.encode() if isinstance(request, str) else request)
            return read_all(client)


@contextmanager
def target(
    folder: Path, env: dict[str, str], *options: str, files: int = 0, config: str = ""
) -> Iterator[Target]:
    """Run a server without a Hub, as everything but a Jupyter server works there.

    Parameters
    ----------
    folder : Path
        For its log and config; what is below its parent can be launched.
    env : dict
        Its environment.
    files : int
        How many files it may have open.
    config : str
        More lines of its config file.
    """
    file, log = folder / "config.py", folder / "server.log"
    file.write_text(
        "c.HubLauncher.url = 'http://127.0.0.1:1/'\n"
        "c.HubLauncher.api_token = 'none'\n"
        f"c.GitResolver.local_folders = [{str(folder.parent)!r}]\n"
        f"c.LocalBuilder.environments = {str(folder / 'environments')!r}\n"
        "c.LocalBuilder.base_packages = []\n"
        "c.LocalBuilder.link_mode = 'hardlink'\n"
        # Without a history, it starts in half of the time.
        "c.History.url = ''\n" + config
    )
    with program(
        "binderprogress", "serve", "--port", "0", "-f", str(file), *options, env=env, log=log
    ) as running:
        if files:
            resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (files, files))
        line = running.line()
        assert line, log.read_text()
        yield Target(running, line.split()[-1], log)


@contextmanager
def sockets() -> Iterator[ExitStack]:
    """Keep sockets open, and close all of them at the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4096), hard), hard))
    try:
        with ExitStack() as stack:
            yield stack
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def read_all(client: socket.socket) -> bytes:
    """Read to the end of a connection."""
    received = b""
    try:
        while chunk := client.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass  # it was dropped
    return received


def closed(client: socket.socket) -> bool:
    """Whether the other side has closed a connection."""
    while select.select([client], [], [], 0)[0]:
        try:
            if not client.recv(65536):
                return True
        except ConnectionResetError:
            return True
    return False


def until(what: Any, *, timeout: float = WITHIN) -> float:
    """Wait until a condition holds; return how many seconds that took."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < timeout, "it did not happen in time"
        time.sleep(0.02)  # there is no event in another process to wait for
    return time.monotonic() - began


def read_url(url: str) -> bytes:
    """Return what is at an address."""
    with urlopen(url, timeout=WITHIN) as response:
        body: bytes = response.read()
        return body
