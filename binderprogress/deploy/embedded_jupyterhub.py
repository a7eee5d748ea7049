"""A JupyterHub of our own, as a child process: for demonstrations and single machines."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import aiohttp
import psutil

from .._private import make_private_file
from ..errors import ConfigError

__all__ = ["EmbeddedJupyterHub", "free_ports"]

_CONFIG = """\
# Made by binderprogress for one run.
import json
from pathlib import Path

values = json.loads(Path(__file__).with_suffix(".json").read_text())
c = get_config()
for section, settings in values.items():
    for name, value in settings.items():
        setattr(c[section], name, value)
"""


_ATTEMPTS = 2
"""How often it is started if it ends before it answers."""


class EmbeddedJupyterHub:
    """A JupyterHub with configurable-http-proxy on loopback, for our launches only.

    Nobody can log in to it; launches come with the token that `api_token` is.

    Parameters
    ----------
    folder : Path
        Where it keeps its files; private to us, and removed by who made it.
    config : mapping
        More settings, section by section.
    env : mapping
        More environment variables.
    """

    def __init__(
        self,
        folder: Path,
        *,
        config: Mapping[str, Mapping[str, Any]],
        env: Mapping[str, str],
        port: int = 0,
    ) -> None:
        own_port, self._hub_port = free_ports(2)
        self.url = f"http://127.0.0.1:{port or own_port}/"
        # Not through the proxy, which may buffer the progress of a server that starts.
        self.api_url = f"http://127.0.0.1:{self._hub_port}/hub/api/"
        self.api_token = secrets.token_urlsafe(32)
        self._folder = folder
        self._config = config
        self._env = env
        self._proxy: list[str] = []
        self._process: asyncio.subprocess.Process | None = None
        self._log: IO[bytes] | None = None
        self._ready: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the process; `available` says when it answers.

        Raises
        ------
        ConfigError
            If what it needs is not installed.
        """
        # Not the variables of a JupyterHub that this process is a service of, or runs in: they
        # would configure ours, and our servers would see its token.
        own = {key: value for key, value in os.environ.items() if not key.startswith("JUPYTERHUB_")}
        env = {**own, **self._env}
        # Where this interpreter's programs are, there is configurable-http-proxy too.
        env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", "")])
        self._proxy = _proxy_command(env["PATH"])
        await self._run(env)
        self._ready = asyncio.create_task(self._wait_until_ready(env))

    async def _run(self, env: Mapping[str, str]) -> None:
        config = self._folder / "jupyterhub_config.py"
        values = config.with_suffix(".json")
        log = self._folder / "jupyterhub.log"
        for path in (config, values, log):
            make_private_file(path)
        config.write_text(_CONFIG)
        values.write_text(json.dumps(self._values()))
        if self._log is not None:
            self._log.close()
        self._log = log.open("wb")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "jupyterhub", "--config", str(config)),
            cwd=self._folder,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            # Its cookie secret and what its servers write, notebooks and their checkpoints.
            umask=0o077,
        )

    async def available(self) -> None:
        """Wait until it answers.

        Raises
        ------
        ConfigError
            If it ends instead; the message has the end of its log.
        """
        if self._ready is None:
            raise ConfigError("The Hub was not started.")
        await asyncio.shield(self._ready)
        if self.has_ended:
            raise ConfigError(f"JupyterHub has ended.\n{self._tail()}")

    @property
    def has_ended(self) -> bool:
        """Whether it was started and does not run any more."""
        return self._process is not None and self._process.returncode is not None

    async def watch(self) -> None:
        """Wait until it ends by itself.

        Raises
        ------
        ConfigError
            When it has ended; the message has the end of its log.
        """
        await self.available()
        assert self._process is not None  # noqa: S101 - it was available
        code = await self._process.wait()
        how = f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"
        raise ConfigError(f"JupyterHub {how}; nothing can be launched.\n{self._tail()}")

    async def stop(self, *, timeout: float = 2.5) -> None:
        """Stop it, its proxy and all servers, the hard way after `timeout` seconds."""
        if self._ready is not None:
            self._ready.cancel()
            # Nobody may have asked how it went.
            await asyncio.gather(self._ready, return_exceptions=True)
        process = self._process
        if process is None:
            return
        # Before the Hub ends: afterwards nobody knows whose children they were.
        family = _family(process.pid)
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(timeout):
                await process.wait()
        except TimeoutError:
            family += _family(process.pid)
        await asyncio.to_thread(_end, family, self._folder, process.pid)
        await process.wait()
        if self._log is not None:
            self._log.close()

    def _values(self) -> dict[str, dict[str, Any]]:
        (proxy_port,) = free_ports(1)
        values: dict[str, dict[str, Any]] = {
            "JupyterHub": {
                "bind_url": self.url,
                "hub_bind_url": f"http://127.0.0.1:{self._hub_port}/",
                "db_url": "sqlite:///:memory:",
                "cookie_secret_file": str(self._folder / "cookie_secret"),
                "authenticator_class": "jupyterhub.auth.NullAuthenticator",
                "services": [{"name": "binderprogress", "api_token": self.api_token}],
                "load_roles": [
                    {
                        "name": "binderprogress",
                        "scopes": ["admin:users", "admin:servers"],
                        "services": ["binderprogress"],
                    }
                ],
                "tornado_settings": {
                    # Answer at once; the progress stream tells the rest.
                    "slow_spawn_timeout": 0,
                    # Seconds; JupyterHub has a trait for it, but takes none from a config file.
                    "spawn_throttle_retry_range": [1, 3],
                },
                # Starting more at once than there are processors makes all of them slow.
                "concurrent_spawn_limit": max(4, 2 * (os.cpu_count() or 1)),
            },
            "ConfigurableHTTPProxy": {
                "command": self._proxy,
                "api_url": f"http://127.0.0.1:{proxy_port}",
                "pid_file": str(self._folder / "proxy.pid"),
            },
            "Spawner": {"start_timeout": 120, "http_timeout": 120},
        }
        for section, settings in self._config.items():
            values.setdefault(section, {}).update(settings)
        return values

    async def _wait_until_ready(self, env: Mapping[str, str]) -> None:
        # On a busy machine its proxy can take longer than JupyterHub waits for it, or another
        # program takes a port that was free. A second attempt has other ports.
        for left in reversed(range(_ATTEMPTS)):
            if await self._answers_before_it_ends():
                return
            assert self._process is not None  # noqa: S101 - it has ended
            if (self._process.returncode or 0) < 0:
                break  # somebody killed it
            if left:
                await asyncio.to_thread(_end, [], self._folder, self._process.pid)
                await self._run(env)
        raise ConfigError(f"JupyterHub ended at once.\n{self._tail()}")

    async def _answers_before_it_ends(self) -> bool:
        assert self._process is not None  # noqa: S101 - started right before
        ended = asyncio.create_task(self._process.wait())
        try:
            async with aiohttp.ClientSession() as session, asyncio.timeout(60):
                while not ended.done():
                    if await _answers(session, f"{self.url}hub/api/"):
                        return True
                    # JupyterHub has no way to say that it is up; this looks ten times a second.
                    await asyncio.wait([ended], timeout=0.1)
        except TimeoutError:
            raise ConfigError(
                f"JupyterHub did not start within 60 seconds.\n{self._tail()}"
            ) from None
        finally:
            ended.cancel()
        return False

    def _tail(self) -> str:
        lines = (self._folder / "jupyterhub.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-8:])


def _proxy_command(path: str) -> list[str]:
    """Return the command of configurable-http-proxy: the one from npm, else the one from PyPI.

    Raises
    ------
    ConfigError
        If neither is installed.
    """
    from_pypi = importlib.util.find_spec("configurable_http_proxy") is not None
    if from_pypi:
        # Both programs have the same name. This interpreter's is the one from PyPI.
        own = Path(sys.executable).parent
        path = os.pathsep.join(name for name in path.split(os.pathsep) if Path(name) != own)
    from_npm = shutil.which("configurable-http-proxy", path=path)
    if from_npm and shutil.which("node", path=path):
        return [from_npm]
    if from_pypi:
        return [sys.executable, "-m", "binderprogress.deploy.python_proxy"]
    raise ConfigError(
        "configurable-http-proxy is not installed, which JupyterHub needs. Install it with: "
        "npm install -g configurable-http-proxy; or, without Node.js: "
        "pip install 'binderprogress[proxy]'"
    )


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def free_ports(count: int) -> list[int]:
    """Return ports on loopback, all different, that nobody listens on just now."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _within(folder: Path) -> list[psutil.Process]:
    """List processes that run in the Hub's folder, and what they started.

    The proxy and the servers do. When the Hub was killed, or started one while it was being ended,
    this is how they are found again.
    """
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder):
                found += _family(process.pid)
        except psutil.Error:
            continue  # it has ended, or is somebody else's
    return found


def _end(family: list[psutil.Process], folder: Path, child: int) -> None:
    """End processes at once; psutil knows a process from another with the same id."""
    family = [*family, *_within(folder.resolve())]
    alive = {process for process in family if process.is_running()}
    for process in alive:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue  # it has ended: what was wanted
    # The child is asyncio's to wait for: only one of the two gets to know how it ended.
    psutil.wait_procs([process for process in alive if process.pid != child], timeout=1)
