"""Removes what servers have left that were killed."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .._temporary import stale_folders
from ..backends.local.builder import LocalBuilder
from ..backends.repo2docker.builder import Repo2dockerBuilder
from .composition import AnyBuilder

__all__ = ["sweep"]


async def sweep(
    builder: AnyBuilder | None, *, log: logging.Logger | logging.LoggerAdapter[Any]
) -> None:
    """Remove temporary folders without an owner, their processes and containers.

    Incomplete environments are removed, too. Nothing that a running server uses is touched.

    Parameters
    ----------
    builder : LocalBuilder, Repo2dockerBuilder or None
    log : logging.Logger
    """
    try:
        with ExitStack() as stack:
            folders = stack.enter_context(stale_folders())
            for folder in folders:
                log.info("Removing %s, which an earlier run has left.", folder)
                await _end_processes(folder, log)
            # Here, because the folders may be large.
            await asyncio.to_thread(stack.close)
    except OSError as error:
        log.warning("Folders of earlier runs could not be removed: %s", error)
    if isinstance(builder, LocalBuilder):
        await asyncio.to_thread(builder.remove_incomplete)
    elif isinstance(builder, Repo2dockerBuilder):
        await builder.remove_stopped_builds()
        await builder.shrink()


async def _end_processes(folder: Path, log: logging.Logger | logging.LoggerAdapter[Any]) -> None:
    """End the processes that run in a folder, such as a JupyterHub, and its containers."""
    if importlib.util.find_spec("psutil") is None:
        return  # this server has started none
    # Imported here, because a server with an existing JupyterHub does not need them.
    from .container_engine import ContainerHost
    from .host_processes import kill_within

    await asyncio.to_thread(kill_within, folder)
    containers = ContainerHost.left_in(folder, log=log)
    if containers is not None:
        await containers.clear()
