"""What an embedded Hub needs to run containers: the engine, and an end for all of them."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..backends.processes.child import Process, run
from ..errors import ConfigError

__all__ = ["ContainerHost"]


class ContainerHost:
    """docker or podman on this machine, for one run of a Hub.

    Parameters
    ----------
    engine : str
        ``docker`` or ``podman``.
    folder : Path
        For podman's socket. Its path is short: a socket's has at most 107 characters.
    log : logging.Logger
    """

    def __init__(
        self, engine: str, *, folder: Path, log: logging.Logger | logging.LoggerAdapter[Any]
    ) -> None:
        self._engine = engine
        self._socket = folder / "podman.sock"
        self._log = log
        # Containers of this run are told from all others by their names.
        self._prefix = f"binderprogress-{secrets.token_hex(4)}"
        self._service: Process | None = None
        self.env: dict[str, str] = {}
        """Environment variables for the Hub."""

    @property
    def config(self) -> Mapping[str, Mapping[str, Any]]:
        """Settings for the Hub."""
        return {
            "JupyterHub": {
                "spawner_class": "binderprogress.deploy.spawners.container.ContainerSpawner"
            },
            "ContainerSpawner": {"prefix": self._prefix},
        }

    async def start(self) -> None:
        """See that the engine answers; podman's service is started, unless DOCKER_HOST names one.

        Raises
        ------
        ConfigError
            If it does not.
        """
        if shutil.which(self._engine) is None:
            raise ConfigError(
                f"{self._engine} is not installed. Install it, or use another --engine."
            )
        if self._engine == "podman" and "DOCKER_HOST" not in os.environ:
            await self._start_service()
            return
        code, output = await run([self._engine, "version"], timeout=20)
        if code:
            raise ConfigError(
                f"{self._engine} does not answer. Start it, or use another --engine.\n{output}"
            )

    async def stop(self) -> None:
        """End the containers of this run, and podman's service."""
        try:
            await self._end_containers()
        except TimeoutError:
            self._log.error(
                "%s did not answer; containers named %s… may be left.", self._engine, self._prefix
            )
        if self._service is not None:
            await self._service.__aexit__(None, None, None)

    async def _start_service(self) -> None:
        address = f"unix://{self._socket}"
        argv = ["podman", "system", "service", "--time=0", address]
        self._service = await Process(argv).__aenter__()
        ended = asyncio.create_task(self._service.wait())
        try:
            async with asyncio.timeout(20):
                while not await asyncio.to_thread(self._socket.is_socket):
                    # podman has no other way to say that it listens.
                    if (await asyncio.wait([ended], timeout=0.05))[0]:
                        raise ConfigError(
                            "podman's service ended at once. Run it by hand to see why: "
                            + " ".join(argv)
                        )
        except TimeoutError:
            raise ConfigError("podman's service did not start within 20 seconds.") from None
        finally:
            ended.cancel()
        # Whoever talks to it is root in containers. Its folder is private, too.
        await asyncio.to_thread(self._socket.chmod, 0o600)
        self.env["DOCKER_HOST"] = address

    async def _end_containers(self) -> None:
        listing = [self._engine, "ps", "--all", "--quiet", f"--filter=name={self._prefix}"]
        _, output = await run(listing, timeout=2)
        names = output.split()
        if names:
            # At once: their time to end by themselves was while the Hub stopped.
            await run([self._engine, "kill", *names], timeout=2)
            await run([self._engine, "rm", "--force", *names], timeout=2)
