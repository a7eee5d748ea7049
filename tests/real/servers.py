"""Programs that a test starts, waits for, and reads streams of."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests


def events(url: str, **options: Any) -> Iterator[dict[str, Any]]:
    """Read a stream of server-sent events to its end."""
    headers = {"Accept": "text/event-stream", **options.pop("headers", {})}
    with requests.get(url, stream=True, timeout=120, headers=headers, **options) as response:
        for line in response.iter_lines(decode_unicode=True):
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def program(
    command: list[str], url: str, folder: Path, env: dict[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until it answers, and to the end of the block."""
    log = folder / f"{Path(command[-1]).stem}.log"
    with (
        log.open("w") as out,
        subprocess.Popen(
            command, cwd=folder, env={**os.environ, **env}, stdout=out, stderr=out
        ) as process,
    ):
        try:
            deadline = time.monotonic() + 180
            while not answers(url):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)  # it is another process, and says nothing when it is up
            yield process
        finally:
            process.terminate()
            process.wait(30)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=30).ok
    except requests.ConnectionError:
        return False
