"""Runs a JupyterHub next to the server, for demos and single machines."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from .._version import __version__
from ..backends.processes.ports import free_ports
from ..errors import ConfigError
from .host_processes import HostProcess, kill_within, with_children, within
from .hub_config import (
    CULLER,
    HUB_PROGRAM,
    HubRecord,
    digest,
    proxy_command,
    read_record,
    write_config,
)
from .hub_logs import HUB_LOG, PROXY_LOG, HubLogs

__all__ = ["HUB_PROGRAM", "EmbeddedJupyterHub", "free_ports"]

_ATTEMPTS = 2
"""Maximum number of attempts to start it for the first time."""

_PORT_ATTEMPTS = 5
"""The same, while other programs take its ports."""

_RESTARTS = 5
"""Maximum number of attempts to start it again, without `_STABLE` seconds in between."""

_STABLE = 60.0
"""Seconds after which a JupyterHub that was started again counts as one that works."""

_START_TIMEOUT = 60.0
_RESUME_TIMEOUT = 5.0
"""Seconds in which it, or one of an earlier run, must answer."""

_PROXY = "JupyterHub's proxy"


class EmbeddedJupyterHub:
    """A JupyterHub with configurable-http-proxy on loopback, for our launches only.

    Users cannot log in to it. Launches use `api_token`. If it or its proxy ends, it is started
    again. Both outlive this process, unless `stop` is called.

    Parameters
    ----------
    folder : Path
        A private folder for its files. The caller removes it.
    config : mapping
        Further settings, by section.
    env : mapping
        Further environment variables.
    port : int
        The port of its proxy. 0 chooses a free port.
    cull_after : int
        Seconds without activity after which servers and their users are removed. 0: never.
    log : logging.Logger, optional
    """

    def __init__(
        self,
        folder: Path,
        *,
        config: Mapping[str, Mapping[str, Any]],
        env: Mapping[str, str],
        port: int = 0,
        cull_after: int = 0,
        log: logging.Logger | logging.LoggerAdapter[Any] | None = None,
    ) -> None:
        self._folder = folder
        self._logs = HubLogs(folder)
        self._config = config
        self._more_env = env
        self._logger = log or logging.getLogger(__name__)
        self._fixed_port = port
        self._cull_after = cull_after
        self._record = HubRecord.new(port)
        self._hub: HostProcess | None = None
        self._proxy: HostProcess | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self.problem = "JupyterHub was not started."
        """Why it does not answer at the moment. Empty: it does."""

    @property
    def url(self) -> str:
        """Its public address. It may change until `available` returns for the first time."""
        return self._record.url

    @property
    def api_url(self) -> str:
        """The address of its API."""
        return self._record.api_url

    @property
    def api_token(self) -> str:
        """The token for its API."""
        return self._record.api_token

    async def resume(self) -> bool:
        """Go on with the JupyterHub of an earlier run in this folder.

        If only its proxy still works, or its configuration was changed, JupyterHub itself is
        started again. Servers that are ready go on.

        Returns
        -------
        bool
            False if there is none. What is left of one must be ended; see `clear`.
        """
        record = await asyncio.to_thread(read_record, self._folder)
        if record is None or (proxy := HostProcess.find(record.proxy)) is None:
            return False
        hub = HostProcess.find(record.hub)
        fixed = self._fixed_port in (0, record.port)
        if not fixed or not (self._folder / "jupyterhub.sqlite").is_file():
            return False
        self._record, self._proxy = record, proxy
        if hub is not None and record.settings == self._settings() and await self._resumes():
            self._hub = hub
            self._logger.info("Found the JupyterHub of an earlier run at %s.", self.url)
        else:
            if hub is not None:
                hub.kill()
                await hub.wait()
            await self._start_hub()
        self._keep()
        return True

    async def clear(self) -> None:
        """End what is left of an earlier run in this folder."""
        await asyncio.to_thread(kill_within, self._folder)

    async def start(self) -> None:
        """Start it. `available` waits until it is ready.

        Raises
        ------
        ConfigError
            If a requirement is not installed.
        """
        # Fails if it is not installed.
        proxy_command(self._record, self._env()["PATH"])
        await self._start_proxy()
        await self._start_hub()
        self._keep()

    async def available(self) -> None:
        """Wait until it is ready.

        Raises
        ------
        ConfigError
            If it cannot be started. The message includes the end of its log.
        """
        keeper = self._keeper
        if keeper is None:
            raise ConfigError("JupyterHub was not started.")
        up = asyncio.create_task(self._up.wait())
        try:
            await asyncio.wait({up, keeper}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            up.cancel()
        if keeper.done():
            keeper.result()

    @property
    def has_ended(self) -> bool:
        """Whether it was started, has ended, and could not be started again."""
        return self._keeper is not None and self._keeper.done()

    async def watch(self) -> None:
        """Wait until it cannot be started any more.

        Raises
        ------
        ConfigError
            Then. The message includes the end of its log.
        """
        if self._keeper is not None:
            await asyncio.shield(self._keeper)

    async def stop(self, *, timeout: float = 2.5, keep: bool = False) -> None:
        """Stop it, its proxy and all servers. After `timeout` seconds, kill them.

        Parameters
        ----------
        timeout : float
        keep : bool
            Leave all of them running, for `resume` of another process.
        """
        self.problem = "JupyterHub was stopped."
        if self._keeper is not None:
            self._keeper.cancel()
            # Its error, if any, was not necessarily awaited.
            await asyncio.gather(self._keeper, return_exceptions=True)
        if not keep:
            await self._end(timeout)

    async def _end(self, timeout: float) -> None:
        if self._hub is None and self._proxy is None:
            return
        # List them before JupyterHub ends: afterwards, they have another parent.
        started = [one for one in (self._hub, self._proxy) if one is not None]
        processes = [child for one in started for child in with_children(one.id.pid)]
        if self._hub is not None:
            self._hub.terminate()
            try:
                async with asyncio.timeout(timeout):
                    await self._hub.wait()
            except TimeoutError:
                processes += with_children(self._hub.id.pid)
        await asyncio.to_thread(kill_within, self._folder, processes)
        for one in started:
            await one.wait()

    # -- keeping it running

    def _keep(self) -> None:
        self.problem = "JupyterHub is starting."
        self._up.clear()
        self._keeper = asyncio.create_task(self._run(), name="JupyterHub")

    async def _run(self) -> None:
        """Wait until it is ready, and start it again whenever it ends."""
        await self._wait_until_ready()
        loop = asyncio.get_running_loop()
        attempt = 0
        while True:
            self.problem = ""
            self._up.set()
            since = loop.time()
            how = await self._first_end()
            self._up.clear()
            attempt = 1 if loop.time() - since > _STABLE else attempt + 1
            while not await self._starts_again(how, attempt):
                attempt += 1

    async def _first_end(self) -> str:
        """Wait until JupyterHub or its proxy ends, and return what has ended, and how."""
        assert self._hub is not None  # noqa: S101 - it was started
        assert self._proxy is not None  # noqa: S101 - it was started
        ends = {
            asyncio.create_task(self._hub.wait()): "JupyterHub",
            asyncio.create_task(self._proxy.wait()): _PROXY,
        }
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            task = done.pop()
            return f"{ends[task]} {task.result()}"
        finally:
            for task in ends:
                task.cancel()

    async def _starts_again(self, how: str, attempt: int) -> bool:
        if attempt > _RESTARTS:
            raise ConfigError(f"{how}. Nothing can be launched.\n{self._tail(how)}")
        self.problem = f"{how}. It is being started again (attempt {attempt} of {_RESTARTS})."
        self._logger.warning("%s", self.problem)
        # At once for the first time, then after 1, 2, 4 and 8 seconds.
        await asyncio.sleep(0 if attempt == 1 else 2.0 ** (attempt - 2))
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                if self._proxy is None or self._proxy.has_ended:
                    await self._start_proxy()
                if self._hub is None or self._hub.has_ended:
                    await self._start_hub()
                return await self._answers_before_it_ends(restore=True)
        except (OSError, TimeoutError) as error:
            problem = str(error) or f"no answer within {_START_TIMEOUT:g} seconds"
            self._logger.warning("JupyterHub could not be started again: %s", problem)
            return False

    async def _restore_routes(self, session: aiohttp.ClientSession) -> bool:
        """Have JupyterHub tell its proxy where the servers are. A new proxy does not know."""
        try:
            async with session.post(f"{self.api_url}proxy") as response:
                return response.ok
        except aiohttp.ClientError:
            return False  # JupyterHub does not answer yet

    async def _wait_until_ready(self) -> None:
        attempt = 0
        # On a busy machine, JupyterHub may time out waiting for its proxy, or another program may
        # take a free port first. The next attempt uses other ports.
        while True:
            attempt += 1
            try:
                async with asyncio.timeout(_START_TIMEOUT):
                    if await self._answers_before_it_ends():
                        return
            except TimeoutError:
                raise ConfigError(
                    f"JupyterHub did not start within {_START_TIMEOUT:g} seconds.\n{self._tail()}"
                ) from None
            if self._logs.is_port_taken:
                how, most = "", _PORT_ATTEMPTS
            else:
                how, most = await self._first_end(), _ATTEMPTS
            if "signal" in how or attempt >= most:
                break  # it was killed, or cannot work
            await asyncio.to_thread(kill_within, self._folder)
            self._record.choose_ports(self._fixed_port)
            await self._start_proxy()
            await self._start_hub()
        what = _PROXY if how.startswith(_PROXY) else "JupyterHub"
        raise ConfigError(f"{what} exited at once.\n{self._tail(how)}")

    async def _answers_before_it_ends(self, *, restore: bool = False) -> bool:
        answered = asyncio.create_task(self._answered(restore=restore))
        tasks: set[asyncio.Task[Any]] = {answered, asyncio.create_task(self._first_end())}
        if not restore:
            # The proxy from npm does not end then, and the other program may never answer.
            tasks.add(asyncio.create_task(self._logs.port_taken()))
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return done == {answered} and answered.result() is None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def _answered(self, *, restore: bool) -> None:
        """Wait until it answers. It cannot notify us, so poll ten times a second."""
        async with self._session() as session:
            while True:
                if restore:
                    restore = not await self._restore_routes(session)
                # With the token, or it might be another JupyterHub.
                elif await _answers(session, f"{self.url}hub/api/users?limit=1"):
                    return
                await asyncio.sleep(0.1)

    async def _resumes(self) -> bool:
        """Whether the JupyterHub of an earlier run answers, and knows our token."""
        try:
            async with asyncio.timeout(_RESUME_TIMEOUT), self._session() as session:
                return await _answers(session, f"{self.api_url}users?limit=1") and await _answers(
                    session, f"{self.url}hub/api/"
                )
        except TimeoutError:
            return False

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(headers={"Authorization": f"token {self.api_token}"})

    # -- its processes

    async def _start_proxy(self) -> None:
        env = self._env()
        command = proxy_command(self._record, env["PATH"])
        self._proxy = await self._start_process(command, env, PROXY_LOG)
        self._record.proxy = self._proxy.id
        await asyncio.to_thread(self._record.write, self._folder)

    async def _start_hub(self) -> None:
        await asyncio.to_thread(_end_cullers, self._folder)
        config = await asyncio.to_thread(
            write_config, self._folder, self._record, self._config, cull_after=self._cull_after
        )
        command = [sys.executable, "-m", HUB_PROGRAM, "--config", str(config)]
        self._hub = await self._start_process(command, self._env(), HUB_LOG)
        self._record.hub, self._record.settings = self._hub.id, self._settings()
        await asyncio.to_thread(self._record.write, self._folder)

    async def _start_process(
        self, command: list[str], env: Mapping[str, str], log: str
    ) -> HostProcess:
        start = asyncio.to_thread(_start_with_log, command, env, self._folder, self._logs, log)
        starting = asyncio.ensure_future(start)
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            # The thread goes on, and nobody would know the process.
            (await starting).kill()
            raise

    def _env(self) -> dict[str, str]:
        # This process may be a service or a server of another JupyterHub. Its variables would
        # configure ours, and its token would be visible to our servers.
        own = {key: value for key, value in os.environ.items() if not key.startswith("JUPYTERHUB_")}
        env = {**own, **self._more_env, "CONFIGPROXY_AUTH_TOKEN": self._record.proxy_token}
        # configurable-http-proxy may be installed next to the interpreter.
        env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", "")])
        return env

    def _settings(self) -> str:
        values = {"config": self._config, "env": self._more_env, "cull_after": self._cull_after}
        return digest({**values, "version": __version__})

    def _tail(self, how: str = "") -> str:
        return self._logs.tail(PROXY_LOG if how.startswith(_PROXY) else HUB_LOG)


def _start_with_log(
    command: list[str], env: Mapping[str, str], folder: Path, logs: HubLogs, name: str
) -> HostProcess:
    with logs.begin(name).open("ab") as output:
        return HostProcess.start(command, cwd=folder, env=env, stdout=output, stderr=output)


def _end_cullers(folder: Path) -> None:
    """End services of a JupyterHub that was killed. The next one starts its own."""
    for process in within(folder):
        try:
            if CULLER in process.cmdline():
                process.kill()
        except psutil.Error:
            continue  # it has ended


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False
