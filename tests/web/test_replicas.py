"""Two servers that share a real PostgreSQL, as their clients see them."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from traitlets.config import Config

from binderprogress.backends.base import BuildResult, PairedBackend, ResolvedSpec
from binderprogress.backends.codec import Codec
from binderprogress.channels.database.store import DatabaseStore
from binderprogress.core.log.reader import Record
from binderprogress.core.specs import Spec
from binderprogress.errors import TooManyRequestsError
from binderprogress.launches import LaunchManager
from binderprogress.web import rate_limit
from binderprogress.web.app import make_app
from binderprogress.web.config import Web
from binderprogress.web.rate_limit import RateLimiter

from ..launches.parts import WITHIN
from ..support.asynchronous import asynchronous
from ..support.postgresql import PostgreSQL, empty_database, running_postgresql
from ..support.replay import PlayedBuilder, PlayedLauncher
from ..support.replicas import KEY, LOG


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with running_postgresql() as server:
        yield server


@pytest.fixture
def url(server: PostgreSQL) -> Iterator[str]:
    with empty_database(server.url) as url:
        yield url


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may be too busy for a second."""
    monkeypatch.setattr(rate_limit, "_PATIENCE", WITHIN)


class Builder(PlayedBuilder):
    """Its builds go on until they are cancelled."""

    codec = Codec(Spec, ResolvedSpec, BuildResult)


class Replica:
    """A server on a port of its own."""

    def __init__(self, url: str, **config: Any) -> None:
        lasts, shares = config.pop("lasts", 60.0), config.pop("share_logs", True)
        self.store = DatabaseStore(url, keys=KEY, log=LOG, lasts=lasts, share_logs=shares)
        self.builder = Builder()
        self.launches = LaunchManager(
            channels=self.store,
            backend=PairedBackend(self.builder, PlayedLauncher()),
            config=Config(config),
        )
        self.web = Web(launches=self.launches, config=Config(config))
        self._server = HTTPServer(make_app(self.web))
        self._count = 0

    async def open(self) -> None:
        await self.launches.open()
        sockets = bind_sockets(0, "127.0.0.1")
        self._server.add_sockets(sockets)
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        self._server.stop()
        await asyncio.wait_for(self.launches.close(), WITHIN)
        await self._server.close_all_connections()

    async def get(self, path: str) -> HTTPResponse:
        return await AsyncHTTPClient().fetch(self.url + path, raise_error=False)

    async def start(self) -> HTTPResponse:
        self._count += 1
        return await self._post("launches", f"{self.store.replica[-6:]}-{self._count}")

    async def build(self, ref: str) -> str:
        """Start a build, and return the path of its state."""
        state_url: str = json.loads((await self._post("builds", ref)).body)["state_url"]
        return state_url.removeprefix(self.url)

    async def _post(self, what: str, ref: str) -> HTTPResponse:
        return await AsyncHTTPClient().fetch(
            f"{self.url}/api/{what}",
            method="POST",
            headers={"Content-Type": "application/json"},
            body=json.dumps({"spec": f"gh/ada/penguins/{ref}"}),
            raise_error=False,
        )

    async def state(self, path: str, has: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """Wait for a state of a launch."""
        async with asyncio.timeout(WITHIN):
            while not has(state := json.loads((await self.get(path)).body)):  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.02)
        return dict(state)


@asynccontextmanager
async def replica(url: str, **config: Any) -> AsyncIterator[Replica]:
    one = Replica(url, **config)
    await one.open()
    try:
        yield one
    finally:
        await one.close()


# -- logs


async def copied(one: Replica, path: str) -> HTTPResponse:
    """Wait until a replica has the log of another one."""
    async with asyncio.timeout(WITHIN):
        while (answer := await one.get(path)).code == 404:  # noqa: ASYNC110 - over HTTP
            await asyncio.sleep(0.02)
    assert answer.code == 200
    return answer


@pytest.mark.fault(
    part="The server",
    fault="is one of several with PostgreSQL, and is gone after a build",
    promise="the log of the build can be read, searched and linked to at the others",
)
@asynchronous(120)
async def test_each_replica_has_the_logs_of_all(url: str) -> None:
    lines = [f"{number} {'x' * 4000}\n" for number in range(700)]
    async with replica(url) as other:
        async with replica(url) as one:
            cold = await one.build("main")
            for line in lines:
                one.builder.put(Record("repo2docker", line))
            state = await one.state(cold, lambda state: "699" in state["message"])
            log = state["build_log_url"].removeprefix(one.url)
            # While it is shown here, and runs there.
            await other.state(cold, lambda state: "699" in state["message"])
            refused = await other.get(f"/api{log}")
            assert refused.code == 404
            assert "Another replica of this server runs this build" in refused.body.decode()
            assert b"runs this build" in (await other.get(log)).body
            one.builder.put(BuildResult("image", found=False))
            await copied(other, f"/api{log}/lines?first=-1")
            whole = (await one.get(f"/api{log}")).body
            assert "".join(lines) in whole.decode()
            times = json.loads((await one.get(f"/api{log}/times")).body)
            assert times["lines"]
            cold_again = await one.build("main")
            one.builder.put(BuildResult("image", found=True))
            await one.state(cold_again, lambda state: state["phase"] == "built")
        # The replica that ran the build is gone.
        assert (await other.get(f"/api{log}")).body == whole
        assert json.loads((await other.get(f"/api{log}/times")).body) == times
        found = json.loads((await other.get(f"/api{log}/search?q=699%20x")).body)
        assert len(found["hits"]) == 1
        warm = await other.build("main")
        other.builder.put(BuildResult("image", found=True))
        state = await other.state(warm, lambda state: state["phase"] == "built")
        assert state["earlier_build_log_url"] == other.url + log
        assert state["earlier_build_ended"] == pytest.approx(time.time(), abs=60)
        # Another one, which has never heard of it.
        async with replica(url, share_logs=False) as apart:
            refused = await apart.get(log)
            assert refused.code == 404
            assert b"Another replica of this server may have it" in refused.body
        assert other.launches.build_logs.copies is not None
        await other.launches.build_logs.copies.tidy(until=0.0, budget=len(whole) - 1)
        async with replica(url) as late:
            assert (await late.get(log)).code == 404


