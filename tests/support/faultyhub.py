"""A JupyterHub whose API misbehaves as a test says, and is strict otherwise.

It takes the place of a real one where that cannot be made to misbehave.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Fault = Callable[[web.Request], Awaitable[web.StreamResponse]]

VERSION = {"X-JupyterHub-Version": "6.1.1"}


class FaultyHub:
    """Users and servers, and how their requests are answered.

    Attributes
    ----------
    faults : dict
        For each kind of request, how the next ones are answered in place of the right answer. The
        kinds are "make user", "start", "progress", "look", "stop", "remove user" and "version".
    always : dict
        The same, for all requests.
    asked : list of str
        The kinds of all requests.
    """

    def __init__(self) -> None:
        self.url = ""
        self.users: dict[str, str] = {}
        """The state of each user's server: "", "spawn" or "ready"."""
        self.spawns = 0
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        self.always: dict[str, Fault] = {}
        self.asked: list[str] = []
        self.ready = asyncio.Event()
        """Servers are ready when it is set."""
        self.ready.set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        kind, user = _kind(request)
        self.asked.append(kind)
        if self.faults[kind]:
            return await self.faults[kind].popleft()(request)
        if kind in self.always:
            return await self.always[kind](request)
        if self.ready.is_set() and self.users.get(user) == "spawn":
            self.users[user] = "ready"
        method: Callable[[web.Request, str], Awaitable[web.StreamResponse]] = getattr(
            self, f"_{kind.replace(' ', '_')}"
        )
        return await method(request, user)

    async def _version(self, _request: web.Request, _user: str) -> web.StreamResponse:
        return _json(200, {"version": "6.1.1"})

    async def _make_user(self, _request: web.Request, user: str) -> web.StreamResponse:
        if user in self.users:
            return _error(409, f"User {user} already exists")
        self.users[user] = ""
        return _json(201, {"name": user})

    async def _start(self, request: web.Request, user: str) -> web.StreamResponse:
        assert isinstance(await request.json(), dict)
        if user not in self.users:
            return _error(404, "No such user")
        if self.users[user] == "ready":
            return _error(400, f"{user} is already running")
        if self.users[user] == "":
            self.spawns += 1
        self.users[user] = "spawn"
        return web.Response(status=202, headers=VERSION)

    async def _progress(self, request: web.Request, user: str) -> web.StreamResponse:
        if user not in self.users:
            return _error(404, "No such user")
        if not self.users[user]:
            return _error(400, f"{user} is not starting...")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **VERSION})
        await response.prepare(request)
        await response.write(event(message="Server requested", progress=0))
        await self.ready.wait()
        self.users[user] = "ready"
        await response.write(event(message="Ready", ready=True, url=f"/user/{user}/"))
        return response

    async def _look(self, _request: web.Request, user: str) -> web.StreamResponse:
        if user not in self.users:
            return _error(404, "No such user")
        state = self.users[user]
        servers = {
            "": {
                "name": "",
                "ready": state == "ready",
                "pending": "spawn" if state == "spawn" else None,
                "url": f"/user/{user}/",
            }
        }
        return _json(200, {"name": user, "servers": servers if state else {}})

    async def _stop(self, _request: web.Request, user: str) -> web.StreamResponse:
        if not self.users.get(user):
            return _error(404, "No such server")
        self.users[user] = ""
        return web.Response(status=204, headers=VERSION)

    async def _remove_user(self, _request: web.Request, user: str) -> web.StreamResponse:
        if user not in self.users:
            return _error(404, "No such user")
        assert not self.users[user], "its server runs"
        del self.users[user]
        return web.Response(status=204, headers=VERSION)


@asynccontextmanager
async def faulty_hub() -> AsyncIterator[FaultyHub]:
    """Run one on a free port."""
    hub = FaultyHub()
    async with serving(hub):
        yield hub


@asynccontextmanager
async def serving(hub: FaultyHub) -> AsyncIterator[None]:
    """Serve one on a free port."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hub.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    hub.url = f"http://127.0.0.1:{port}/"
    try:
        yield
    finally:
        await runner.cleanup()


# -- faults


def status(code: int, *, retry: str = "", of_hub: bool = True) -> Fault:
    """Answer with a status: as JupyterHub does, or as a proxy before it."""

    async def answer(_: web.Request) -> web.StreamResponse:
        more = {"Retry-After": retry} if retry else {}
        if of_hub:
            return _error(code, "as the test says", **more)
        body = "<html>from the proxy</html>"
        return web.Response(status=code, text=body, content_type="text/html", headers=more)

    return answer


async def garbage(request: web.Request) -> web.StreamResponse:
    """Answer with something that is not HTTP."""
    assert request.transport is not None
    request.transport.write(b"\x00\x01 this is not HTTP\r\n\r\n")  # type: ignore[attr-defined] # a stream
    request.transport.close()
    await asyncio.sleep(3600)
    raise AssertionError


async def page(_: web.Request) -> web.StreamResponse:
    """Answer with a page, as a server at a wrong address does."""
    return web.Response(text="<!doctype html><title>Sign in</title>", content_type="text/html")


async def half_an_event(request: web.Request) -> web.StreamResponse:
    """Send half of an event of the progress stream."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **VERSION})
    await response.prepare(request)
    await response.write(event(message="Server requested", progress=0)[:20])
    return response


async def nothing(_: web.Request) -> web.StreamResponse:
    """Do not answer, until the client hangs up."""
    await asyncio.sleep(3600)
    raise AssertionError


async def drip(request: web.Request) -> web.StreamResponse:
    """Send empty lines for ever."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **VERSION})
    await response.prepare(request)
    while True:
        await response.write(b"\n\n")
        await asyncio.sleep(0.02)


def _kind(request: web.Request) -> tuple[str, str]:
    _, _, path = request.path.partition("/hub/api/")
    parts = path.split("/")
    user = parts[1] if len(parts) > 1 else ""
    if path == "":
        kind = "version"
    elif len(parts) == 2:
        kind = {"POST": "make user", "GET": "look", "DELETE": "remove user"}[request.method]
    elif parts[-1] == "progress":
        kind = "progress"
    else:
        assert parts[2] == "servers", path
        kind = {"POST": "start", "DELETE": "stop"}[request.method]
    assert request.headers["Authorization"] == "token secret"
    return kind, user


def _json(code: int, content: Any) -> web.Response:
    return web.json_response(content, status=code, headers=VERSION)


def _error(code: int, message: str, **more: str) -> web.Response:
    headers = {**VERSION, **{key.replace("_", "-"): value for key, value in more.items()}}
    return web.json_response({"status": code, "message": message}, status=code, headers=headers)


def event(**fields: Any) -> bytes:
    """Encode an event of the progress stream."""
    return f"data: {json.dumps(fields)}\n\n".encode()
