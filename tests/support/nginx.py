"""A real nginx in front of servers, as the documentation configures it."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from binderprogress.deploy.embedded_jupyterhub import free_ports

__all__ = ["EXAMPLE", "nginx"]

EXAMPLE = Path(__file__).parents[2] / "docs/examples/replicas/nginx.conf"

_CONFIG = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 8192; }}
http {{
access_log off;
client_body_temp_path {folder}/body;
proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/fastcgi;
uwsgi_temp_path {folder}/uwsgi;
scgi_temp_path {folder}/scgi;
{site}
}}
"""

# The only lines that differ from the documented file: where it listens, and where the servers are.
_SERVERS = re.compile(r"(?:^    server \w+:8585 max_fails=0;\n)+", re.MULTILINE)
_LISTEN = re.compile(r"^    listen 80;\n", re.MULTILINE)


def _site(port: int, ports: Sequence[int]) -> str:
    """Return the documented configuration, for these ports on loopback."""
    servers = "".join(f"    server 127.0.0.1:{each} max_fails=0;\n" for each in ports)
    text, count = _SERVERS.subn(servers, EXAMPLE.read_text())
    assert count == 1
    text, count = _LISTEN.subn(f"    listen 127.0.0.1:{port};\n", text)
    assert count == 1
    return text


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until it listens."""
    for _ in range(600):
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, "nginx ended"
        time.sleep(0.1)  # there is no event for it
    raise AssertionError("nginx does not listen")


@contextmanager
def nginx(
    folder: Path,
    ports: Sequence[int],
    site: Callable[[int, Sequence[int]], str] = _site,
) -> Iterator[str]:
    """Run one in front of ports on loopback, until the block ends; yields its address.

    `site` returns its configuration, for the port where it listens and those in front of which it
    is.
    """
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed, and this user could not install it")
    folder.mkdir()
    (port,) = free_ports(1)
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, site=site(port, ports)))
    process = subprocess.Popen([program, "-p", folder, "-c", config])
    try:
        _await(port, process)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait(30)
