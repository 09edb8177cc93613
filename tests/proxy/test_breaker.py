"""When a circuit opens, and how it closes again. Times are seconds, from nowhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.upstream_trouble import Breaker
from gateway.proxy.breaker import Circuit


def circuit(**settings: float) -> Circuit:
    return Circuit(Breaker.model_validate({"requests": 4, "within": 10, "open": 5, **settings}))


def opened(at: float = 0, **settings: float) -> Circuit:
    """Return a circuit that has just opened."""
    tripped = circuit(**settings)
    assert [tripped.failed(at, at) for _ in range(4)] == [False, False, False, True]
    return tripped


def test_it_opens_when_the_share_of_failures_is_too_high() -> None:
    tested = circuit()
    tested.succeeded(0, 0)
    tested.succeeded(0, 0)
    assert not tested.failed(0, 0)
    assert tested.failed(0, 0)
    assert not tested.is_closed


def test_it_stays_closed_while_there_are_too_few_requests() -> None:
    tested = circuit()
    assert not any(tested.failed(0, 0) for _ in range(3))


def test_it_stays_closed_while_most_requests_are_answered() -> None:
    tested = circuit()
    for now in range(100):
        tested.succeeded(now, now)
        tested.succeeded(now, now)
        assert not tested.failed(now, now)


def test_what_is_long_ago_does_not_count() -> None:
    tested = circuit()
    for now in range(0, 100, 4):
        assert not tested.failed(now, now)


def test_while_it_is_open_nothing_goes_through() -> None:
    tested = opened()
    assert [tested.wait(now) for now in (0, 1, 4.5)] == [5, 4, 0.5]


def test_then_a_probe_goes_through_and_its_answer_closes_it() -> None:
    tested = opened()
    assert tested.wait(5) == 0
    assert tested.wait(5) == tested.wait(5) == 5
    assert tested.succeeded(5, 6)
    assert tested.is_closed
    assert [tested.failed(7, 7) for _ in range(3)] == [False] * 3  # it counts from the beginning


def test_a_probe_that_fails_opens_it_again() -> None:
    tested = opened()
    tested.wait(6)
    assert tested.failed(6, 7)
    assert (tested.wait(7), tested.wait(12)) == (5, 0)


def test_it_closes_when_all_probes_are_answered() -> None:
    tested = opened(probes=2)
    assert [tested.wait(5) for _ in range(3)] == [0, 0, 5]
    assert not tested.succeeded(5, 6)
    assert tested.succeeded(5, 6)


def test_a_probe_whose_client_left_is_replaced() -> None:
    tested = opened(probes=2)
    tested.wait(5)
    tested.wait(5)
    tested.succeeded(5, 6)
    assert [tested.wait(now) for now in (9, 10, 10)] == [1, 0, 5]
    assert tested.succeeded(10, 11)


def test_what_was_asked_before_it_opened_neither_closes_nor_opens_it() -> None:
    tested = opened(at=10)
    assert tested.wait(15) == 0
    assert not tested.succeeded(9, 15)
    assert not tested.failed(9, 15)
    assert not tested.is_closed
    tested.succeeded(15, 15)
    assert not any(tested.failed(9, 16) for _ in range(99))


@pytest.mark.parametrize(("now", "seconds"), [(0, 5), (3, 2), (5, 0), (9, 0)])
def test_it_says_for_how_long_nobody_need_wait(now: float, seconds: float) -> None:
    assert circuit().spared_for(now) == 0
    assert opened().spared_for(now) == seconds


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), max_size=200), st.integers(1, 3))
def test_of_a_dead_upstream_little_is_asked(clients: list[tuple[bool, int]], probes: int) -> None:
    """However many clients come, and whether or not they stay: so many probes for each time that it was open."""
    tested = opened(probes=probes)
    now = asked = 0
    for stays, later in clients:
        now += later
        if tested.wait(now) == 0:
            asked += 1
            if stays:
                tested.failed(now, now)
        assert asked <= probes * (now // 5)
