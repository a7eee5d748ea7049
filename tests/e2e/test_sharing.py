"""Eight people open one repository that nobody opened before: one build, eight servers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.request import urlopen

import pytest
import websockets

from binderprogress.core.specs import from_address

from ..support.repositories import repository
from ..support.standalone import running

LAUNCHES = 8


@pytest.mark.long
@pytest.mark.hub
@pytest.mark.timeout(300)
def test_eight_launches_of_one_cold_repository(tmp_path: Path) -> None:
    # The file grows by a line with each time that the environment is made.
    builds = tmp_path / "builds"
    folder = repository(
        tmp_path / "repository", {"postBuild": f"#!/bin/sh\necho built >> {builds}\n"}
    )
    spec = str(from_address(folder.as_uri()))
    with running(tmp_path) as server:
        links = [server.start(spec) for _ in range(LAUNCHES)]

        async def watch(url: str) -> list[str]:
            async with websockets.connect(url) as socket:
                return [str(message) async for message in socket]

        async def watch_all() -> list[list[str]]:
            async with asyncio.timeout(280):
                return await asyncio.gather(*(watch(link["socket_url"]) for link in links))

        streams = asyncio.run(watch_all())
        ends = [json.loads(stream[-1]) for stream in streams]
        assert [end["phase"] for end in ends] == ["ready"] * LAUNCHES, ends
        assert builds.read_text() == "built\n"
        # The build's events are the same for all, to the byte.
        built = next(i for i, m in enumerate(streams[0]) if json.loads(m)["phase"] == "built")
        assert len({tuple(stream[1 : built + 1]) for stream in streams}) == 1
        urls = {end["url"] for end in ends}
        assert len(urls) == LAUNCHES
        assert len({end["token"] for end in ends}) == LAUNCHES
        for end in ends:
            with urlopen(f"{end['url']}api/status?token={end['token']}", timeout=60) as response:
                assert response.status == 200
        assert len(server.hub("users")) == LAUNCHES
