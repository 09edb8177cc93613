"""How many retries there may be. Times are seconds, from nowhere."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.config.upstream_trouble import Retries
from gateway.proxy.budget import RetryBudget


def budget(share: float, at_least: float) -> RetryBudget:
    return RetryBudget(Retries(budget=share, at_least=at_least), 0)


def test_a_quiet_upstream_has_its_retries_at_hand() -> None:
    assert [budget(0.2, 1).take(1, 0), budget(0.2, 0).take(1, 0), budget(0, 1).take(1, 0)] == [True] * 3


def test_none_are_none() -> None:
    nothing = budget(0, 0)
    assert not any(nothing.take(requests * 1000, requests * 1000.0) for requests in range(100))
    assert nothing.refused == 100


def test_requests_earn_their_share() -> None:
    kept = budget(0.25, 0)
    assert kept.take(0, 0)
    assert [kept.take(requests, 0) for requests in range(1, 9)] == [False, False, False, True] * 2
    assert kept.refused == 6


def test_time_earns_some() -> None:
    kept = budget(0, 2)
    while kept.take(0, 0):
        pass
    assert [kept.take(0, now) for now in (0.25, 0.5, 0.75, 1.0)] == [False, True, False, True]


@given(
    st.lists(st.tuples(st.integers(0, 50), st.floats(0, 5)), max_size=100),
    st.floats(0, 1),
    st.floats(0, 20),
    st.integers(0, 99),
)
def test_retries_never_multiply_the_load(
    steps: list[tuple[int, float]], share: float, at_least: float, begin: int
) -> None:
    """Over any time: the burst, and what was earned within it."""
    kept = budget(share, at_least)
    requests, now = 0, 0.0
    for more, later in steps[:begin]:
        requests, now = requests + more, now + later
        kept.take(requests, now)
    first_request, first_time, taken = requests, now, 0
    for more, later in steps[begin:]:
        requests, now = requests + more, now + later
        taken += kept.take(requests, now)
    earned = share * (requests - first_request) + at_least * (now - first_time)
    assert taken <= kept.burst + earned + 1e-6
