"""A real JupyterHub behind a real proxy, each of which can be killed and started again."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import requests

from binderprogress.deploy.embedded_jupyterhub import HUB_PROGRAM, free_ports

from .forked import ForkedProcess, can_fork
from .gone import gone, within
from .processes import BIN

# Takes the place of Jupyter. It answers only once the file exists.
_SERVER = """
import os, sys, time
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit
class Handler(SimpleHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
until = time.monotonic() + 120
while not Path(sys.argv[1]).exists():
    if time.monotonic() > until:
        sys.exit(1)
    time.sleep(0.02)
port = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).port
HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""

_CONFIG = """
c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:{proxy}/"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}/"
c.JupyterHub.db_url = "sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie_secret"
c.JupyterHub.authenticator_class = "null"
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.cleanup_servers = False
c.JupyterHub.proxy_check_interval = 1
c.JupyterHub.services = [{{"name": "tests", "api_token": "{token}"}}]
c.JupyterHub.load_roles = [
    {{"name": "tests", "services": ["tests"], "scopes": ["admin:users", "admin:servers"]}}
]
c.JupyterHub.tornado_settings = {{"slow_spawn_timeout": 0}}
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.auth_token = "{token}"
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.SimpleLocalProcessSpawner.home_dir_template = "{folder}/homes/{{username}}"
c.Spawner.cmd = [{python!r}, "{folder}/server.py", "{folder}/go"]
c.Spawner.start_timeout = 60
c.Spawner.http_timeout = 60
"""


class RestartingHub:
    """A JupyterHub and its proxy.

    Parameters
    ----------
    folder : Path
        For its files.

    Attributes
    ----------
    url : str
        The address of the proxy.
    token : str
        Of its API.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = dict(zip(("proxy", "api", "hub"), free_ports(3), strict=True))
        self.url = f"http://127.0.0.1:{self._ports['proxy']}/"
        self.token = secrets.token_hex(16)
        self._processes: dict[str, subprocess.Popen[bytes] | ForkedProcess] = {}
        (folder / "server.py").write_text(_SERVER)
        values = {**self._ports, "folder": folder, "token": self.token, "python": sys.executable}
        (folder / "config.py").write_text(_CONFIG.format(**values))

    def start_proxy(self) -> None:
        """Start the proxy, which has no routes."""
        self._run(
            "proxy",
            [
                str(BIN / "configurable-http-proxy"),
                *("--ip=127.0.0.1", f"--port={self._ports['proxy']}"),
                *("--api-ip=127.0.0.1", f"--api-port={self._ports['api']}"),
            ],
            CONFIGPROXY_AUTH_TOKEN=self.token,
        )

    def start_hub(self) -> None:
        """Start JupyterHub, and do not wait for it."""
        command = [sys.executable, "-m", HUB_PROGRAM, "--config", str(self.folder / "config.py")]
        self._run("hub", command)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End the proxy or the Hub with a signal."""
        process = self._processes.pop(name)
        process.send_signal(number)
        process.wait(60)

    def pause(self, name: str) -> None:
        """Stop the proxy or the Hub with SIGSTOP. Connections to it are still accepted."""
        self._processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let the proxy or the Hub go on."""
        self._processes[name].send_signal(signal.SIGCONT)

    def go(self) -> None:
        """Let servers answer."""
        (self.folder / "go").touch()

    def wait(self) -> None:
        """Wait until JupyterHub answers through the proxy."""
        until = time.monotonic() + 120
        while True:
            try:
                if requests.get(f"{self.url}hub/api/", timeout=30).status_code == 200:
                    return
            except requests.ConnectionError:
                pass  # the proxy starts
            assert time.monotonic() < until, self.log()
            time.sleep(0.05)

    def users(self) -> Mapping[str, Any]:
        """Return the users by name, with their servers."""
        headers = {"Authorization": f"token {self.token}"}
        answer = requests.get(f"{self.url}hub/api/users", headers=headers, timeout=30)
        return {user["name"]: user for user in answer.json()}

    def servers(self) -> list[psutil.Process]:
        """List the processes of servers."""
        return within(self.folder / "server.py")

    def log(self) -> str:
        """Return what JupyterHub has logged."""
        return (self.folder / "hub.log").read_text()

    def stop(self) -> None:
        """Kill everything."""
        for name in list(self._processes):
            self.kill(name)
        left = self.servers()
        for process in left:
            process.kill()
        assert gone(left)

    def _run(self, name: str, command: list[str], **env: str) -> None:
        env = {**os.environ, "PATH": os.pathsep.join([str(BIN), os.environ["PATH"]]), **env}
        with (self.folder / f"{name}.log").open("ab") as log:
            if can_fork(command, env):
                output, folder = log.fileno(), str(self.folder)
                self._processes[name] = ForkedProcess(
                    command, env=env, stdout=output, stderr=output, folder=folder
                )
                return
            self._processes[name] = subprocess.Popen(
                command,
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


@contextmanager
def restarting_hub(folder: Path) -> Iterator[RestartingHub]:
    """Run a JupyterHub that can be killed and started again."""
    hub = RestartingHub(folder)
    try:
        hub.start_proxy()
        hub.start_hub()
        hub.wait()
        yield hub
    finally:
        hub.stop()
