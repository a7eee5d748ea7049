"""A Jupyter server that was launched: its notebooks, its kernels, its end.

By Jupyter Server's REST API. What comes back is hostile input: the repository's code answers there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec

from ..core.reasons import plain
from ..errors import RunFailedError, ServerUnreachableError, StreamError
from .addresses import is_near
from .bounded import read_text
from .models import Server

__all__ = ["Cell", "JupyterServer", "Notebook"]

# Folders may be links to those above them.
_DEEPEST = 8
_MOST_NOTEBOOKS = 1000
_STOP_TIMEOUT = 15.0
_KERNEL_TIMEOUT = 60.0
# A kernel that is busy is ended only after a while.
_FORGET_TIMEOUT = 5.0
_TAGS_TO_SKIP = {"skip-execution"}
_TAGS_TO_FAIL = {"raises-exception"}

_T = TypeVar("_T")


class _Metadata(msgspec.Struct):
    tags: list[str] = []


class Cell(msgspec.Struct, frozen=True):
    """A cell of a notebook, as much of it as running it needs."""

    cell_type: str
    source: str | list[str] = ""
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)

    @property
    def code(self) -> str:
        """What is to be run; empty for what is no code, or is not to be run."""
        if self.cell_type != "code" or _TAGS_TO_SKIP & {*self.metadata.tags}:
            return ""
        text = self.source if isinstance(self.source, str) else "".join(self.source)
        return text if text.strip() else ""

    @property
    def may_raise(self) -> bool:
        """Whether its author says that it raises an exception."""
        return bool(_TAGS_TO_FAIL & {*self.metadata.tags})


class _Kernelspec(msgspec.Struct):
    name: str = ""


class _NotebookMetadata(msgspec.Struct):
    kernelspec: _Kernelspec = msgspec.field(default_factory=_Kernelspec)


class Notebook(msgspec.Struct, frozen=True):
    """A notebook, as much of it as running it needs."""

    cells: list[Cell]
    metadata: _NotebookMetadata = msgspec.field(default_factory=_NotebookMetadata)

    @property
    def kernel(self) -> str:
        """The name of the kernelspec that it wants; empty for the default."""
        return self.metadata.kernelspec.name


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


class JupyterServer:
    """A running Jupyter server.

    Parameters
    ----------
    server : Server
    timeout : float
        Seconds that an answer may take.
    """

    def __init__(self, server: Server, *, timeout: float = 30.0) -> None:
        self.url = server.url
        self.headers = {"Authorization": f"token {server.token}"} if server.token else {}
        self._session = aiohttp.ClientSession(
            headers=self.headers,
            timeout=aiohttp.ClientTimeout(total=timeout),
            trust_env=not is_near(server.url),
        )

    async def __aenter__(self) -> JupyterServer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    # -- notebooks

    async def notebooks(self) -> list[str]:
        """List the paths of all notebooks, in the order of their names."""
        found: list[str] = []
        folders = [("", 0)]
        while folders:
            path, depth = folders.pop()
            text = await self._get(f"{_contents(path)}?type=directory&content=1")
            for entry in self._read(text, _Folder).content:
                if entry.type == "notebook":
                    found.append(entry.path)
                elif entry.type == "directory" and depth < _DEEPEST:
                    folders.append((entry.path, depth + 1))
            if len(found) > _MOST_NOTEBOOKS:
                raise RunFailedError(
                    f"There are more than {_MOST_NOTEBOOKS} notebooks: name some.",
                    kind="no-notebook",
                )
        return sorted(found)

    async def notebook(self, path: str) -> Notebook:
        """Read a notebook.

        Raises
        ------
        RunFailedError
            Of the kind ``no-notebook``, if it is none or is not there.
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
        """Have a kernel while the block runs.

        Parameters
        ----------
        name : str
            The name of its kernelspec; empty for the server's default.
        path : str
            The notebook that it is for: it runs in its folder.

        Yields
        ------
        str
            The kernel's id.

        Raises
        ------
        RunFailedError
            Of the kind ``no-kernel``, if it cannot be started.
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
            await self._forget(session.id)

    async def connections(self, kernel_id: str) -> int:
        """Return how many are connected to a kernel, as far as the server has noticed.

        Raises
        ------
        RunFailedError
            Of the kind ``kernel-died``, if the server does not have it any more.
        """
        # Not the kernel's own address: 404 there may come from a Hub that has lost the server.
        for kernel in self._read(await self._get("api/kernels"), list[_RunningKernel]):
            if kernel.id == kernel_id:
                return kernel.connections
        raise RunFailedError("The kernel died: the server has it no more.", kind="kernel-died")

    async def _forget(self, session: str) -> None:
        try:
            path = f"api/sessions/{quote(session, safe='')}"
            await self._request("DELETE", path, timeout=_FORGET_TIMEOUT)
        except RunFailedError:
            return  # the server is gone, and its kernels with it; or it will end this one in time

    # -- its end

    async def stop(self) -> None:
        """Stop the server, and wait until it is gone.

        Raises
        ------
        ServerUnreachableError
            If it does not let itself be stopped.
        """
        try:
            status, _ = await self._request("POST", "api/shutdown")
        except RunFailedError:
            status = 0  # cut off while it answered, or gone before; seen below
        try:
            async with asyncio.timeout(_STOP_TIMEOUT):
                while await self._is_up():  # noqa: ASYNC110 - there is no event for it
                    await asyncio.sleep(0.1)
        except TimeoutError:
            said = f" It answered {status}." if status >= 400 else ""
            raise ServerUnreachableError(
                f"The server {self.url} could not be stopped.{said}"
            ) from None

    async def _is_up(self) -> bool:
        try:
            status, _ = await self._request("GET", "api/status")
        except RunFailedError:
            return False
        # Once it is gone its Hub may answer, and send us to a page of its own.
        return 200 <= status < 300

    # -- requests

    async def _get(self, path: str) -> str:
        status, text = await self._request("GET", path)
        self._check(status, text)
        return text

    async def _request(
        self, method: str, path: str, body: Any = None, *, timeout: float | None = None
    ) -> tuple[int, str]:
        more = {"timeout": aiohttp.ClientTimeout(total=timeout)} if timeout else {}
        try:
            async with self._session.request(
                method,
                f"{self.url}{path}",
                json=body,
                allow_redirects=False,
                **more,  # type: ignore[arg-type] # a timeout, or none
            ) as response:
                return response.status, await read_text(response)
        except (aiohttp.ClientError, TimeoutError, ValueError, StreamError) as error:
            raise RunFailedError(
                f"The server does not answer any more ({error or type(error).__name__}).",
                kind="server-lost",
            ) from error

    def _check(self, status: int, text: str) -> None:
        if not 200 <= status < 300:
            raise RunFailedError(
                f"The server answers with {_message(text) or status}.", kind="server-lost"
            )

    def _read(self, text: str, kind: type[_T]) -> _T:
        try:
            return msgspec.json.decode(text, type=kind)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise RunFailedError(
                "What answers at the server's address is no Jupyter server.", kind="server-lost"
            ) from error


def _contents(path: str) -> str:
    return f"api/contents/{quote(path)}"


def _message(text: str) -> str:
    """Return what an error of Jupyter's says, or nothing."""
    try:
        message = msgspec.json.decode(text, type=_Message).message or ""
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""
    return plain(message)[:500].strip().rstrip(".")
