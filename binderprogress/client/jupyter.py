"""A launched Jupyter server: list and read its notebooks, start kernels, stop the server.

It uses Jupyter Server's REST API. The responses are untrusted: the repository's code runs in that
server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from .._responses import read_text
from ..core.printable import plain
from ..errors import RunFailedError, ServerUnreachableError, StreamError
from .addresses import is_loopback
from .http_client import LONGEST_RESPONSE
from .models import JupyterServer
from .notebook import Notebook

__all__ = ["JupyterClient"]

# A folder may be a link to one of its parents.
_MAX_DEPTH = 8
_MAX_NOTEBOOKS = 1000
_STOP_TIMEOUT = 15.0
_KERNEL_TIMEOUT = 60.0
# The server waits a while for a busy kernel before it kills it.
_END_SESSION_TIMEOUT = 5.0

_T = TypeVar("_T")


class _NotebookFile(msgspec.Struct):
    type: str
    content: Notebook


class _Entry(msgspec.Struct):
    path: str
    type: str


class _Folder(msgspec.Struct):
    content: list[_Entry]


class _KernelId(msgspec.Struct):
    id: str


class _RunningKernel(msgspec.Struct):
    id: str
    connections: int = 0


class _Session(msgspec.Struct):
    id: str
    kernel: _KernelId


class _Kernelspecs(msgspec.Struct):
    kernelspecs: dict[str, Any]


class _Message(msgspec.Struct):
    message: str | None = None


class JupyterClient:
    """A running Jupyter server.

    Parameters
    ----------
    server : JupyterServer
        Its address and token.
    timeout : float
        Maximum time for a request, in seconds.
    """

    def __init__(self, server: JupyterServer, *, timeout: float = 30.0) -> None:
        self.url = server.url
        self.headers = {"Authorization": f"token {server.token}"} if server.token else {}
        self._session = aiohttp.ClientSession(
            headers=self.headers,
            timeout=aiohttp.ClientTimeout(total=timeout),
            trust_env=not is_loopback(server.url),
        )

    async def __aenter__(self) -> JupyterClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    # -- notebooks

    async def notebooks(self) -> list[str]:
        """List the paths of all notebooks, sorted.

        Raises
        ------
        RunFailedError
            With the kind ``no-notebook`` if there are too many.
        """
        paths: list[str] = []
        folders = [("", 0)]
        while folders:
            path, depth = folders.pop()
            text = await self._get(f"{_contents(path)}?type=directory&content=1")
            for entry in self._read(text, _Folder).content:
                if entry.type == "notebook":
                    paths.append(entry.path)
                elif entry.type == "directory" and depth < _MAX_DEPTH:
                    folders.append((entry.path, depth + 1))
            if len(paths) > _MAX_NOTEBOOKS:
                raise RunFailedError(
                    f"The repository has more than {_MAX_NOTEBOOKS} notebooks. "
                    "Name the ones to run.",
                    kind="no-notebook",
                )
        return sorted(paths)

    async def notebook(self, path: str) -> Notebook:
        """Read a notebook.

        Raises
        ------
        RunFailedError
            With the kind ``no-notebook`` if it does not exist or is not a notebook.
        """
        status, text = await self._request("GET", f"{_contents(path)}?type=notebook&content=1")
        if status == 404:
            raise RunFailedError(f"There is no notebook {path!r}.", kind="no-notebook")
        if status == 400:
            raise RunFailedError(f"{path!r} is not a notebook.", kind="no-notebook")
        self._check(status, text)
        try:
            return msgspec.json.decode(text, type=_NotebookFile).content
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise RunFailedError(f"{path!r} is not a notebook.", kind="no-notebook") from error

    # -- kernels

    @asynccontextmanager
    async def kernel(self, *, name: str = "", path: str = "") -> AsyncIterator[str]:
        """Start a kernel, and shut it down at the end of the block.

        Parameters
        ----------
        name : str
            Name of the kernelspec; empty for the server's default.
        path : str
            Path of the notebook to run. The kernel starts in its folder.

        Yields
        ------
        str
            The kernel's id.

        Raises
        ------
        RunFailedError
            With the kind ``no-kernel`` if the kernel is not installed or does not start.
        """
        if name:
            specs = self._read(await self._get("api/kernelspecs"), _Kernelspecs).kernelspecs
            if name not in specs:
                raise RunFailedError(
                    f"The kernel {plain(name)!r} is not installed.", kind="no-kernel"
                )
        body = {
            "path": path or "check",
            "name": path or "check",
            "type": "notebook" if path else "console",
            "kernel": {"name": name or None},
        }
        status, text = await self._request("POST", "api/sessions", body, timeout=_KERNEL_TIMEOUT)
        if status >= 400:
            raise RunFailedError(
                f"The kernel could not be started: {_message(text) or status}.", kind="no-kernel"
            )
        session = self._read(text, _Session)
        try:
            yield session.kernel.id
        finally:
            await self._end_session(session.id)

    async def connections(self, kernel_id: str) -> int:
        """Return the number of connections to a kernel that the server knows of.

        Raises
        ------
        RunFailedError
            With the kind ``kernel-died`` if the server no longer lists the kernel.
        """
        # Not /api/kernels/<id>: its 404 may come from a JupyterHub whose server has stopped.
        for kernel in self._read(await self._get("api/kernels"), list[_RunningKernel]):
            if kernel.id == kernel_id:
                return kernel.connections
        raise RunFailedError("The kernel died: the server no longer lists it.", kind="kernel-died")

    async def _end_session(self, session: str) -> None:
        try:
            path = f"api/sessions/{quote(session, safe='')}"
            await self._request("DELETE", path, timeout=_END_SESSION_TIMEOUT)
        except RunFailedError:
            return  # the server has stopped, and its kernels too; or it still ends this one

    # -- stopping

    async def stop(self) -> None:
        """Stop the server, and wait until it has stopped.

        Raises
        ------
        ServerUnreachableError
            If it is still running after 15 seconds.
        """
        try:
            status, _ = await self._request("POST", "api/shutdown")
        except RunFailedError:
            status = 0  # it stopped before it had responded, or earlier
        try:
            async with asyncio.timeout(_STOP_TIMEOUT):
                while await self._is_up():  # noqa: ASYNC110 - there is no event to wait for
                    await asyncio.sleep(0.1)
        except TimeoutError:
            answer = f" It responded with status {status}." if status >= 400 else ""
            raise ServerUnreachableError(
                f"The server {self.url} could not be stopped.{answer}"
            ) from None

    async def _is_up(self) -> bool:
        try:
            status, _ = await self._request("GET", "api/status")
        except RunFailedError:
            return False
        # Once it has stopped, a JupyterHub may respond with a redirect to a page of its own.
        return 200 <= status < 300

    # -- requests

    async def _get(self, path: str) -> str:
        status, text = await self._request("GET", path)
        self._check(status, text)
        return text

    async def _request(
        self, method: str, path: str, body: Any = None, *, timeout: float | None = None
    ) -> tuple[int, str]:
        options = {"timeout": aiohttp.ClientTimeout(total=timeout)} if timeout else {}
        try:
            async with self._session.request(
                method,
                f"{self.url}{path}",
                json=body,
                allow_redirects=False,
                **options,  # type: ignore[arg-type] # a timeout or nothing
            ) as response:
                return response.status, await read_text(response, LONGEST_RESPONSE)
        except (aiohttp.ClientError, TimeoutError, ValueError, StreamError) as error:
            raise RunFailedError(
                f"The server no longer responds ({error or type(error).__name__}).",
                kind="server-lost",
            ) from error

    def _check(self, status: int, text: str) -> None:
        if not 200 <= status < 300:
            raise RunFailedError(
                f"The server responded with an error: {_message(text) or status}.",
                kind="server-lost",
            )

    def _read(self, text: str, kind: type[_T]) -> _T:
        try:
            return msgspec.json.decode(text, type=kind)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise RunFailedError(
                f"The response from {self.url} is not from a Jupyter server.", kind="server-lost"
            ) from error


def _contents(path: str) -> str:
    return f"api/contents/{quote(path)}"


def _message(text: str) -> str:
    """Return the message of an error response, or an empty string."""
    try:
        message = msgspec.json.decode(text, type=_Message).message or ""
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""
    return plain(message)[:500].strip().rstrip(".")
