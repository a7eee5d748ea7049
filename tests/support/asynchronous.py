"""Asynchronous tests, each in a loop of its own and bounded."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

from binderprogress.channels.durable import DurableStore

_SLOWNESS = 4
"""How many times as long as an idle machine a busy one may take."""


def asynchronous(
    timeout: float,
) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], Callable[..., None]]:
    """Let pytest run a coroutine function, for at most `timeout` seconds on an idle machine.

    A durable store that it gets is open meanwhile.
    """

    def decorate(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(*args: Any, **kwargs: Any) -> None:
            async def bounded() -> None:
                async with asyncio.timeout(_SLOWNESS * timeout), AsyncExitStack() as stack:
                    for store in kwargs.values():
                        if isinstance(store, DurableStore):
                            await store.open()
                            stack.push_async_callback(store.shutdown)
                    await test(*args, **kwargs)

            asyncio.run(bounded())

        return run

    return decorate
