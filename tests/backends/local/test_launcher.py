"""Jupyter servers that are processes of this one."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from binderprogress.backends.base import Record, RunningServer
from binderprogress.backends.local import launcher as module
from binderprogress.backends.local.launcher import ProcessLauncher
from binderprogress.backends.local.marker import MARKER
from binderprogress.errors import LaunchFailedError

from ...support.asynchronous import asynchronous
from ...support.gone import gone, within
from ...support.launch_requests import Request, launch_request

_JUPYTER = f"""\
#!{sys.executable}
from jupyter_server.serverapp import main
main()
"""


@pytest.fixture
def environments(tmp_path: Path) -> Path:
    folder = tmp_path / "environments"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers have their copies here."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))


def environment(folder: Path, script: str = _JUPYTER, *, start: str = "") -> Path:
    """Make an environment whose ``jupyter-lab`` is a script."""
    made = folder / f"penguins-{'0' * 32}"
    programs = made / "venv" / "bin"
    programs.mkdir(parents=True)
    python = f'#!/bin/sh\nexec {sys.executable} "$@"\n'
    for name, text in {"python": python, "jupyter-lab": script}.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (made / "repository").mkdir()
    (made / "repository" / "a.txt").write_text("good")
    if start:
        (made / "repository" / "start").write_text(start)
    (made / MARKER).write_text(json.dumps({"start": "start" if start else ""}))
    return made


def made(environments: Path) -> ProcessLauncher:
    return ProcessLauncher(environments, log=logging.getLogger(__name__))


async def launched(launcher: ProcessLauncher, request: Request) -> tuple[list[Any], RunningServer]:
    async with aclosing(launcher.launch(request)) as items:
        *records, server = [item async for item in items]
    assert isinstance(server, RunningServer)
    return records, server


@asynchronous(60)
async def test_a_server_answers_to_its_token_and_ends_with_its_launcher(
    environments: Path, tmp_path: Path
) -> None:
    folder = environment(environments)
    launcher, request = made(environments), launch_request(image=str(folder))
    records, server = await launched(launcher, request)
    assert records == [Record("process", "Starting the server\n")]
    assert server.token == request.token
    running = within(tmp_path / "temporary")
    assert running
    assert not any(request.token in " ".join(each.cmdline()) for each in running)
    contents = f"{server.url}api/contents/a.txt"
    async with aiohttp.ClientSession() as session:
        async with session.get(contents) as response:
            assert response.status == 403
        headers = {"Authorization": f"token {request.token}"}
        async with session.get(contents, headers=headers) as response:
            assert (await response.json())["content"] == "good"
        change = {"type": "file", "format": "text", "content": "evil"}
        async with session.put(contents, json=change, headers=headers) as response:
            assert response.status == 200
    assert (folder / "repository" / "a.txt").read_text() == "good"
    await launcher.close()
    assert gone(running)
    assert not list((tmp_path / "temporary").iterdir())


@asynchronous(60)
async def test_one_of_two_servers_is_stopped(environments: Path) -> None:
    launcher = made(environments)
    image = str(environment(environments))
    requests = [launch_request(key=key, image=image) for key in ("a", "b")]
    servers = [(await launched(launcher, request))[1] for request in requests]
    try:
        await launcher.stop(requests[0])
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.get(f"{servers[0].url}api")
            async with session.get(f"{servers[1].url}api") as response:
                assert response.status == 200
    finally:
        await launcher.close()


@asynchronous(60)
async def test_the_start_script_of_a_repository_runs_the_server(environments: Path) -> None:
    start = '#!/bin/sh\necho started > started.txt\nexec "$@"\n'
    launcher = made(environments)
    request = launch_request(image=str(environment(environments, start=start)))
    _, server = await launched(launcher, request)
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(
                f"{server.url}api/contents/started.txt",
                headers={"Authorization": f"token {request.token}"},
            ) as response,
        ):
            assert (await response.json())["content"] == "started\n"
    finally:
        await launcher.close()


@asynchronous(60)
async def test_a_server_that_ends_shows_its_last_lines(environments: Path, tmp_path: Path) -> None:
    script = "#!/bin/sh\necho 'No module named tornado'\nexit 3\n"
    launcher = made(environments)
    request = launch_request(image=str(environment(environments, script)))
    records = []
    async with aclosing(launcher.launch(request)) as items:
        with pytest.raises(LaunchFailedError, match=r"ended before it answered \(exit code 3\)"):
            async for item in items:
                records.append(item)  # noqa: PERF401 - what came before the error counts
    assert records[-1] == Record("process", "No module named tornado\n")
    assert not list((tmp_path / "temporary").iterdir())


@asynchronous(60)
async def test_another_port_is_tried_if_one_is_taken(
    environments: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a program that is faster than the server, and does not speak HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken, free = other.getsockname()[1], module.free_ports(1)[0]
        ports = iter([taken, free])
        monkeypatch.setattr(module, "free_ports", lambda _: [next(ports)])
        launcher = made(environments)
        _, server = await launched(launcher, launch_request(image=str(environment(environments))))
        assert server.url == f"http://127.0.0.1:{free}/"
        await launcher.close()


@asynchronous(60)
async def test_a_launch_that_is_cancelled_leaves_nothing(
    environments: Path, tmp_path: Path
) -> None:
    launcher = made(environments)
    script = "#!/bin/sh\ntouch ready\nsleep 600\n"
    request = launch_request(image=str(environment(environments, script)))
    launching = asyncio.create_task(launched(launcher, request))
    while not (running := _sleeping(tmp_path / "temporary")):  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.02)
    launching.cancel()
    await asyncio.wait([launching])
    assert gone(running)
    assert not list((tmp_path / "temporary").iterdir())


def _sleeping(folder: Path) -> list[psutil.Process]:
    return within(folder) if list(folder.glob("*/home/ready")) else []


@asynchronous(60)
async def test_an_environment_that_is_gone(environments: Path) -> None:
    launcher = made(environments)
    missing = environments / f"penguins-{'1' * 32}"
    for image in (missing, environments.parent, "/"):
        with pytest.raises(LaunchFailedError, match="Launch the repository again"):
            await launched(launcher, launch_request(image=str(image)))
