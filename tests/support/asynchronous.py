"""Asynchronous tests, each in a loop of its own and bounded."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

_SLOWNESS = 4
"""How many times as long as an idle machine a busy one may take."""


def asynchronous(
    timeout: float,
) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], Callable[..., None]]:
    """Let pytest run a coroutine function, for at most `timeout` seconds on an idle machine."""

    def decorate(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(*args: Any, **kwargs: Any) -> None:
            async def bounded() -> None:
                async with asyncio.timeout(_SLOWNESS * timeout):
                    await test(*args, **kwargs)

            asyncio.run(bounded())

        return run

    return decorate
