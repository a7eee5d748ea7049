"""Running code in a real kernel, and what goes wrong with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from binderprogress.client import Client, Server
from binderprogress.client.jupyter import JupyterServer
from binderprogress.client.kernel import Kernel
from binderprogress.core.specs import from_address
from binderprogress.errors import RunFailedError

from ..support.asynchronous import asynchronous
from ..support.cutting import CuttingProxy
from ..support.repositories import repository
from ..support.standalone import running

pytestmark = pytest.mark.hub


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("kernel")
    made = repository(folder / "notebooks", {"a/b.ipynb": "{}"})
    with running(folder) as site, Client(site.url) as client:
        yield client.launch(str(from_address(made.as_uri())))


@asynchronous(60)
async def test_a_cut_while_a_cell_runs_is_told(server: Server, tmp_path: Path) -> None:
    """What becomes of the cell nobody knows then; it is not run twice."""
    begun = tmp_path / "begun"
    cell = f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(600)"
    port = urlsplit(server.url).port
    assert port is not None
    async with CuttingProxy(port) as proxy:
        url = server.url.replace(f":{port}/", f":{proxy.port}/")
        async with (
            JupyterServer(Server(url, server.token, server.ready)) as jupyter,
            jupyter.kernel() as kernel_id,
            Kernel(jupyter, kernel_id) as kernel,
        ):
            cell_runs = asyncio.create_task(kernel.execute(cell, timeout=30))
            while not begun.exists():  # noqa: ASYNC110 - another process tells
                await asyncio.sleep(0.05)
            proxy.cut()
            with pytest.raises(RunFailedError) as failed:
                await cell_runs
            assert failed.value.kind == "server-lost"


@asynchronous(60)
async def test_a_kernel_that_is_not_there(server: Server) -> None:
    async with JupyterServer(server) as jupyter:
        with pytest.raises(RunFailedError) as failed:
            async with Kernel(jupyter, "00000000-0000-0000-0000-000000000000"):
                pass
        assert failed.value.kind == "server-lost"
        assert await jupyter.notebooks() == ["a/b.ipynb"]


@asynchronous(60)
async def test_a_token_that_does_not_open_it(server: Server) -> None:
    async with JupyterServer(Server(server.url, "wrong", server.ready)) as jupyter:
        with pytest.raises(RunFailedError, match="Forbidden"):
            await jupyter.notebooks()
