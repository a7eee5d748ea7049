"""One client takes all launches that may be under way, and keeps everybody else out."""

from __future__ import annotations

import pytest
import requests

from binderprogress.errors import TooManyRequestsError
from binderprogress.launches import Caller

from ..launches.parts import WITHIN
from ..support.asynchronous import asynchronous
from ..support.replay import stage
from .printing import serving, spec

SPEC = "gh/mallory/repository/HEAD"
STREAM = {"Accept": "text/event-stream"}


@asynchronous(60)
async def test_attack_one_address_takes_all_launches() -> None:
    """Anybody with a link starts launch after launch, slower than the rate limit."""
    async with serving(max_launches=8, max_launches_per_client=3) as server:
        mine = [await server.start(number, "192.0.2.7") for number in range(3)]
        for again in (9, 10):
            with pytest.raises(TooManyRequestsError, match="3 launches in progress") as refused:
                await server.start(again, "192.0.2.7")
            assert refused.value.retry_after >= 1
        # Others still may.
        await server.start(20, "192.0.2.8")
        server.manager.cancel(mine[0])
        await server.over(mine[0])
        await server.start(11, "192.0.2.7")


@asynchronous(60)
async def test_attack_one_client_with_many_addresses() -> None:
    """Every home has 2^64 IPv6 addresses; an IPv4 address can be written as an IPv6 one."""
    async with serving(max_launches_per_client=2) as server:
        await server.start(0, "2001:db8:1:2::1")
        await server.start(1, "2001:db8:1:2:ffff::9")
        for address in ("2001:db8:1:2:3:4:5:6", "2001:DB8:1:2::"):
            with pytest.raises(TooManyRequestsError):
                await server.start(2, address)
        await server.start(2, "2001:db8:1:3::1")
        await server.start(3, "192.0.2.7")
        await server.start(4, "::ffff:192.0.2.7")
        for address in ("192.0.2.7", "::ffff:c000:207", "64:ff9b::192.0.2.7", "2002:c000:207::1"):
            with pytest.raises(TooManyRequestsError):
                await server.start(5, address)


@asynchronous(60)
async def test_attack_one_user_takes_all_launches_from_many_addresses() -> None:
    """A user of the Hub, who may launch, from wherever; a class behind one address is no attack."""
    async with serving(max_launches_per_user=2, max_launches_per_client=1) as server:

        async def start(number: int, user: str, ip: str) -> None:
            await server.manager.start(spec(number), Caller(user=user, ip=ip))

        await start(0, "mallory", "192.0.2.1")
        await start(1, "mallory", "192.0.2.2")
        with pytest.raises(TooManyRequestsError, match="You have 2 launches"):
            await start(2, "mallory", "192.0.2.3")
        for number, user in enumerate(("ada", "grace", "barbara")):
            await start(10 + number, user, "192.0.2.1")


@asynchronous(60)
async def test_no_limit() -> None:
    async with serving(max_launches_per_client=0, max_launches=60) as server:
        for number in range(60):
            await server.start(number, "192.0.2.7")
        with pytest.raises(TooManyRequestsError, match="busy with 60 launches"):
            await server.start(60, "192.0.2.7")


def test_attack_both_ways_to_start_count_together() -> None:
    """Half by the API and half by BinderHub's endpoint."""
    with stage(LaunchManager={"max_launches_per_client": 2}) as server:
        build = f"{server.url}build/{SPEC}"
        # Builds that say nothing, and so go on.
        started = requests.post(f"{server.url}api/launches", json={"spec": SPEC}, timeout=WITHIN)
        assert started.status_code == 201
        with requests.get(build, headers=STREAM, stream=True, timeout=WITHIN) as first:
            assert next(first.iter_lines())
            answer = requests.post(f"{server.url}api/launches", json={"spec": SPEC}, timeout=WITHIN)
            stream = requests.get(build, headers=STREAM, timeout=WITHIN)
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    said = "Your address has 2 launches in progress"
    assert answer.json()["error"]["message"].startswith(said)
    # BinderHub's clients know only what comes as an event.
    assert stream.text.startswith('data: {"phase":"failed","status_code":429')
    assert said in stream.text
    assert int(stream.headers["Retry-After"]) >= 1
