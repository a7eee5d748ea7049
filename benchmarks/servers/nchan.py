"""nginx with nchan, one worker, as Debian packages it; fed over one keep-alive connection.

The process that feeds it is not measured: nchan gets its events from elsewhere by its nature, and
is spared making them, as the others are not. What it takes nginx to receive them is measured.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from . import payload
from .control import Listening, Order, offset

_MODULES = (Path("/usr/lib/nginx/modules"), Path("/usr/lib64/nginx/modules"))
_CONFIG = """\
load_module {module};
daemon off;
{user}worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/pid;
error_log {folder}/error.log warn;
events {{ worker_connections {files}; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 100000000;
  server {{
    listen 127.0.0.1:{port};
    location ~ ^/publish/(\\d+)$ {{
      nchan_publisher;
      nchan_channel_id $1;
      nchan_message_buffer_length 100;
    }}
    location ~ ^/events/(\\d+)$ {{
      nchan_subscriber eventsource;
      nchan_channel_id $1;
      nchan_subscriber_first_message newest;
    }}
  }}
}}
"""


def module() -> Path | None:
    """Return where nchan is, if both it and nginx are installed."""
    if shutil.which("nginx") is None and not Path("/usr/sbin/nginx").exists():
        return None
    found = (folder / "ngx_nchan_module.so" for folder in _MODULES)
    return next((path for path in found if path.exists()), None)


def nginx() -> str:
    """Return where nginx is; Debian keeps it out of a user's path."""
    return shutil.which("nginx") or "/usr/sbin/nginx"


def main(connection: Connection, streams: int, options: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory(prefix="binderprogress-nchan-") as folder:
        port = _free_port()
        config = Path(folder) / "nginx.conf"
        files, user = options["files"], "user root;\n" if psutil.Process().uids().real == 0 else ""
        config.write_text(
            _CONFIG.format(module=module(), folder=folder, port=port, files=files, user=user)
        )
        argv = [nginx(), "-c", str(config), "-e", f"{folder}/error.log"]
        with subprocess.Popen(argv) as process:
            try:
                publisher, worker = _await(process, port)
                if (core := options.get("server_core")) is not None:
                    worker.cpu_affinity([core])
                paths = [f"/events/{index}" for index in range(streams)]
                connection.send(worker.pid)
                connection.send(Listening(port, paths))
                with publisher:
                    _obey(connection, publisher, streams)
            finally:
                process.terminate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _await(process: subprocess.Popen[bytes], port: int) -> tuple[socket.socket, psutil.Process]:
    """Wait until it listens; return a connection to it, and its worker."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"nginx ended with {process.returncode}")
        workers = psutil.Process(process.pid).children()
        try:
            publisher = socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.02)
            continue
        if workers:
            return publisher, workers[0]
        publisher.close()
    raise TimeoutError("nginx did not start")


def _obey(connection: Connection, publisher: socket.socket, streams: int) -> None:
    publisher.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while True:
        try:
            order = connection.recv()
        except EOFError:
            return
        _publish(order, publisher, streams)
        connection.send(order)


def _publish(order: Order, publisher: socket.socket, streams: int) -> None:
    began = time.monotonic()
    offsets = [offset(order, index, streams) for index in range(streams)]
    answered = 0
    for count in range(order.count):
        for index, late in enumerate(offsets):
            due = began + late + (count / order.rate if order.rate else 0.0)
            time.sleep(max(due - time.monotonic(), 0))
            body = payload.compact(order.first + count, due).encode()
            head = (
                f"POST /publish/{index} HTTP/1.1\r\nHost: n\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            publisher.sendall(head.encode() + body)
            answered += _answers(publisher, wait=False)
    while answered < order.count * streams:
        answered += _answers(publisher, wait=True)


def _answers(publisher: socket.socket, *, wait: bool) -> int:
    try:
        data = publisher.recv(1 << 16, 0 if wait else socket.MSG_DONTWAIT)
    except BlockingIOError:
        return 0
    if not data or b"HTTP/1.1 4" in data or b"HTTP/1.1 5" in data:
        raise RuntimeError(f"nchan refused an event: {data[:200]!r}")
    return data.count(b"HTTP/1.1 20")
