"""A JupyterHub that goes on while the servers that use it are killed.

It is the strict double of `faultyhub`. Servers start one by one, when a test says so, and it
replays their progress as JupyterHub does.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from .faultyhub import VERSION, FaultyHub, event, serving
from .invariants import Server

__all__ = ["LastingHub", "lasting_hub"]

_KEEPALIVE = 8.0
"""Seconds without events after which JupyterHub sends an empty line."""


class LastingHub(FaultyHub):
    """Users and servers that stay.

    Attributes
    ----------
    starts : Counter
        How often the server of each user was started.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ready.clear()
        self.starts: Counter[str] = Counter()
        self._said: defaultdict[str, list[str]] = defaultdict(lambda: ["Server requested"])
        self._changed = asyncio.Event()

    def starting(self) -> list[str]:
        """List the users whose servers are starting, the oldest first."""
        return [user for user, state in self.users.items() if state == "spawn"]

    def say(self, text: str) -> None:
        """Report progress of all servers that are starting."""
        for user in self.starting():
            self._said[user].append(text)
        self._notify()

    def release(self, user: str) -> None:
        """Let a server be ready."""
        self.users[user] = "ready"
        self._notify()

    def servers(self) -> list[Server]:
        """Return what was started, for the checks of invariants."""
        return [
            Server(
                user,
                url=f"{self.url}user/{user}/",
                starts=count,
                is_running=self.users.get(user) in {"spawn", "ready"},
            )
            for user, count in self.starts.items()
        ]

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _start(self, request: web.Request, user: str) -> web.StreamResponse:
        spawns = self.spawns
        response = await super()._start(request, user)
        self.starts[user] += self.spawns - spawns
        return response

    async def _progress(self, request: web.Request, user: str) -> web.StreamResponse:
        if self.users.get(user) not in {"spawn", "ready"}:
            return await super()._progress(request, user)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **VERSION})
        try:
            await response.prepare(request)
            await self._replay(response, user)
        except ConnectionResetError:
            pass  # the server that asked was killed
        return response

    async def _replay(self, response: web.StreamResponse, user: str) -> None:
        sent = 0
        while self.users.get(user) == "spawn":
            messages = self._said[user][sent:]
            sent += len(messages)
            await response.write(b"".join(event(message=each, progress=50) for each in messages))
            if self.users.get(user) == "spawn" and sent == len(self._said[user]):
                await self._change(response)
        await response.write(event(message="Ready", ready=True, url=f"/user/{user}/"))

    async def _change(self, response: web.StreamResponse) -> None:
        """Wait for a change, with an empty line now and then as JupyterHub sends it."""
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            while not (await asyncio.wait([changed], timeout=_KEEPALIVE))[0]:
                await response.write(b"\n\n")
        finally:
            changed.cancel()


@asynccontextmanager
async def lasting_hub() -> AsyncIterator[LastingHub]:
    """Run one on a free port."""
    hub = LastingHub()
    async with serving(hub):
        yield hub