# -- how many there are


async def say(one: Replica, *, replicas: int, running: int) -> None:
    """Wait until a replica says how many there are, and check that it says so everywhere."""
    async with asyncio.timeout(WITHIN):
        while True:
            health = json.loads((await one.get("/health")).body)
            (check,) = health["checks"]
            if (health["replicas"], check["all_replicas"]["running"]) == (replicas, running):
                break
            await asyncio.sleep(0.05)
    assert health["replica"] == one.store.replica
    assert check["running"] == one.launches.running
    stats = json.loads((await one.get("/api/stats")).body)
    assert (stats["replica"], stats["replicas"]) == (one.store.replica, replicas)
    assert stats["all_replicas"]["running"] == running
    assert stats["live"]["running"] == one.launches.running
    metrics = (await one.get("/metrics")).body.decode()
    assert f'binderprogress_replica_info{{replica="{one.store.replica}"}} 1.0' in metrics
    assert f"binderprogress_replicas {replicas:.1f}" in metrics
    assert f"binderprogress_launches_running {one.launches.running:.1f}" in metrics


@asynchronous(120)
async def test_each_replica_says_which_it_is_and_how_many_there_are(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger=LOG.name)
    limit = {"lasts": 3.0, "LaunchManager": {"max_launches": 3}}
    async with replica(url, **limit) as one:
        await say(one, replicas=1, running=0)
        assert f"replica {one.store.replica}. Replicas that use the database: 1." in caplog.text
        async with replica(url, **limit) as other:
            assert one.store.replica != other.store.replica
            await one.start()
            await other.start()
            for each in (one, other):
                await say(each, replicas=2, running=2)
            # Each has room for itself, and there is none in all.
            await one.start()
            for each in (one, other):
                await say(each, replicas=2, running=3)
                assert (await each.get("/health")).code == 503
        # One that stops is no replica any more.
        await say(one, replicas=1, running=2)
        assert (await one.get("/health")).code == 200


# -- the rate limit


@asynchronous(120)
async def test_alternating_between_replicas_does_not_double_the_rate_limit(url: str) -> None:
    limit = {"rate_limit": 4, "rate_period": 600.0}
    async with replica(url, Web=limit) as one, replica(url, Web=limit) as other:
        for each in (one, other, one, other):
            assert (await each.start()).code == 201
        for each in (one, other, one, other):
            refused = await each.start()
            assert refused.code == 429
            assert 1 <= int(refused.headers["Retry-After"]) <= 600
            assert "more than 4 launches in 10 minutes" in refused.body.decode()
        assert one.launches.running == other.launches.running == 2


@asynchronous(60)
async def test_a_client_above_its_limit_does_not_load_the_database(url: str) -> None:
    """Attack: a flood of requests, each of which is refused."""
    async with replica(url, Web={"rate_limit": 1, "rate_period": 600.0}) as one:
        await one.web.limiter.admit("192.0.2.7")
        one.store._reader.close()
        for _ in range(100):
            with pytest.raises(TooManyRequestsError):
                await one.web.limiter.admit("192.0.2.7")
        assert not one.web.limiter._is_alone


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@asynchronous(120)
async def test_without_the_database_each_replica_counts_for_itself(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    with running_postgresql() as server:
        store = DatabaseStore(server.url, keys=KEY, log=LOG)
        await store.open()
        limiter = RateLimiter(limit=5, period=600.0, clock=clock, shared=store.rates, log=LOG)
        other = RateLimiter(limit=5, period=600.0, shared=store.rates, log=LOG)
        await limiter.admit("ada")
        await other.admit("ada")
        await limiter.admit("ada")
        server.pause()
        monkeypatch.setattr(rate_limit, "_PATIENCE", 1.0)
        try:
            with caplog.at_level(logging.INFO, logger=LOG.name):
                # It goes on from what it knows, and asks once.
                for _ in range(2):
                    await limiter.admit("ada")
                with pytest.raises(TooManyRequestsError):
                    await limiter.admit("ada")
                clock.seconds += rate_limit._PAUSE
                await limiter.admit("grace")
        finally:
            server.resume()
        (said,) = [one.message for one in caplog.records if "rate limit" in one.message]
        assert said.startswith("The rate limit counts requests to this replica only: ")
        assert said.endswith("did not answer within 1 s")
        monkeypatch.setattr(rate_limit, "_PATIENCE", WITHIN)
        caplog.clear()
        with caplog.at_level(logging.INFO, logger=LOG.name):
            async with asyncio.timeout(WITHIN):
                while limiter._is_alone:
                    clock.seconds += rate_limit._PAUSE
                    await limiter.admit(f"client {clock.seconds}")
        assert "counts requests to all replicas again" in caplog.text
        await store.shutdown()
