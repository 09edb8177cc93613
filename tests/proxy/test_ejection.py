"""When a target is ejected, and when it comes back. Times are seconds, from nowhere."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.upstream_trouble import Ejection
from gateway.proxy.ejection import Ejections


def ejections(targets: int = 2, **settings: float) -> Ejections:
    return Ejections(Ejection.model_validate({"failures": 3, "time": 10, "longest": 60, **settings}), targets)


def eject(kept: Ejections, target: int, now: float) -> float:
    """Fail a target until it is ejected; return for how long."""
    while not (seconds := kept.failed(target, now, now)):
        pass
    return seconds


def test_failures_in_a_row_eject() -> None:
    kept = ejections()
    assert [kept.failed(0, now, now) for now in (0, 1, 2)] == [0, 0, 10]
    assert kept.next_return == 12


def test_an_answer_in_between_begins_the_count_again() -> None:
    kept = ejections()
    for now in range(0, 30, 3):
        assert kept.failed(0, now, now) == kept.failed(0, now, now) == 0
        kept.succeeded(0, now)
    assert kept.next_return == inf


def test_it_comes_back_when_its_time_is_over() -> None:
    kept = ejections()
    eject(kept, 0, 0)
    assert (kept.returned(9), kept.returned(10), kept.returned(11)) == ([], [0], [])


def test_who_fails_the_first_request_afterwards_is_ejected_for_twice_as_long() -> None:
    kept = ejections()
    now, seen = 0.0, [eject(kept, 0, 0)]
    for _ in range(4):
        now = kept.next_return
        kept.returned(now)
        seen.append(kept.failed(0, now, now))
    assert seen == [10, 20, 40, 60, 60]


def test_who_answers_the_first_request_afterwards_is_as_good_as_any() -> None:
    kept = ejections()
    eject(kept, 0, 0)
    kept.returned(10)
    assert kept.is_watched(0)
    kept.succeeded(0, 10)
    assert not kept.is_watched(0)
    assert [kept.failed(0, 11, 11) for _ in range(3)] == [0, 0, 10]


def test_what_was_asked_before_it_was_ejected_says_nothing_of_it_afterwards() -> None:
    kept = ejections()
    eject(kept, 0, 5)
    kept.succeeded(0, 4)
    assert kept.failed(0, 4, 6) == 0
    kept.returned(15)
    assert [kept.failed(0, 4, 16) for _ in range(9)] == [0] * 9
    kept.succeeded(0, 4)
    assert kept.failed(0, 15, 16) == 20


@pytest.mark.parametrize(("targets", "most", "expected"), [(2, 50, 1), (3, 50, 1), (4, 50, 2), (2, 1, 1), (3, 100, 3)])
def test_only_so_many_are_ejected_at_once(targets: int, most: int, expected: int) -> None:
    kept = ejections(targets, most=most)
    ejected = [any(kept.failed(target, 0, 0) for _ in range(20)) for target in range(targets)]
    assert sum(ejected) == expected


def test_who_was_spared_for_lack_of_others_is_ejected_at_its_next_failure() -> None:
    kept = ejections()
    eject(kept, 0, 0)
    assert [kept.failed(1, 1, 1) for _ in range(9)] == [0] * 9
    kept.returned(10)
    assert kept.failed(1, 11, 11) == 10


def test_who_is_known_to_be_well_again_has_a_clean_record() -> None:
    kept = ejections()
    eject(kept, 0, 0)
    kept.forgive(0, 5)
    assert (kept.next_return, kept.is_watched(0), kept.returned(10)) == (inf, False, [])
    assert [kept.failed(0, 4, 6) for _ in range(9)] == [0] * 9
    assert [kept.failed(0, 6, 6) for _ in range(3)] == [0, 0, 10]


EVENTS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from("fsr"), st.floats(0, 30), st.floats(0, 100)))


@given(EVENTS, st.integers(1, 100))
def test_whatever_happens_the_bounds_hold(events: list[tuple[int, str, float, float]], most: int) -> None:
    kept = ejections(4, most=most)
    now, out = 0.0, dict[int, float]()
    for target, what, later, age in events:
        now += later
        for back in kept.returned(now):
            assert out.pop(back) <= now
        if what == "f" and (seconds := kept.failed(target, now - age, now)):
            assert target not in out
            assert 10 <= seconds <= 60
            out[target] = now + seconds
        elif what == "s":
            kept.succeeded(target, now - age)
        assert len(out) <= kept.most
        assert kept.next_return == min(out.values(), default=inf)
