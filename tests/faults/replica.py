"""`binderprogress serve` at the same port again and again, and what happens to it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import psutil

from binderprogress.deploy.embedded_jupyterhub import free_ports

from ..support.lastinghub import LastingHub
from ..support.processes import BIN, Program, environment
from ..support.repositories import repository

__all__ = ["Replica", "port_is_back", "prepare", "serving"]


class Replica:
    """A server process.

    Parameters
    ----------
    folder : Path
        For its log.
    name : str
    env : mapping
        Its environment variables.
    settings : mapping of str to str
        Its settings, by class and name.
    prefix : sequence of str
        What starts it, such as in a network namespace.

    Attributes
    ----------
    killed : list of Program
        Its earlier processes, which may have left something.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        env: Mapping[str, str],
        settings: Mapping[str, str],
        prefix: Sequence[str] = (),
    ) -> None:
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}/"
        self.killed: list[Program] = []
        self._log = folder / f"{name}.log"
        self._env = dict(env)
        self._settings = {"Standalone.port": str(self.port), **settings}
        self._prefix = prefix
        self._process: Program | None = None

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text()

    @property
    def running(self) -> Program:
        """Its process."""
        assert self._process is not None
        return self._process

    @property
    def cpu(self) -> float:
        """Seconds of processor time that its process has used."""
        times = psutil.Process(self.running.process.pid).cpu_times()
        return float(times.user + times.system)

    def command(self) -> list[str]:
        """Return what starts it."""
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        return [str(BIN / "binderprogress"), "serve", *options]

    def start(self) -> None:
        """Start it, and do not wait until it answers."""
        with self._log.open("ab") as log:
            self._process = Program([*self._prefix, *self.command()], env=self._env, log=log)

    async def kill(self) -> None:
        """Kill it, with SIGKILL."""
        self.running.signal(signal.SIGKILL)
        await asyncio.to_thread(self.running.wait, 30)
        self.killed.append(self.running)

    def pause(self) -> None:
        """Stop it with SIGSTOP. Connections to it are still accepted."""
        self.running.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self.running.signal(signal.SIGCONT)

    async def drain(self) -> int:
        """End it as a supervisor does, with SIGTERM. Return its exit code."""
        self.running.signal(signal.SIGTERM)
        code = await asyncio.to_thread(self.running.wait, 60)
        self.killed.append(self.running)
        return code

    async def stop(self) -> int:
        """End it as Ctrl-C does. Return its exit code."""
        self.resume()
        self.running.signal(signal.SIGINT)
        return await asyncio.to_thread(self.running.wait, 60)

    def left(self) -> list[str]:
        """Name what is left of all its processes, and end that."""
        found = []
        for process in (*self.killed, self.running):
            for each in process.family():
                found.append(f"the process {each.pid}, {each.name()}")
                each.kill()
        return found


def prepare(folder: Path) -> str:
    """Make a repository that all servers of a folder can launch. Return its address."""
    for name in ("config", "temporary"):
        (folder / name).mkdir()
    (folder / "config" / "binderprogress_config.py").write_text(
        "c.LocalBuilder.base_packages = []\nc.LocalBuilder.link_mode = 'hardlink'\n"
    )
    repository(folder / "repository", {"requirements.txt": ""})
    return (folder / "repository").as_uri()


@asynccontextmanager
async def serving(
    folder: Path,
    hub: LastingHub,
    name: str = "server",
    *,
    variables: Mapping[str, str] | None = None,
    **settings: object,
) -> AsyncIterator[Replica]:
    """Run a server in front of a JupyterHub until the block ends.

    Parameters
    ----------
    folder : Path
        As `prepare` made it.
    hub : LastingHub
    name : str
        Of the server, for the names of its files.
    variables : mapping of str to str
        Further environment variables.
    settings
        Further settings, by class and name with two underscores between.
    """
    values = {
        "Standalone.hub_folder": folder / "hub",
        "HubLauncher.url": hub.url,
        "HubLauncher.api_token": "secret",
        "LocalBuilder.local_folders": folder,
        "LocalBuilder.environments": folder / "environments",
        "LaunchManager.max_launches_per_client": 0,
        "Web.rate_limit": 0,
        "Storage.log_folder": folder / "logs",
        "History.url": f"sqlite:///{folder}/history-{name}.sqlite",
        **{each.replace("__", "."): value for each, value in settings.items()},
    }
    env = {
        **environment(folder / "cache"),
        "TMPDIR": str(folder / "temporary"),
        "JUPYTER_CONFIG_PATH": str(folder / "config"),
        **(variables or {}),
    }
    settings_of = {each: str(value) for each, value in values.items()}
    replica = Replica(folder, name, env=env, settings=settings_of)
    replica.start()
    try:
        await port_is_back(replica.port)
        yield replica
    finally:
        replica.left()


async def port_is_back(port: int, within: float = 240.0) -> float:
    """Wait until a port accepts connections. Return when, by the monotonic clock."""
    until = monotonic() + within
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert monotonic() < until, "the server does not start"
            await asyncio.sleep(0.01)  # there is no event for it
            continue
        back = monotonic()
        writer.transport.abort()
        return back
