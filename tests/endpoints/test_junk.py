import pytest

from gateway.endpoints.junk import JunkLimit
from gateway.model.errors import TooManyAttempts


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def counted(limit: JunkLimit, address: str, times: int) -> int:
    """Return how many were let pass."""
    passed = 0
    for _ in range(times):
        try:
            limit.count(address)
        except TooManyAttempts:
            continue
        passed += 1
    return passed


def test_so_many_pass_at_once_and_so_many_more_every_minute() -> None:
    clock = Clock()
    limit = JunkLimit(6, clock)
    assert counted(limit, "192.0.2.1", 20) == 6
    clock.now += 10
    assert counted(limit, "192.0.2.1", 20) == 1
    clock.now += 3600
    assert counted(limit, "192.0.2.1", 20) == 6


def test_a_refusal_says_when_to_come_back() -> None:
    clock = Clock()
    limit = JunkLimit(6, clock)
    counted(limit, "192.0.2.1", 6)
    clock.now += 2.5
    with pytest.raises(TooManyAttempts) as caught:
        limit.count("192.0.2.1")
    assert caught.value.retry_after == 8
    clock.now += 8
    limit.count("192.0.2.1")


def test_addresses_do_not_share_but_one_household_does() -> None:
    limit = JunkLimit(1, Clock())
    assert counted(limit, "192.0.2.1", 2) == 1
    assert counted(limit, "192.0.2.2", 2) == 1
    assert counted(limit, "2001:db8::1", 2) == 1
    assert counted(limit, "2001:db8::ffff:0:0:2", 2) == 0
    assert counted(limit, "2001:db8:0:1::1", 2) == 1
    assert counted(limit, "unknown", 2) == 1


def test_ipv4_addresses_on_a_listener_for_both_kinds_are_not_one_household() -> None:
    limit = JunkLimit(1, Clock())
    assert counted(limit, "::ffff:192.0.2.1", 2) == 1
    assert counted(limit, "::ffff:192.0.2.2", 2) == 1
    assert counted(limit, "192.0.2.2", 2) == 0


def test_only_so_many_addresses_are_remembered() -> None:
    limit = JunkLimit(1, Clock())
    for number in range(10_100):
        limit.count(f"10.0.{number // 256}.{number % 256}")
    assert len(limit._full_at) == 10_000
