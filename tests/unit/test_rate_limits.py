"""Token buckets: a burst, then an even flow, in bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.rate_limits import AddressLimiter, RateLimiter, subscriber


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_minutes_worth_is_taken_at_once_and_then_one_after_another(clock: Clock) -> None:
    limiter = RateLimiter(30, clock)
    assert [limiter.take("a") for _ in range(30)] == [0.0] * 30
    assert limiter.take("a") == pytest.approx(2.0)  # 30 a minute
    clock.seconds += 1.5
    assert limiter.take("a") == pytest.approx(0.5)
    clock.seconds += 0.5
    assert limiter.take("a") == 0.0


def test_whoever_waits_as_long_as_they_are_told_is_let_in(clock: Clock) -> None:
    limiter = RateLimiter(1, clock)
    limiter.take("a")
    clock.seconds += limiter.take("a")
    assert limiter.take("a") == 0.0


def test_a_bucket_never_holds_more_than_a_minutes_worth(clock: Clock) -> None:
    limiter = RateLimiter(2, clock)
    limiter.take("a")
    clock.seconds += 86_400
    assert [limiter.take("a") > 0 for _ in range(3)] == [False, False, True]


def test_one_key_does_not_use_up_what_another_has(clock: Clock) -> None:
    limiter = RateLimiter(1, clock)
    assert [limiter.take("a"), limiter.take("b")] == [0.0, 0.0]
    assert limiter.take("a") > 0


def test_only_so_many_buckets_are_remembered_and_who_asked_last_is_among_them(clock: Clock) -> None:
    limiter = RateLimiter(1, clock, keys_max=2)
    for key in ("a", "b", "c"):
        limiter.take(key)
    assert len(limiter) == 2
    assert limiter.take("c") > 0
    assert limiter.take("a") == 0.0  # forgotten


@given(st.lists(st.floats(min_value=0, max_value=30), max_size=200))
def test_in_no_minute_are_more_than_two_minutes_worth_taken(pauses: list[float]) -> None:
    clock, taken = Clock(), list[float]()
    limiter = RateLimiter(5, clock)
    for pause in pauses:
        clock.seconds += pause
        if limiter.take("a") == 0.0:
            taken.append(clock.seconds)
    assert all(sum(begin <= at < begin + 60 for at in taken) <= 10 for begin in taken)


def test_all_addresses_together_take_ten_times_what_one_may(clock: Clock) -> None:
    limiter = AddressLimiter(1, clock)
    assert [limiter.take(f"192.0.2.{host}") for host in range(10)] == [0.0] * 10
    assert limiter.take("192.0.2.200") == pytest.approx(6.0)


def test_what_one_address_is_refused_does_not_count_against_the_others(clock: Clock) -> None:
    limiter = AddressLimiter(1, clock)
    limiter.take("192.0.2.1")
    for _ in range(100):
        assert limiter.take("192.0.2.1") > 0
    assert limiter.take("192.0.2.2") == 0.0


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::"),
        ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::"),
        ("", ""),
        ("unix:", "unix:"),
    ],
)
def test_an_ipv6_address_stands_for_its_subscribers_network(address: str, expected: str) -> None:
    assert subscriber(address) == expected
