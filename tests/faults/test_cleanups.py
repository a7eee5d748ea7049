"""A server that JupyterHub does not remove at once is removed by the next server."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import requests

from ..support.asynchronous import asynchronous
from ..support.faultyhub import Fault, faulty_hub, nothing, status
from ..support.processes import Program, program
from ..support.standalone import post
from ..support.waiting import until

WITHIN = 120.0


def listens(server: Program, log: Path) -> str:
    line = server.line()
    assert line.startswith("binderprogress listens on"), log.read_text()
    return line.split()[-1]


def leases(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "launches.sqlite")) as database:
        return [name for (name,) in database.execute("SELECT name FROM leases WHERE ended IS NULL")]


@pytest.mark.fault(
    part="JupyterHub",
    fault="answers 429 when a server is to be removed, and our server is killed",
    promise="the next server removes it, and its user",
)
@pytest.mark.parametrize(
    ("fault", "lease"),
    [(nothing, "launch."), pytest.param(status(429), "cleanup.", marks=pytest.mark.long)],
)
@asynchronous(60)
async def test_a_clean_up_goes_on_after_a_restart(
    fault: Fault,
    lease: str,
    env: dict[str, str],
    make_repository: Callable[..., Path],
    tmp_path: Path,
) -> None:
    repository = make_repository(files={"requirements.txt": ""})
    log = tmp_path / "log"
    async with faulty_hub() as hub:
        hub.ready.clear()
        hub.always["stop"] = fault
        arguments = [
            *("binderprogress", "serve", "--port=0", f"--hub={hub.url}"),
            f"--LocalBuilder.local_folders={tmp_path}",
            f"--Storage.url=sqlite:///{tmp_path}/launches.sqlite",
            f"--Storage.log_folder={tmp_path}/logs",
            "--HubLauncher.api_token=secret",
            "--History.url=",
        ]
        with program(*arguments, env=env, log=log) as first:
            url = await asyncio.to_thread(listens, first, log)
            links = await asyncio.to_thread(
                post, f"{url}api/launches", {"spec": repository.as_uri()}
            )
            await asyncio.to_thread(until, lambda: hub.spawns)
            await asyncio.to_thread(requests.delete, links["state_url"], timeout=WITHIN)
            await asyncio.to_thread(until, lambda: "stop" in hub.asked)
            # The launch does not end before the first answer.
            await asyncio.to_thread(
                until, lambda: [name for name in leases(tmp_path) if name.startswith(lease)]
            )
            first.signal(signal.SIGKILL)
            await asyncio.to_thread(first.wait, 20)
        assert list(hub.users.values()) == ["spawn"]
        del hub.always["stop"]
        with program(*arguments, env=env, log=log) as second:
            await asyncio.to_thread(listens, second, log)
            await asyncio.to_thread(until, lambda: not hub.users)
            await asyncio.to_thread(until, lambda: not leases(tmp_path))
            second.signal(signal.SIGINT)
            assert await asyncio.to_thread(second.wait, 30) == 0
    assert "Traceback" not in log.read_text()
