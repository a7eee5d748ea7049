"""Whether Jupyter servers answer."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.test_utils import TestServer

from binderprogress.backends.base import RunningServer
from binderprogress.backends.probe import JupyterProbe

from ..support.asynchronous import asynchronous

SILENT = "/user/silent/"


async def answer(request: web.Request) -> web.Response:
    """Answer as a proxy does, with one server behind it, and one that hangs."""
    if request.path.startswith(SILENT):
        await asyncio.sleep(60)
    if request.path_qs != "/user/ada/api/status":
        # As JupyterHub does for servers that do not run.
        raise web.HTTPFound("/hub/login")
    is_known = request.headers.get("Authorization") == "token secret"
    return web.json_response({}, status=200 if is_known else 403)


@asynchronous(30)
async def test_only_the_answer_to_its_own_token_counts() -> None:
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        site = str(server.make_url("")).rstrip("/")
        probe = JupyterProbe(timeout=0.5)
        for path in ("/user/ada/", "/user/ada", "/user/ada/?token=secret"):
            assert await probe.answers(RunningServer(f"{site}{path}", "secret")), path
        others = [
            RunningServer(f"{site}/user/ada/", "another"),
            RunningServer(f"{site}/user/gone/", "secret"),
            RunningServer(f"{site}{SILENT}", "secret"),
            RunningServer("http://127.0.0.1:1/user/ada/", "secret"),
            RunningServer("http://[", "secret"),
        ]
        assert not any(await asyncio.gather(*map(probe.answers, others)))
        await probe.close()
        # Browsers use another address than this server.
        inside = JupyterProbe(timeout=5.0, proxy_url=f"{site}/")
        assert await inside.answers(RunningServer("https://hub.invalid/user/ada/", "secret"))
        await inside.close()
    closed = JupyterProbe(timeout=1.0)
    await closed.close()
