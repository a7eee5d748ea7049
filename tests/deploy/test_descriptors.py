"""A server that has no file descriptor left."""

from __future__ import annotations

import json
import resource
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests

from ..support.binderhub import binderhub_in_thread
from ..support.processes import environment, program

SPEC = {"spec": "gh/binder-examples/requirements/HEAD"}

if not hasattr(resource, "prlimit"):
    pytest.skip("the limit of another process can only be set on Linux", allow_module_level=True)


def used_up(pid: int) -> int:
    """Return the limit on open files with which a process can open no other one."""
    folder = Path(f"/proc/{pid}/fd")
    used = {int(entry.name) for entry in folder.iterdir()}
    return next(number for number in range(max(used) + 2) if number not in used)


def ask(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    client.sendall(b"GET /versions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    return client


def test_viewers_are_served_and_others_wait(tmp_path: Path) -> None:
    env, log = environment(tmp_path / "cache"), tmp_path / "log"
    with binderhub_in_thread() as hub:
        arguments = [f"--Upstreams.urls=['{hub.url}']", "--History.url=", "--Storage.url=memory"]
        arguments.append("--port=0")
        with program("binderprogress", "serve", *arguments, env=env, log=log) as server:
            url = server.line().split()[-1]
            port = urlsplit(url).port or 0
            hub.pause()
            links = requests.post(f"{url}api/launches", json=SPEC, timeout=60).json()
            with requests.get(links["events_url"], stream=True, timeout=60) as viewer:
                lines = viewer.iter_lines()
                assert any(line.startswith(b"data: ") for line in lines)
                hub.wait_for(hub.joined)
                process = psutil.Process(server.process.pid)
                before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
                limit = used_up(process.pid)
                resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (limit, before[1]))
                clients = [ask(port) for _ in range(20)]
                # It neither spins nor fills its log.
                cpu, size = sum(process.cpu_times()[:2]), log.stat().st_size
                time.sleep(3)
                assert sum(process.cpu_times()[:2]) - cpu < 1.5
                assert log.stat().st_size - size < 10_000
                # Who was there before gets everything.
                hub.resume()
                phases = [json.loads(line[6:])["phase"] for line in lines if line[:5] == b"data:"]
                assert phases[-1] == "ready"
            # The others had to wait.
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)
            for client in clients:
                with client:
                    assert client.recv(12) == b"HTTP/1.1 200"
        text = log.read_text()
        assert "Too many open files" in text
        assert "Traceback" not in text
