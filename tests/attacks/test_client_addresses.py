"""Attack: one client passes for many, or many pass for one, where launches are limited per client.

Behind configurable-http-proxy, which listens on `::`, every IPv4 client has an address like
::ffff:192.0.2.7. All of these lie in one /64 network: one visitor used up everybody's launches.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from binderprogress.errors import TooManyRequestsError

from .server import Target, target

LIMIT = 2


@pytest.fixture(scope="module")
def behind_proxy(tmp_path_factory: pytest.TempPathFactory, env: dict[str, str]) -> Iterator[Target]:
    """A server that believes its proxy."""
    config = f"c.Web.trust_proxy = True\nc.Web.rate_limit = {LIMIT}\nc.Web.rate_period = 600.0\n"
    with target(tmp_path_factory.mktemp("server"), env, config=config) as server:
        yield server


def launched(server: Target, address: str, header: str = "X-Forwarded-For") -> bool:
    """Start a launch as the proxy hands it on; whether it was not one too many."""
    body = json.dumps({"spec": "git/file%3A%2F%2F%2Fnowhere/HEAD"})
    answer = server.raw(
        "POST /api/launches HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\n{header}: {address}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    status = int(answer.split(b" ", 2)[1])
    # It is refused after it was counted, as no folder is allowed.
    assert status in {201, 400, 403, 429}, answer
    return status != 429


def use_up(server: Target, *addresses: str) -> list[bool]:
    """Start launches, one by each address."""
    return [launched(server, address) for address in addresses]


def test_one_mapped_client_does_not_use_up_the_limit_of_all(behind_proxy: Target) -> None:
    """A visitor launches until refused; all others behind the same proxy are refused, too."""
    used = use_up(behind_proxy, *["::ffff:192.0.2.1"] * 3)
    assert used == [True, True, False]
    assert launched(behind_proxy, "::ffff:192.0.2.2")


def test_a_client_is_the_same_by_its_mapped_address(behind_proxy: Target) -> None:
    """By IPv4 and by mapped IPv6 in turns, a client would have two limits."""
    used = use_up(behind_proxy, "192.0.2.10", "::ffff:192.0.2.10", "::FFFF:c000:20a")
    assert used == [True, True, False]


def test_6to4_gives_a_client_no_65536_limits(behind_proxy: Target) -> None:
    """Whoever has one IPv4 address has a /48 of 6to4."""
    used = use_up(behind_proxy, *[f"2002:c000:0214:{number:x}::1" for number in range(3)])
    assert used == [True, True, False]
    assert not launched(behind_proxy, "192.0.2.20")


def test_clients_behind_nat64_are_not_one(behind_proxy: Target) -> None:
    """In a network with IPv6 only, all IPv4 clients lie in 64:ff9b::/96."""
    used = use_up(behind_proxy, *["64:ff9b::192.0.2.30"] * 3)
    assert used == [True, True, False]
    assert launched(behind_proxy, "64:ff9b::192.0.2.31")


def test_teredo_gives_a_client_no_limit_for_each_server(behind_proxy: Target) -> None:
    """A Teredo address ends in the client's IPv4 address, inverted; the rest can be chosen."""
    client = "3fff:fdd7"  # 192.0.2.40, inverted
    used = use_up(behind_proxy, *[f"2001:0:cb00:71{number:02x}::{client}" for number in range(3)])
    assert used == [True, True, False]


def test_a_zone_is_no_other_client(behind_proxy: Target) -> None:
    """A client on the same link may come by several spellings of the zone."""
    used = use_up(behind_proxy, "fe80::1%1", "fe80::1%lo", "fe80::2%1")
    assert used == [True, True, False]


@pytest.mark.parametrize(
    "address",
    [
        "nonsense",
        "192.0.2.50, \x1b[2J",
        "1" * 3000,
        "[::1",
        "%",
        ",,,",
        "\xff\xfe",
        "::ffff:999.1.1.1",
    ],
)
def test_nonsense_from_a_proxy_is_no_error_of_ours(behind_proxy: Target, address: str) -> None:
    """Where the proxy appends to what a client sends, the client chooses the beginning."""
    for header in ("X-Forwarded-For", "X-Real-IP", "X-Scheme"):
        answer = behind_proxy.raw(
            "GET /versions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"{header}: {address}\r\n\r\n".encode("latin-1")
        )
        assert answer.split(b" ", 2)[1] in {b"200", b"400"}
    assert "Traceback" not in behind_proxy.log


@pytest.mark.long
def test_many_clients_do_not_fill_the_memory() -> None:
    """Somebody with an IPv6 /32 has four billion networks; each would be remembered for a while."""
    from binderprogress.web.rate_limit import MAX_CLIENTS, RateLimiter

    limiter = RateLimiter(limit=LIMIT, period=3600.0)
    for number in range(MAX_CLIENTS + 1000):
        limiter.take(f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1")
    assert len(limiter._windows) == MAX_CLIENTS
    # Those that came last are still counted.
    limiter.take(f"2001:db8:0:{MAX_CLIENTS + 999:x}::1")
    with pytest.raises(TooManyRequestsError):
        limiter.take(f"2001:db8:0:{MAX_CLIENTS + 999:x}::2")
