"""Prepares docker or podman for an embedded JupyterHub, and removes its containers."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from .._private import make_private_file
from ..backends.processes.child import run
from ..errors import ConfigError
from .host_processes import HostProcess, ProcessId

__all__ = ["ContainerHost"]


_FILE = "containers.json"


class _Record(msgspec.Struct):
    """What the next server needs to know: its containers, and podman's service."""

    engine: str
    prefix: str
    service: ProcessId | None = None


class ContainerHost:
    """docker or podman on this machine, for one JupyterHub.

    Parameters
    ----------
    engine : str
        ``docker`` or ``podman``.
    folder : Path
        For podman's socket, and for what the next server needs to know. Its path must be short:
        that of a socket has at most 107 characters.
    log : logging.Logger
    """

    def __init__(
        self, engine: str, *, folder: Path, log: logging.Logger | logging.LoggerAdapter[Any]
    ) -> None:
        self._engine = engine
        self._folder = folder
        self._socket = folder / "podman.sock"
        self._log = log
        self._file = folder / _FILE
        record = _read(self._file)
        if record is None or record.engine != engine:
            record = _Record(engine, f"binderprogress-{secrets.token_hex(4)}")
        self._record = record
        self._has_service = engine == "podman" and "DOCKER_HOST" not in os.environ
        self._service: HostProcess | None = None
        self.env = {"DOCKER_HOST": f"unix://{self._socket}"} if self._has_service else {}
        """Environment variables for JupyterHub."""

    @classmethod
    def left_in(
        cls, folder: Path, *, log: logging.Logger | logging.LoggerAdapter[Any]
    ) -> ContainerHost | None:
        """Return that of an earlier run, if there was one."""
        record = _read(folder / _FILE)
        return cls(record.engine, folder=folder, log=log) if record is not None else None

    @property
    def config(self) -> Mapping[str, Mapping[str, Any]]:
        """Settings for JupyterHub."""
        return {
            "JupyterHub": {
                "spawner_class": "binderprogress.deploy.spawners.container.ContainerSpawner"
            },
            "ContainerSpawner": {"prefix": self._record.prefix},
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
        if self._has_service:
            self._service = HostProcess.find(self._record.service)
            if self._service is None:
                await self._start_service()
        else:
            code, output = await run([self._engine, "version"], timeout=20, keep_daemons=True)
            if code:
                raise ConfigError(
                    f"{self._engine} does not answer. Start it, or use another --engine.\n{output}"
                )
        await asyncio.to_thread(self._write)

    async def clear(self) -> None:
        """Remove the containers of an earlier run."""
        if self._file.exists() and shutil.which(self._engine) is not None:
            await self._remove_or_report()

    async def stop(self, *, keep: bool = False) -> None:
        """Stop and remove the containers, and stop podman's service, unless they are to be kept."""
        if keep:
            return
        await self._remove_or_report()
        if self._service is not None:
            self._service.terminate()
            try:
                await asyncio.wait_for(self._service.wait(), 2)
            except TimeoutError:
                self._service.kill()
                await self._service.wait()

    async def _start_service(self) -> None:
        argv = ["podman", "system", "service", "--time=0", f"unix://{self._socket}"]
        self._socket.unlink(missing_ok=True)
        self._service = await asyncio.to_thread(
            HostProcess.start,
            argv,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._record.service = self._service.id
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

    async def _remove_or_report(self) -> None:
        try:
            await self._remove_containers()
        except TimeoutError:
            self._log.error(
                "%s did not answer. Containers named %s… may still be running.",
                self._engine,
                self._record.prefix,
            )

    async def _remove_containers(self) -> None:
        prefix = f"--filter=name={self._record.prefix}"
        listing = [self._engine, "ps", "--all", "--quiet", prefix]
        _, output = await run(listing, timeout=2, keep_daemons=True)
        names = output.split()
        if names:
            # Kill them: they had time to stop while JupyterHub stopped.
            for command in (["kill"], ["rm", "--force"]):
                await run([self._engine, *command, *names], timeout=2, keep_daemons=True)

    def _write(self) -> None:
        make_private_file(self._file)
        self._file.write_bytes(msgspec.json.encode(self._record))


def _read(file: Path) -> _Record | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Record)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None  # such as that of another version
