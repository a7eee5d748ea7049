"""The rate limit."""

from __future__ import annotations

import pytest

from binderprogress.errors import TooManyRequestsError
from binderprogress.web.rate_limit import RateLimiter


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> RateLimiter:
    return RateLimiter(limit=2, period=60, clock=clock)


def taken(limiter: RateLimiter, client: str) -> bool:
    try:
        limiter.take(client)
    except TooManyRequestsError:
        return False
    return True


def test_a_window_begins_with_a_clients_first_request(limiter: RateLimiter, clock: Clock) -> None:
    assert taken(limiter, "10.0.0.1")
    clock.seconds += 50
    assert taken(limiter, "10.0.0.1")
    assert taken(limiter, "10.0.0.2")
    with pytest.raises(TooManyRequestsError, match="more than 2 launches in 1 minute") as refused:
        limiter.take("10.0.0.1")
    assert refused.value.retry_after == 10
    clock.seconds += 9.9
    assert not taken(limiter, "10.0.0.1")
    clock.seconds += 0.1
    assert [taken(limiter, "10.0.0.1") for _ in range(3)] == [True, True, False]
    # Each client has its own window.
    assert [taken(limiter, "10.0.0.2") for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("limit", "period", "waited", "message"),
    [
        (1, 1, 0, "more than 1 launch in 1 second. Try again in 1 second."),
        (1, 60, 17.5, "more than 1 launch in 1 minute. Try again in 43 seconds."),
        (3, 7200, 0, "more than 3 launches in 2 hours. Try again in 2 hours."),
        (3, 90, 30, "more than 3 launches in 90 seconds. Try again in 1 minute."),
    ],
)
def test_a_refusal_counts_in_plain_words(
    limit: int, period: float, waited: float, message: str, clock: Clock
) -> None:
    limiter = RateLimiter(limit=limit, period=period, clock=clock)
    assert all(taken(limiter, "10.0.0.1") for _ in range(limit))
    clock.seconds += waited
    with pytest.raises(TooManyRequestsError) as refused:
        limiter.take("10.0.0.1")
    assert str(refused.value) == f"You started {message}"


def test_refused_requests_do_not_extend_the_window(limiter: RateLimiter, clock: Clock) -> None:
    # Otherwise, a page that retries in a loop would never succeed.
    assert [taken(limiter, "10.0.0.1") for _ in range(50)].count(True) == 2
    clock.seconds += 60
    assert taken(limiter, "10.0.0.1")


def test_attack_ipv6_addresses_of_one_network_are_one_client(limiter: RateLimiter) -> None:
    # Each household has 2^64 addresses.
    assert taken(limiter, "2001:db8:1:1::1")
    assert taken(limiter, "2001:db8:1:1:ffff::2")
    assert not taken(limiter, "2001:db8:1:1::3")
    assert taken(limiter, "2001:db8:1:2::1")


def test_attack_clients_are_forgotten_after_their_window(
    limiter: RateLimiter, clock: Clock
) -> None:
    for number in range(1000):
        clock.seconds += 1
        limiter.take(f"10.0.{number // 250}.{number % 250}")
    assert len(limiter._windows) <= 61


@pytest.mark.parametrize("client", ["", "unix", "10.0.0.1"])
def test_no_limit(client: str, clock: Clock) -> None:
    limiter = RateLimiter(limit=0, period=60, clock=clock)
    assert all(taken(limiter, client) for _ in range(100))


def test_a_client_without_an_address_is_one_client(limiter: RateLimiter) -> None:
    assert [taken(limiter, "") for _ in range(3)] == [True, True, False]
