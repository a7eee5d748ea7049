"""Prepares docker or podman for an embedded JupyterHub, and removes its containers."""

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
    """docker or podman on this machine, for one run of JupyterHub.

    Parameters
    ----------
    engine : str
        ``docker`` or ``podman``.
    folder : Path
        For podman's socket. Its path must be short: that of a socket has at most 107 characters.
    log : logging.Logger
    """

    def __init__(
        self, engine: str, *, folder: Path, log: logging.Logger | logging.LoggerAdapter[Any]
    ) -> None:
        self._engine = engine
        self._socket = folder / "podman.sock"
        self._log = log
        # The prefix of the names of this run's containers.
        self._prefix = f"binderprogress-{secrets.token_hex(4)}"
        self._service: Process | None = None
        self.env: dict[str, str] = {}
        """Environment variables for JupyterHub."""

    @property
    def config(self) -> Mapping[str, Mapping[str, Any]]:
        """Settings for JupyterHub."""
        return {
            "JupyterHub": {
                "spawner_class": "binderprogress.deploy.spawners.container.ContainerSpawner"
            },
            "ContainerSpawner": {"prefix": self._prefix},
        }

    async def start(self) -> None:
        """Check that the engine answers. Start podman's service unless DOCKER_HOST is set.

        Raises
        ------
        ConfigError
            If the engine is not installed or does not answer.
        """
        if shutil.which(self._engine) is None:
            raise ConfigError(
                f"{self._engine} is not installed. Install it, or use another --engine."
            )
        if self._engine == "podman" and "DOCKER_HOST" not in os.environ:
            await self._start_service()
            return
        code, output = await run([self._engine, "version"], timeout=20, keep_daemons=True)
        if code:
            raise ConfigError(
                f"{self._engine} does not answer. Start it, or use another --engine.\n{output}"
            )

    async def stop(self) -> None:
        """Stop and remove the containers of this run, and stop podman's service."""
        try:
            await self._remove_containers()
        except TimeoutError:
            self._log.error(
                "%s did not answer. Containers named %s… may still be running.",
                self._engine,
                self._prefix,
            )
        if self._service is not None:
            await self._service.__aexit__(None, None, None)

    async def _start_service(self) -> None:
        address = f"unix://{self._socket}"
        argv = ["podman", "system", "service", "--time=0", address]
        self._service = await Process(argv, keep_daemons=True).__aenter__()
        ended = asyncio.create_task(self._service.wait())
        try:
            async with asyncio.timeout(20):
                while not await asyncio.to_thread(self._socket.is_socket):
                    # podman cannot notify us when it listens.
                    if (await asyncio.wait([ended], timeout=0.05))[0]:
                        raise ConfigError(
                            "podman's service exited at once. Run it by hand to see why: "
                            + " ".join(argv)
                        )
        except TimeoutError:
            raise ConfigError("podman's service did not start within 20 seconds.") from None
        finally:
            ended.cancel()
        # Access to the socket gives control over all containers. Its folder is private, too.
        await asyncio.to_thread(self._socket.chmod, 0o600)
        self.env["DOCKER_HOST"] = address

    async def _remove_containers(self) -> None:
        listing = [self._engine, "ps", "--all", "--quiet", f"--filter=name={self._prefix}"]
        _, output = await run(listing, timeout=2, keep_daemons=True)
        names = output.split()
        if names:
            # Kill them: they had time to stop while JupyterHub stopped.
            for command in (["kill"], ["rm", "--force"]):
                await run([self._engine, *command, *names], timeout=2, keep_daemons=True)
