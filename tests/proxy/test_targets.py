"""Which target gets the next request."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.compile_upstreams import UpstreamSpec
from gateway.model.errors import NoHealthyTarget
from gateway.model.upstream import parse_target
from gateway.proxy.targets import PooledTarget, Targets


def targets(number: int, balance: str = "round_robin", connections: int = 2) -> Targets:
    addresses = tuple(parse_target(f"http://127.0.0.1:{9000 + place}") for place in range(number))
    return Targets(UpstreamSpec("app", addresses, balance=balance, connections=connections))


def fill(target: PooledTarget, number: int) -> None:
    """Let a target have so many busy connections."""
    target.open = {object() for _ in range(number)}  # type: ignore[misc]


@pytest.mark.parametrize("balance", ["round_robin", "least_connections"])
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=6), st.integers(1, 4))
def test_those_who_get_requests_share_them_evenly(balance: str, states: list[tuple[bool, bool]], rounds: int) -> None:
    of_them = targets(len(states), balance)
    for target, (is_healthy, is_ejected) in zip(of_them, states, strict=True):
        target.is_healthy, target.is_ejected = is_healthy, is_ejected
    of_them.refresh()
    if not any(target.is_healthy for target in of_them):
        with pytest.raises(NoHealthyTarget):
            of_them.choose()
        return
    expected = {target.number for target in of_them if target.is_healthy and not target.is_ejected} or {
        target.number for target in of_them if target.is_healthy
    }
    assert {target.number for target in of_them if target.is_usable} == expected
    chosen = Counter(of_them.choose().number for _ in range(len(expected) * rounds))
    assert chosen == dict.fromkeys(expected, rounds)


def test_a_target_without_a_place_is_passed_over() -> None:
    of_them = targets(3)
    fill(of_them.all[1], 2)
    assert Counter(of_them.choose().number for _ in range(6)) == {0: 2, 2: 4}


def test_least_connections_are_least() -> None:
    of_them = targets(3, "least_connections")
    fill(of_them.all[0], 1)
    fill(of_them.all[2], 1)
    assert {of_them.choose().number for _ in range(6)} == {1}


def test_another_target_with_a_place_is_found_or_there_is_none() -> None:
    of_them = targets(3)
    fill(of_them.all[1], 2)
    found = of_them.with_a_place(but=(of_them.all[0],))
    assert found is of_them.all[2]
    assert of_them.with_a_place(but=(of_them.all[0], of_them.all[2])) is None
    of_them.all[2].is_healthy = False
    of_them.refresh()
    assert of_them.with_a_place(but=(of_them.all[0],)) is None
