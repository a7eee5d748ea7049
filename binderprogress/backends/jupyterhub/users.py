"""Makes the users of launches, also before they are needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import monotonic

import aiohttp

from ...errors import BinderProgressError
from .api import HubApi, NoAnswerError

__all__ = ["Users"]

_LONGEST = 24 * 3600.0
"""Seconds after which a user is forgotten whose launch another server has gone on with."""

_MADE = {201, 409}
"""409: there is such a user."""


class Users:
    """Makes each user once.

    Parameters
    ----------
    api : HubApi
    """

    def __init__(self, api: HubApi) -> None:
        self._api = api
        self._making: dict[str, tuple[float, asyncio.Task[None]]] = {}
        """When users were asked for ahead, and the requests; the oldest first."""

    def __contains__(self, user: str) -> bool:
        """Return whether a user may have been made ahead, and no launch has needed it yet."""
        return user in self._making

    async def make_ahead(self, user: str) -> None:
        """Make a user that a launch will need. If this is cancelled, the request goes on.

        Raises
        ------
        NoAnswerError, LaunchFailedError, ConfigError
            If that fails. It is not tried again: the launch makes the user then.
        """
        self._forget_old()
        task = asyncio.create_task(self._post(user), name=f"user {user}")
        # Nobody may wait for it.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._making[user] = monotonic(), task
        await asyncio.shield(task)

    async def make(self, user: str) -> AsyncGenerator[NoAnswerError]:
        """Make a user for a launch, unless it was made ahead. Yield attempts without an answer.

        Raises
        ------
        LaunchFailedError
            With the reason ``hub-unreachable`` or ``hub-refused``.
        """
        if await self._was_made(user):
            return
        attempts = self._api.attempts("POST", f"users/{user}", expect=_MADE)
        async with aclosing(attempts) as items:
            async for item in items:
                if isinstance(item, NoAnswerError):
                    yield item

    async def forget(self, user: str) -> None:
        """Do not make a user any more, which is about to be removed."""
        if (task := self._take(user)) is not None:
            task.cancel()
            await asyncio.wait([task])

    async def close(self) -> None:
        """End what is under way."""
        tasks = [task for _, task in self._making.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _was_made(self, user: str) -> bool:
        if (task := self._take(user)) is None:
            return False
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            # The user is about to be removed.
            task.cancel()
            raise
        return not task.cancelled() and task.exception() is None

    async def _post(self, user: str) -> None:
        try:
            await self._api.send("POST", f"users/{user}", expect=_MADE)
        except NoAnswerError as error:
            if isinstance(error.__cause__, aiohttp.ClientConnectorError):
                # JupyterHub was not asked, so there is nothing to remove.
                self._take(user)
            raise
        except BinderProgressError:
            self._take(user)
            raise

    def _take(self, user: str) -> asyncio.Task[None] | None:
        _, task = self._making.pop(user, (0.0, None))
        return task

    def _forget_old(self) -> None:
        for user, (since, _) in list(self._making.items()):
            if monotonic() - since < _LONGEST:
                break
            del self._making[user]
