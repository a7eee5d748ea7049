"""Permanent links to the logs of builds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop
from tornado.web import Application
from traitlets.config import Config

from binderprogress.backends.base import PairedBackend
from binderprogress.backends.jupyterhub.launcher import HubLauncher
from binderprogress.backends.local.builder import LocalBuilder
from binderprogress.channels.memory import MemoryChannelStore
from binderprogress.launches import LaunchManager
from binderprogress.web.build_logs import readable
from binderprogress.web.config import Web

from ..launches.parts import Feed, events_of, gen_test, said, until
from ..support.durable import DurableMemoryStore, Memory
from .clients import Api

COLOURS = "\x1b[32mgreen\x1b[0m\n"


@pytest.fixture
def launches(
    io_loop: IOLoop, builder: LocalBuilder, spawner: HubLauncher, settings: Config
) -> Iterator[LaunchManager]:
    """Launches that are stored. Nothing is running at the end of a test."""
    launches = LaunchManager(
        channels=DurableMemoryStore(Memory(), "replica"),
        backend=PairedBackend(builder, spawner),
        config=settings,
    )
    io_loop.run_sync(launches.open)
    yield launches
    io_loop.run_sync(launches.close, timeout=20)


async def build_id_of(launches: LaunchManager, launch_id: str) -> str:
    launch = launches.get(launch_id)
    await until(launch, said("green"))
    (build_id,) = {encoded.event.build_id for encoded in await launch.read(0, limit=100)} - {""}
    return build_id


@gen_test
async def test_a_log_outlives_its_launch(api: Api, launches: LaunchManager, tmp_path: Path) -> None:
    async with Feed(tmp_path / "repository", status=1) as feed:
        links = await api.start(feed.spec)
        before = json.loads((await api.fetch(links["state_url"])).body)
        build = await feed.build()
        await build.write(COLOURS)
        build_id = await build_id_of(launches, links["id"])
        running = await api.fetch(f"/api/builds/{build_id}/log")
        state = json.loads((await api.fetch(links["state_url"])).body)
        build.finish()
        launch = launches.get(links["id"])
        last = (await events_of(launch))[-1]
        while launches.running:
            await launches._running.tasks[links["id"]]
        launches._directory.forget(launch)
        assert launches._ledger.store is not None
        await launches._ledger.store.drop(launch.lease)
    assert before["build_log_url"] in {"", state["build_log_url"]}
    assert COLOURS.encode() in running.body
    assert state["build_log_url"].endswith(f"/builds/{build_id}/log")
    assert (await api.fetch(links["log_url"])).code == 404
    complete = await api.fetch(f"/api/builds/{build_id}/log")
    part = await api.fetch(f"/api/builds/{build_id}/log/lines?first=-9")
    lines = json.loads(part.body)["lines"]
    assert lines[-1] == last.message.strip() and COLOURS.strip() in lines
    found = await api.fetch(f"/api/builds/{build_id}/log/search?q=GREEN")
    assert len(json.loads(found.body)["hits"]) == 1
    plain = await api.fetch(f"/api/builds/{build_id}/log?format=plain")
    assert plain.body == complete.body.replace(COLOURS.encode(), b"green\n")
    assert complete.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert complete.body.startswith(running.body)
    assert complete.body.decode().endswith(last.message)
    page = await api.fetch(state["build_log_url"])
    assert page.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert page.body.decode() == complete.body.decode().replace(COLOURS, "green\n")


@gen_test
async def test_a_warm_launch_has_the_log_of_the_build_also_after_a_restart(
    api: Api, launches: LaunchManager, tmp_path: Path
) -> None:
    async with Feed(tmp_path / "repository") as feed:
        cold = await api.start(feed.spec)
        build = await feed.build()
        await build.write(COLOURS)
        build_id = await build_id_of(launches, cold["id"])
        build.finish()
        while launches.running:
            await launches._running.tasks[cold["id"]]
        warm = await api.start(feed.spec)
        while launches.running:
            await launches._running.tasks[warm["id"]]

    async def earlier(links: dict[str, str]) -> tuple[str, float | None]:
        state = json.loads((await api.fetch(links["state_url"])).body)
        return state["earlier_build_log_url"], state["earlier_build_ended"]

    url, ended = await earlier(warm)
    assert url.endswith(f"/builds/{build_id}/log")
    assert ended is not None
    # It has built itself.
    assert await earlier(cold) == ("", None)
    # As after a restart, they are made of what is stored.
    for links in (cold, warm):
        launches._directory.forget(launches.get(links["id"]))
    assert await earlier(warm) == (url, ended)
    assert await earlier(cold) == ("", None)


@gen_test
async def test_a_log_that_is_gone_is_explained(api: Api) -> None:
    answer = await api.fetch("/api/builds/unknown/log")
    assert answer.code == 404
    assert "kept for 7 days" in json.loads(answer.body)["error"]["message"]
    page = await api.fetch("/builds/unknown/log")
    assert page.code == 404
    assert page.headers["Content-Type"].startswith("text/html")
    assert b"kept for 7 days" in page.body
    for path in ("/builds/..%2Fsecret/log", "/api/builds/../log", "/builds/a.log/log"):
        assert (await api.fetch(path)).code == 404


@gen_test
async def test_without_a_store_there_is_no_permanent_link(
    api: Api,
    app: Application,
    builder: LocalBuilder,
    spawner: HubLauncher,
    tmp_path: Path,
) -> None:
    launches = LaunchManager(channels=MemoryChannelStore(), backend=PairedBackend(builder, spawner))
    app.settings["binderprogress"] = Web(launches=launches)
    async with Feed(tmp_path / "repository") as feed:
        links = await api.start(feed.spec)
        build = await feed.build()
        await until(launches.get(links["id"]), lambda event: event.phase == "building")
        assert not any(
            encoded.event.build_id for encoded in await launches.get(links["id"]).read(0, limit=100)
        )
        assert json.loads((await api.fetch(links["state_url"])).body)["build_log_url"] == ""
        build.finish()
        await launches.close()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_log_is_readable_wherever_it_is_cut(size: int) -> None:
    log = (
        "\x1b[1mbold\x1b[0m é\r\n 10%\r 50%\r100%\n"
        "\x1b]52;c;aGVsbG8=\x07clipboard\n\u202ereversed\nnot finished\r"
    ).encode()
    log += b"one\ntwo\n\x1b[1A\x1b[2Kover\n[|\b/\b-] done\n"
    chunks = [log[start : start + size] for start in range(0, len(log), size)]
    expected = "bold é\n100%\nclipboard\nreversed\none\nover\n[-] done\n"
    assert b"".join(readable(iter(chunks))).decode() == expected


def test_attack_a_line_without_end_takes_little_memory() -> None:
    (line,) = readable(b"x" * 100_000 for _ in range(50))
    assert line.decode() == "x" * 2**20 + "… [This line is cut here.]\n"
