"""Running code in a real kernel, with connections that are cut and kernels that die."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from binderprogress.client import Client, JupyterServer
from binderprogress.client import kernel as module
from binderprogress.client.jupyter import JupyterClient
from binderprogress.client.kernel import Kernel
from binderprogress.core.specs import from_address
from binderprogress.errors import RunFailedError

from ..support.asynchronous import asynchronous
from ..support.faultyproxy import FaultyProxy
from ..support.long import usually
from ..support.packages import plain_jupyter
from ..support.repositories import repository
from ..support.standalone import running

pytestmark = pytest.mark.hub


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    folder = tmp_path_factory.mktemp("kernel")
    made = repository(folder / "notebooks", {"a/b.ipynb": "{}"})
    packages = {"base_packages": [plain_jupyter(), "ipykernel"]}
    with running(folder, LocalBuilder=packages) as site, Client(site.url) as client:
        yield client.launch(str(from_address(made.as_uri())))


class Cut:
    """A kernel behind a proxy, and a connection to its server that bypasses the proxy."""

    def __init__(self, proxy: FaultyProxy, jupyter: JupyterClient, kernel_id: str) -> None:
        self.proxy = proxy
        self.jupyter = jupyter
        self.kernel_id = kernel_id

    def cut(self) -> None:
        """Cut the connection, and refuse others until `heal`."""
        self._target, self.proxy.target = self.proxy.target, self._nobody()
        self.proxy.cut()

    def heal(self) -> None:
        self.proxy.target = self._target
        self._socket.close()

    def _nobody(self) -> int:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))  # nothing listens there
        port: int = self._socket.getsockname()[1]
        return port

    async def connections(self, expected: int) -> None:
        """Wait until the server has this number of connections to the kernel."""
        while await self.jupyter.connections(self.kernel_id) != expected:  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    async def cut_and_wait(self) -> None:
        self.cut()
        await self.connections(0)


@asynccontextmanager
async def cutting(
    server: JupyterServer, hears: Callable[[bytes], bool] = lambda _: True
) -> AsyncIterator[tuple[Cut, Kernel]]:
    port = urlsplit(server.url).port
    assert port is not None
    async with FaultyProxy(port) as proxy:
        proxy.hears = hears
        behind = JupyterServer(
            server.url.replace(f":{port}/", f":{proxy.port}/"), server.token, server.ready
        )
        async with (
            JupyterClient(server) as beside,
            beside.kernel() as kernel_id,
            JupyterClient(behind) as jupyter,
            Kernel(jupyter, kernel_id) as kernel,
        ):
            yield Cut(proxy, beside, kernel_id), kernel


class Cell:
    """A cell that records each run in a file, and ends when `end` is called."""

    def __init__(self, folder: Path, *, meanwhile: str = "", at_last: str = "") -> None:
        self._begun, self._go, self._done = (folder / name for name in ("begun", "go", "done"))
        self.code = "\n".join(
            [
                "import os, pathlib, time",
                f"with open({str(self._begun)!r}, 'a') as file: print(os.getpid(), file=file)",
                f"while not pathlib.Path({str(self._go)!r}).exists():",
                f"    time.sleep(0.01); {meanwhile}",
                f"pathlib.Path({str(self._done)!r}).touch()",
                at_last,
            ]
        )

    async def begun(self) -> int:
        """Wait until it runs, and return the kernel's process id."""
        while not self._begun.exists() or not self._begun.read_text().endswith("\n"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # the kernel is another process
        (pid,) = self._begun.read_text().split()
        return int(pid)

    def end(self) -> None:
        self._go.touch()

    async def ended(self) -> None:
        while not self._done.exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    @property
    def runs(self) -> int:
        """Number of times that it was run."""
        return len(self._begun.read_text().split()) if self._begun.exists() else 0


@pytest.mark.long
@asynchronous(60)
async def test_a_cut_before_a_cell(server: JupyterServer, tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    cell.end()
    async with cutting(server) as (cut, kernel):
        await cut.cut_and_wait()
        cut.heal()
        await kernel.execute(cell.code, timeout=30)
        assert cell.runs == 1
        await kernel.execute("assert pathlib", timeout=30)


@pytest.mark.long
@asynchronous(60)
async def test_a_cell_that_ends_after_the_cut(server: JupyterServer, tmp_path: Path) -> None:
    cell = Cell(tmp_path, meanwhile="print('…')")
    async with cutting(server) as (cut, kernel):
        ran = asyncio.create_task(kernel.execute(cell.code, timeout=30))
        await cell.begun()
        for _ in range(3):
            await cut.cut_and_wait()
            cut.heal()
            await cut.connections(1)
        cell.end()
        await ran
        assert cell.runs == 1


@pytest.mark.parametrize(
    ("meanwhile", "at_last", "kind"),
    [
        pytest.param("", "", "", id="silent", marks=pytest.mark.long),
        pytest.param("print('…')", "", "", id="with outputs"),
        pytest.param("", "1/0", "cell-failed", id="fails", marks=pytest.mark.long),
    ],
)
@asynchronous(60)
async def test_a_cell_that_ends_while_nobody_is_connected(
    server: JupyterServer, tmp_path: Path, meanwhile: str, at_last: str, kind: str
) -> None:
    cell = Cell(tmp_path, meanwhile=meanwhile, at_last=at_last)
    async with cutting(server) as (cut, kernel):
        ran = asyncio.create_task(kernel.execute(cell.code, timeout=30))
        await cell.begun()
        await cut.cut_and_wait()
        cell.end()
        await cell.ended()
        cut.heal()
        if kind:
            with pytest.raises(RunFailedError, match="ZeroDivisionError") as failed:
                await ran
            assert failed.value.kind == kind
        else:
            await ran
        assert cell.runs == 1
        await kernel.execute("assert pathlib", timeout=30)


class Ear:
    """Records what a proxy forwards, or drops it."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.swallows = False

    def __call__(self, data: bytes) -> bool:
        self.heard += data
        return not self.swallows

    async def hears(self, word: bytes) -> None:
        while word not in self.heard:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("begun", usually([True, False], True))
@asynchronous(60)
async def test_a_reply_that_is_lost(server: JupyterServer, tmp_path: Path, begun: bool) -> None:
    """It cannot be recovered. The error says what is known, and the cell is not run again."""
    cell = Cell(tmp_path)
    async with cutting(server) as (cut, kernel):
        cut.proxy.hears = ear = Ear()
        ear.swallows = not begun
        ran = asyncio.create_task(kernel.execute(cell.code, timeout=30))
        await cell.begun()
        await ear.hears(b"busy")
        ear.swallows = True
        cell.end()
        await ear.hears(b"execute_reply")
        await cut.cut_and_wait()
        ear.swallows = False
        cut.heal()
        with pytest.raises(RunFailedError) as failed:
            await ran
        assert failed.value.kind == "reply-lost"
        assert ("The cell was run, but" in str(failed.value)) is begun
        assert cell.runs == 1
        await kernel.execute("assert pathlib", timeout=30)


@asynchronous(60)
async def test_a_first_reply_that_is_lost(
    server: JupyterServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel may miss a request while it starts. The client repeats it."""
    monkeypatch.setattr(module, "_ASK_AGAIN", 1.0)
    dropped: list[bytes] = []

    def hears(data: bytes) -> bool:
        is_dropped = b"kernel_info_reply" in data and not dropped
        if is_dropped:
            dropped.append(data)
        return not is_dropped

    async with cutting(server, hears) as (_, kernel):
        assert dropped
        await kernel.execute("assert 1", timeout=30)


@asynchronous(60)
async def test_another_client_is_connected(
    server: JupyterServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server does not buffer then. The client reconnects all the same."""
    monkeypatch.setattr(module, "_DISCONNECT_TIMEOUT", 0.3)
    cell = Cell(tmp_path)
    cell.end()
    async with cutting(server) as (cut, kernel), Kernel(cut.jupyter, cut.kernel_id):
        cut.cut()
        await cut.connections(1)
        cut.heal()
        await kernel.execute(cell.code, timeout=30)
        assert cell.runs == 1


@pytest.mark.parametrize("again", usually([True, False], True))
@asynchronous(60)
async def test_a_kernel_that_dies_while_nobody_is_connected(
    server: JupyterServer, tmp_path: Path, again: bool
) -> None:
    """Both before and after the server has restarted it."""
    cell = Cell(tmp_path)
    async with cutting(server) as (cut, kernel):
        ran = asyncio.create_task(kernel.execute(cell.code, timeout=30))
        pid = await cell.begun()
        await cut.cut_and_wait()
        os.kill(pid, signal.SIGKILL)
        while again:
            # It fails if it connects before the server has noticed that the kernel died.
            with suppress(RunFailedError):
                async with Kernel(cut.jupyter, cut.kernel_id):
                    again = False
        await cut.connections(0)
        cut.heal()
        with pytest.raises(RunFailedError) as failed:
            await ran
        assert failed.value.kind == "kernel-died"
        assert cell.runs == 1


@pytest.mark.long
@asynchronous(60)
async def test_a_server_that_does_not_come_back(
    server: JupyterServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PAUSES", (0.0, 0.01, 0.02))
    cell = Cell(tmp_path)
    async with cutting(server) as (cut, kernel):
        ran = asyncio.create_task(kernel.execute(cell.code, timeout=30))
        await cell.begun()
        cut.cut()
        with pytest.raises(RunFailedError) as failed:
            await ran
        assert failed.value.kind == "server-lost"
        cut.heal()


@asynchronous(60)
async def test_a_kernel_that_does_not_exist(server: JupyterServer) -> None:
    async with JupyterClient(server) as jupyter:
        with pytest.raises(RunFailedError) as failed:
            async with Kernel(jupyter, "00000000-0000-0000-0000-000000000000"):
                pass
        assert failed.value.kind == "kernel-died"
        assert await jupyter.notebooks() == ["a/b.ipynb"]


@asynchronous(60)
async def test_a_wrong_token(server: JupyterServer) -> None:
    async with JupyterClient(JupyterServer(server.url, "wrong", server.ready)) as jupyter:
        with pytest.raises(RunFailedError, match="Forbidden"):
            await jupyter.notebooks()
