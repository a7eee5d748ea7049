"""Ranges of lines and searches of logs, over HTTP and with the clients."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from binderprogress.client import AsyncClient
from binderprogress.errors import BadRequestError, TooManyRequestsError
from binderprogress.launches import LaunchManager
from binderprogress.web.log_turns import LogTurns

from ..launches.parts import Feed, gen_test, said, until
from .clients import Api

LINES = "\x1b[32mone\x1b[0m\n10%\r100%\ntwo\nthree\n"


@gen_test
async def test_parts_of_a_log(
    api: Api, base_url: str, launches: LaunchManager, tmp_path: Path
) -> None:
    async with Feed(tmp_path / "repository") as feed:
        links = await api.start(feed.spec)
        launch = launches.get(links["id"])
        build = await feed.build()
        await build.write(LINES)
        await until(launch, said("three"))
        part = json.loads((await api.fetch(links["log_url"] + "/lines?first=-4&count=3")).body)
        number = part["first"]
        assert part["lines"] == ["\x1b[32mone\x1b[0m", "100%", "two"]
        assert (part["total"], part["settled"]) == (number + 3, 0)
        plain = (await api.fetch(links["log_url"] + "?format=plain")).body.decode()
        assert plain.splitlines()[number - 1 :] == ["one", "100%", "two", "three"]
        search = await api.fetch(links["log_url"] + "/search?q=T&first=" + str(number))
        assert json.loads(search.body) == {
            "hits": [[number + 2, 1], [number + 3, 1]],
            "next": number + 4,
            "total": number + 3,
        }
        times = json.loads((await api.fetch(links["log_url"] + "/times")).body)
        assert times["total"] == number + 3
        assert times["lines"] and times["lines"][0] <= number
        events = [encoded.event for encoded in await launch.read(0, limit=100)]
        step = next(event for event in events if event.message.startswith("\x1b[32mone"))
        assert any(abs(seconds - step.time) < 5 for seconds in times["times"])
        of_build = await api.fetch(f"/api/builds/{launch.build_id}/log/times")
        assert json.loads(of_build.body)["times"] == times["times"]
        for query in (
            "lines?first=x",
            "lines?count=0",
            "lines?count=2001",
            "search",
            "search?q=",
            "search?q=a%0Ab",
            "search?q=a&first=0",
            f"search?q={'x' * 201}",
        ):
            answer = await api.fetch(f"{links['log_url']}/{query}")
            assert answer.code == 400, query
            assert "must be" in json.loads(answer.body)["error"]["message"]
        assert (await api.fetch(links["log_url"] + "?format=html")).code == 400
        assert (await api.fetch("/api/launches/unknown/log/lines")).code == 404
        assert (await api.fetch("/api/launches/unknown/log/times")).code == 404
        assert (await api.fetch("/api/builds/unknown/log/search?q=a")).code == 404
        async with AsyncClient(base_url, kind="binderprogress") as client:
            lines = await client.log_lines(links["id"], first=number + 2)
            assert lines.lines == ["two", "three"]
            hits = await client.search_log(links["id"], "THREE")
            assert hits.hits == [(number + 3, 1)]
            written = await client.log_times(links["id"])
            assert (written.lines, written.times) == (times["lines"], times["times"])
            assert written.at(written.lines[0] - 1) is None
            assert written.at(written.total + 1) is None
            assert written.at(written.total) == written.times[-1]
        async with AsyncClient(base_url, kind="binderhub") as client:
            with pytest.raises(BadRequestError, match="does not send parts"):
                await client.log_lines(links["id"])
            with pytest.raises(BadRequestError, match="does not send parts"):
                await client.log_times(links["id"])
        build.finish()


@gen_test
async def test_attack_many_requests_of_one_client_wait() -> None:
    turns = LogTurns()
    going, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def read(client: str) -> None:
        async with turns.take(client):
            going.release()
            await go_on.wait()

    tasks = [asyncio.create_task(read("ada")) for _ in range(8)]
    await going.acquire()
    await going.acquire()
    with pytest.raises(TooManyRequestsError):
        async with turns.take("ada"):
            raise AssertionError("not refused")
    other = asyncio.create_task(read("eve"))
    await asyncio.sleep(0)
    assert going.locked(), "more than two at the same time"
    go_on.set()
    await asyncio.gather(*tasks, other)
    assert not turns._waiting
