import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.state.marks import BUCKETS, Entry, MarkTable

NOW = 1_000_000
MARKS = st.builds(
    lambda first, print_, last: bytes([first]) + bytes(12) + bytes([print_]) + bytes([0, last]),
    st.integers(0, 3),
    st.integers(0, 1),
    st.integers(0, 1),
)
"""Few, and most of them in one bucket with one print."""
ENTRIES = st.tuples(st.integers(0, 6), MARKS, st.integers(0, 5), st.integers(NOW - 2, NOW + 2))


def swept(table: MarkTable, now: int) -> None:
    for _ in range(16):
        table.sweep(now, BUCKETS // 16)


@settings(deadline=None)
@given(st.lists(st.tuples(ENTRIES, st.booleans()), max_size=40))
def test_the_greatest_number_and_end_of_each_mark_count(entries: list[tuple[Entry, bool]]) -> None:
    table, numbers, ends = MarkTable(), dict[bytes, int](), dict[bytes, int]()
    for entry, is_known in entries:
        _, mark, before, until = entry
        assert table.merge(entry, is_known=is_known) == (before > numbers.get(mark, -1))
        numbers[mark] = max(before, numbers.get(mark, 0))
        ends[mark] = max(until, ends.get(mark, 0))
        assert table.covers(mark, numbers[mark], ends[mark])
        assert not table.covers(mark, numbers[mark] + 1, ends[mark])
        assert not table.covers(mark, numbers[mark], ends[mark] + 1)
    assert len(table) == len(numbers)
    assert {mark: table.before(mark) for mark in numbers} == numbers
    table.forget_known()
    assert {(mark, before, until) for _, mark, before, until in table.unknown_entries()} == {
        (mark, numbers[mark], ends[mark]) for mark in numbers
    }


@settings(deadline=None)
@given(st.lists(st.tuples(ENTRIES, st.booleans()), max_size=40))
def test_an_entry_is_known_when_what_is_known_of_it_makes_it_up(entries: list[tuple[Entry, bool]]) -> None:
    table, here, there = MarkTable(), dict[bytes, tuple[int, int]](), dict[bytes, tuple[int, int]]()
    for entry, is_known in entries:
        _, mark, before, until = entry
        table.merge(entry, is_known=is_known)
        for side in [here, there] if is_known else [here]:
            old_before, old_until = side.get(mark, (before, until))
            side[mark] = (max(before, old_before), max(until, old_until))
    unknown = {(mark, before, until) for _, mark, before, until in table.unknown_entries()}
    assert table.unknown == len(unknown)
    for mark, (before, until) in here.items():
        if there.get(mark) != (before, until):  # whoever holds `there` has not all of it
            assert (mark, before, until) in unknown


@settings(deadline=None)
@given(st.lists(ENTRIES, max_size=40), st.integers(NOW - 3, NOW + 3))
def test_sweeping_drops_what_has_ended_and_nothing_else(entries: list[Entry], now: int) -> None:
    table, numbers, ends = MarkTable(), dict[bytes, int](), dict[bytes, int]()
    for number, entry in enumerate(entries):
        _, mark, before, until = entry
        table.merge(entry, is_known=number % 2 == 0)
        numbers[mark] = max(before, numbers.get(mark, 0))
        ends[mark] = max(until, ends.get(mark, 0))
    swept(table, now)
    assert len(table) == sum(end >= now for end in ends.values())
    for mark, before in numbers.items():
        assert table.before(mark) == (before if ends[mark] >= now else 0)
    assert table.unknown == len(list(table.unknown_entries()))


def test_a_sweep_goes_on_where_the_last_one_stopped() -> None:
    table = MarkTable()
    randomness = random.Random(1)
    for _ in range(1000):
        table.merge((1, randomness.randbytes(16), 1, NOW), is_known=True)
    lengths = []
    for _ in range(4):
        table.sweep(NOW + 1, BUCKETS // 4)
        lengths.append(len(table))
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] > 0
    assert lengths[-1] == 0


def test_an_entry_keeps_its_level_and_what_is_known_of_it_while_others_are_swept() -> None:
    table = MarkTable()
    table.merge((1, b"a" + bytes(15), 1, NOW - 1), is_known=False)
    table.merge((2, b"b" + bytes(15), 2, NOW), is_known=False)
    table.merge((3, b"c" + bytes(15), 3, NOW), is_known=True)
    swept(table, NOW)
    assert list(table.unknown_entries()) == [(2, b"b" + bytes(15), 2, NOW)]
    assert (len(table), table.unknown) == (2, 1)


def test_repeating_an_entry_as_known_makes_it_known() -> None:
    table = MarkTable()
    table.merge((1, bytes(16), 1, NOW), is_known=False)
    assert table.unknown == 1
    table.merge((1, bytes(16), 1, NOW), is_known=True)
    assert table.unknown == 0
    table.merge((1, bytes(16), 1, NOW), is_known=False)
    assert table.unknown == 0


@pytest.mark.parametrize("front", [b"\0\0", b""])
def test_session_ids_of_one_shard_are_spread_as_well_as_digests(front: bytes) -> None:
    table, randomness = MarkTable(), random.Random(2)
    for _ in range(2 * BUCKETS):
        table.merge((4, front + randomness.randbytes(16 - len(front)), 1, NOW), is_known=True)
    table.sweep(NOW + 1, BUCKETS // 2)
    assert 0.45 < len(table) / (2 * BUCKETS) < 0.55
