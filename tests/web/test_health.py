"""The health endpoint and its checks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from binderprogress.core.log.reasons import failure
from binderprogress.web.config import Web
from binderprogress.web.health_check import HealthCheck

from ..launches.parts import gen_test
from ..support.asynchronous import asynchronous
from .clients import Api


class Part:
    """A service that is checked."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self) -> dict[str, Any]:
        self.asked += 1
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return {"rooms": 3}


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def check(part: Callable[[], Awaitable[dict[str, Any]]], time: Time, **more: Any) -> HealthCheck:
    return HealthCheck("part", part, clock=time, **more)


@asynchronous(10)
async def test_a_success_is_cached() -> None:
    part, time = Part(), Time()
    asked = check(part, time, every=10.0)
    assert await asked.result() == {"service": "part", "ok": True, "latency": 0.0, "rooms": 3}
    for now, count in ((109.9, 1), (110.0, 2), (111.0, 2)):
        time.now = now
        await asked.result()
        assert part.asked == count


@asynchronous(10)
async def test_a_failure_is_cached_for_a_second() -> None:
    part, time = Part(), Time()
    part.error = failure("hub-unreachable")
    asked = check(part, time, every=10.0)
    answer = await asked.result()
    assert (answer["ok"], answer["problem"]) == (False, "JupyterHub is not responding.")
    part.error, time.now = None, 101.0
    assert (await asked.result())["ok"]


@asynchronous(10)
async def test_concurrent_requests_share_a_check_and_may_be_cancelled() -> None:
    part = Part()
    part.go_on.clear()
    asked = check(part, Time())
    first, second = (asyncio.create_task(asked.result()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    part.go_on.set()
    assert (await second)["ok"]
    assert part.asked == 1


@pytest.mark.parametrize("error", [None, FileNotFoundError(2, "No such file", "git")])
@asynchronous(10)
async def test_a_service_that_fails_or_times_out(error: Exception | None) -> None:
    part = Part()
    part.error = error
    if error is None:
        part.go_on.clear()
    answer = await check(part, Time(), timeout=0.05).result()
    assert answer["ok"] is False
    assert answer["problem"] == ("no answer within 0.05 s" if error is None else str(error))


@gen_test
async def test_health_needs_all_checks(api: Api, web: Web) -> None:
    part, time = Part(), Time()
    web.checks = [check(part, time, every=0.0)]
    for error, status in ((None, 200), (failure("no-engine"), 503), (None, 200)):
        part.error = error
        time.now += 10
        for method in ("GET", "HEAD"):
            response = await api.fetch("/health", method=method)
            assert response.code == status
            assert bool(response.body) is (method == "GET")
        health = json.loads((await api.fetch("/health")).body)
        assert health["ok"] is (status == 200)
        assert [one["service"] for one in health["checks"]] == ["launches", "part"]
        assert all(one["latency"] >= 0 for one in health["checks"])
