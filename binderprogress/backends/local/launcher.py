"""Starts the Jupyter servers of environments as processes of this one, without a JupyterHub."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from collections import deque
from collections.abc import Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp

from ...core.log.reader import Record
from ...core.log.reasons import failure
from ...core.redact import redact
from ..base import BuildResult, LaunchItems, LaunchRequest, ResolvedSpec, RunningServer
from ..processes.child import Process
from ..processes.environment import select
from ..processes.ports import free_ports
from .jupyter_server import (
    MISSING,
    StoredEnvironment,
    arguments,
    command,
    copy_repository,
    read_environment,
    variables,
)
from .usage import use

__all__ = ["ProcessLauncher"]

_TIMEOUT = 120.0
"""Maximum seconds until a server answers."""

_INTERVAL = 0.03
"""Seconds between two checks whether it answers. A refused connection takes a millisecond."""

_RESPONSE_TIMEOUT = 2.0
"""Seconds for one check. Another program may have taken the port, and not answer."""

_ATTEMPTS = 3
"""Maximum number of attempts, while other programs take the ports."""

_STOP_TIMEOUT = 1.0
"""Seconds between SIGTERM and SIGKILL. A server has nothing left to write."""

_LINES = 20
"""How many of its last lines are shown if it ends early."""

_LONGEST_LINE = 2000

_KEPT = ("LANG", "LANGUAGE", "LC_*", "TZ")
"""The environment variables that servers have in common with this process."""

_PORT_TAKEN = "is not available"
"""What Jupyter Server prints if it cannot listen, after the port."""


class ProcessLauncher:
    """Starts a Jupyter server for each launch, in a copy of its repository.

    The servers run as the user of this process, end with it, and are not isolated.

    Parameters
    ----------
    environments : Path
        The folder of all environments; see `LocalBuilder.environments`.
    idle_timeout : int
        Seconds after which a server that is idle stops; 0: never.
    log : logging.Logger
    """

    def __init__(
        self,
        environments: Path,
        *,
        idle_timeout: int = 0,
        log: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._environments = environments
        self._idle_timeout = idle_timeout
        self._log = log
        self._servers: dict[str, _Server] = {}

    async def launch(self, request: LaunchRequest[ResolvedSpec, BuildResult]) -> LaunchItems:
        """Start a server; see `base.Launcher.launch`.

        Raises
        ------
        LaunchFailedError
            If the environment was removed, or the server ends or does not answer in time.
        """
        try:
            environment = read_environment(request.image, self._environments)
        except ValueError as error:
            raise failure("spawn-failed", str(error)) from error
        yield Record("process", "Starting the server\n")
        for attempt in range(1, _ATTEMPTS + 1):
            server = _Server(environment, request.token, idle_timeout=self._idle_timeout)
            self._servers[request.key] = server
            try:
                async with asyncio.timeout(_TIMEOUT):
                    answers = await server.answers()
            except TimeoutError:
                await self.stop(request)
                raise failure("start-timeout") from None
            except BaseException:
                await self.stop(request)
                raise
            if answers:
                server.task.add_done_callback(partial(self._ended, request, server))
                yield RunningServer(server.url, request.token)
                return
            await self.stop(request)
            if server.port_was_taken and attempt < _ATTEMPTS:
                continue
            for line in server.last_lines:
                yield Record("process", redact(line))
            code = server.task.result()
            message = f"The server ended before it answered (exit code {code})."
            raise failure("spawn-failed", message)

    async def stop(self, request: LaunchRequest[ResolvedSpec, BuildResult]) -> None:
        """Stop a server, and remove its copy of the repository; see `base.Launcher.stop`."""
        server = self._servers.pop(request.key, None)
        if server is not None:
            await server.stop()

    async def close(self) -> None:
        """Stop all servers."""
        servers = list(self._servers.values())
        self._servers.clear()
        await asyncio.gather(*(server.stop() for server in servers))

    def _ended(
        self,
        request: LaunchRequest[ResolvedSpec, BuildResult],
        server: _Server,
        task: asyncio.Task[int],
    ) -> None:
        """Note that a server has ended, by itself or since it was stopped."""
        if self._servers.get(request.key) is server:
            del self._servers[request.key]
            how = f" with exit code {task.result()}" if not task.cancelled() else ""
            self._log.info("The Jupyter server of %s has ended%s.", request.name, how)


class _Server:
    """A Jupyter server, which runs as long as its task.

    Parameters
    ----------
    environment : StoredEnvironment
    token : str
    idle_timeout : int

    Attributes
    ----------
    task : asyncio.Task
        Its result is the exit code.
    last_lines : deque of str
        What it printed last.
    """

    def __init__(self, environment: StoredEnvironment, token: str, *, idle_timeout: int) -> None:
        self.last_lines: deque[str] = deque(maxlen=_LINES)
        self._environment = environment
        self._token = token
        self._idle_timeout = idle_timeout
        (self._port,) = free_ports(1)
        self.task = asyncio.create_task(self._run(), name=f"Jupyter server {self._port}")

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}/"

    @property
    def port_was_taken(self) -> bool:
        """Whether it ended because another program listens on its port."""
        taken = f"{self._port} {_PORT_TAKEN}"
        return any(taken in line for line in self.last_lines)

    async def answers(self) -> bool:
        """Wait until it answers. Return whether it does; else it has ended.

        Raises
        ------
        LaunchFailedError
            If it could not be started.
        """
        timeout = aiohttp.ClientTimeout(total=_RESPONSE_TIMEOUT)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while not self.task.done():
                if await self._responds(session):
                    return True
                # Until then, there is no event for it.
                await asyncio.wait([self.task], timeout=_INTERVAL)
        self.task.result()
        return False

    async def _responds(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"{self.url}api", allow_redirects=False) as response:
                return response.status < 500
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def stop(self) -> None:
        """Stop it, and remove its files."""
        self.task.cancel()
        await asyncio.wait([self.task])

    async def _run(self) -> int:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="binderprogress-server-"))
        try:
            # The environment is not removed meanwhile.
            with use(self._environment.folder):
                return await self._serve(folder / "home")
        except FileNotFoundError as error:
            raise failure("spawn-failed", MISSING) from error
        except (OSError, ValueError) as error:
            raise failure("spawn-failed", str(error)) from error
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))

    async def _serve(self, home: Path) -> int:
        copying = asyncio.ensure_future(
            asyncio.to_thread(copy_repository, self._environment.repository, home)
        )
        try:
            await asyncio.shield(copying)
        finally:
            # If this is cancelled, the thread continues. It must not write after the removal.
            await asyncio.wait([copying])
        argv = [
            *command(self._environment, home),
            *arguments(home=home, port=self._port, base_url="/", idle_timeout=self._idle_timeout),
        ]
        async with Process(
            argv, env=self._variables(home), cwd=str(home), stop_timeout=_STOP_TIMEOUT
        ) as process:
            async with aclosing(process.lines()) as lines:
                async for line in lines:
                    self.last_lines.append(line[:_LONGEST_LINE])
            return await process.wait()

    def _variables(self, home: Path) -> Mapping[str, str]:
        return {
            **select(_KEPT),
            **variables(self._environment, home, user="jovyan"),
            # Not on the command line, which all users of this machine can read.
            "JUPYTER_TOKEN": self._token,
        }
