"""A server that pulls popular images in advance, its page and metrics, and the command."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from traitlets.config import Config

from binderprogress.backends.kubernetes import pulling
from binderprogress.core.kubernetes.names import image_name
from binderprogress.core.specs import parse
from binderprogress.deploy.standalone import Standalone
from binderprogress.errors import ConfigError
from binderprogress.history.database import Database

from ..history.launches import past
from ..support.apinodes import NodeApiServer
from ..support.apiserver import NAMESPACE, api_server
from ..support.asynchronous import asynchronous

PREFIX = "127.0.0.1:9/x-"
SPEC = parse("gh/ada/penguins/HEAD")
IMAGE = image_name(SPEC, "c0", prefix=PREFIX)
SECRET = f"{PREFIX}secret:1"


def config(folder: Path, kubeconfig: Path, **web: object) -> Config:
    """Write a history, and return settings that use it."""
    url = f"sqlite:///{folder}/history.sqlite"
    database = Database(url, log=logging.getLogger())
    database.write(
        [
            past(began=time.time(), repository=repository, image=image)
            for repository, image in ((SPEC.repo_url, IMAGE), ("git@example.org:s", SECRET))
        ]
    )
    database.close()
    settings = {
        "Standalone": {"engine": "kubernetes", "port": 0},
        "HubLauncher": {"url": "http://127.0.0.1:9/", "api_token": "x"},
        "KubernetesBuilder": {
            "kubeconfig": str(kubeconfig),
            "namespace": NAMESPACE,
            "image_prefix": PREFIX,
        },
        "Prepuller": {"enabled": True},
        "History": {"url": url},
        "Storage": {"url": "memory"},
        "Web": web,
    }
    return Config({section: Config(values) for section, values in settings.items()})


@asynccontextmanager
async def serving(settings: Config) -> AsyncIterator[tuple[Standalone, aiohttp.ClientSession]]:
    standalone = Standalone(config=settings)
    await standalone.start()
    try:
        async with aiohttp.ClientSession(standalone.url) as session:
            yield standalone, session
    finally:
        await standalone.stop()


async def get(session: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with session.get(path) as response:
        return response.status, await response.text()


@asynchronous(60)
async def test_a_server_pulls_what_is_popular_and_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "_PAUSE", 0.0)
    async with api_server(tmp_path, NodeApiServer) as (server, kubeconfig):
        server.set_node("node-1")
        server.set_node("node-2", unschedulable=True)
        async with serving(config(tmp_path, kubeconfig)) as (standalone, session):
            while not server.pulls:
                await server.next_request()
            ((name, pull),) = server.pulls.items()
            assert pull == ("node-1", IMAGE)
            assert standalone.prepuller is not None
            report = standalone.prepuller.report()
            while not report.nodes or not report.nodes[0].pulling:
                report = await standalone.prepuller.next_report()
            status, page = await get(session, "/prepull")
            assert status == 200
            assert f"Pulling {IMAGE.rpartition('/')[2]}" in page
            assert "Cordoned" in page
            assert "secret" not in page
            _, metrics = await get(session, "/metrics")
            assert "binderprogress_prepull_pulls_running 1.0" in metrics
            assert 'binderprogress_prepull_nodes{obstacle="cordoned"} 1.0' in metrics
            server.set(name, "Running", {"running": {}})
            while not report.totals.pulled or report.running:
                report = await standalone.prepuller.next_report()
            found = json.loads((await get(session, "/api/prepull"))[1])
            assert [node["present"] for node in found["nodes"]] == [1, 0]
            assert found["images"][0]["name"] == IMAGE
            assert found["is_leader"]
        assert server.leases["binderprogress-prepull"]["spec"]["holderIdentity"] == ""


@asynchronous(60)
async def test_names_of_repositories_may_be_secret(tmp_path: Path) -> None:
    async with (
        api_server(tmp_path, NodeApiServer) as (_, kubeconfig),
        serving(config(tmp_path, kubeconfig, name_repositories=False)) as (_, session),
    ):
        for path in ("/prepull", "/api/prepull"):
            status, text = await get(session, path)
            assert status == 403
            assert "c.Web.name_repositories" in text


@asynchronous(60)
async def test_a_server_that_pulls_nothing_has_no_page(tmp_path: Path) -> None:
    settings = config(tmp_path, tmp_path)
    settings.Prepuller.enabled = False
    async with serving(settings) as (_, session):
        for path in ("/prepull", "/api/prepull"):
            assert (await get(session, path))[0] == 404


def test_other_engines_have_no_nodes(tmp_path: Path) -> None:
    settings = config(tmp_path, tmp_path)
    settings.Standalone.engine = "podman"
    with pytest.raises(ConfigError, match="engine 'kubernetes'"):
        Standalone(config=settings)


@asynchronous(120)
async def test_the_command_shows_what_would_be_pulled(tmp_path: Path) -> None:
    async with api_server(tmp_path, NodeApiServer) as (server, kubeconfig):
        server.set_node("node-1")
        file = tmp_path / "config.py"
        lines = [
            f"c.{section}.{name} = {value!r}"
            for section, values in config(tmp_path, kubeconfig).items()
            for name, value in values.items()
        ]
        file.write_text("\n".join(lines))
        command = [
            str(Path(sys.executable).with_name("binderprogress")),
            "prepull",
            "--dry-run",
            "-f",
            str(file),
        ]
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        assert process.returncode == 0
        table = output.decode()
        assert f"next: {IMAGE.rpartition('/')[2]}" in table
        assert "1 nodes, 1 images, budget 50.0 GiB on each node. 1 to pull" in table
        assert not server.pods
