"""The steps by which something stops: each is taken, whatever happens in the ones before."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from .errors import BinderProgressError

__all__ = ["Step", "take_steps"]

Step = tuple[str, Callable[[], Any]]
"""What a step does, for the log, and a function or a coroutine function."""


async def take_steps(log: logging.Logger | logging.LoggerAdapter[Any], *steps: Step) -> None:
    """Take all steps, in their order. Errors are logged.

    A full disk, for example, must not keep processes from being ended. If this is cancelled, the
    remaining steps are still taken.

    Parameters
    ----------
    log : logging.Logger
    *steps : tuple of str and callable
        What each does, such as "closing the history", and a function or a coroutine function.
    """
    async with AsyncExitStack() as stack:
        for name, call in reversed(steps):
            stack.push_async_callback(_take, log, name, call)


async def _take(
    log: logging.Logger | logging.LoggerAdapter[Any], name: str, call: Callable[[], Any]
) -> None:
    try:
        result = call()
        if inspect.isawaitable(result):
            await result
    except (BinderProgressError, OSError) as error:
        log.error("An error while %s: %s", name, error)  # noqa: TRY400 - it is no bug
    except Exception:
        log.exception("An error while %s", name)
