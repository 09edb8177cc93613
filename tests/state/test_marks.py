import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.state.marks import Entry, MarkTable
from gateway.state.settled import BUCKETS, SettledMarks, packed

NOW = 1_000_000
MARKS = st.builds(
    lambda first, print_, last: bytes([first]) + bytes(12) + bytes([print_]) + bytes([0, last]),
    st.integers(0, 3),
    st.integers(0, 1),
    st.integers(0, 1),
)
"""Few, and most of them in one bucket with one print."""
USED = {0, 1, 16}
"""Their buckets, and one more: all others stay empty."""
NOTHING = MarkTable().columns(0)
ENTRIES = st.tuples(st.integers(0, 6), MARKS, st.integers(0, 5), st.integers(NOW - 2, NOW + 2))


def settle(table: MarkTable, others: MarkTable | None = None) -> None:
    """Let a table rest on all that it has itself, and what others have. Everything is known then."""
    for entry in list(table.unknown_entries()):
        table.merge(entry, is_known=True)
    there = table if others is None else others
    settled = SettledMarks(packed(there.columns(number) if number in USED else NOTHING for number in range(BUCKETS)))
    lacking = [table.lacking_in(settled, number) if number in USED else None for number in range(BUCKETS)]
    table.rest_on(settled, lacking)


def swept(table: MarkTable, now: int) -> None:
    for _ in range(16):
        table.sweep(now, BUCKETS // 16)


SETTLINGS = st.sets(st.integers(0, 40), max_size=3)
"""After how many entries a table settles what it has."""


@settings(deadline=None)
@given(st.lists(st.tuples(ENTRIES, st.booleans()), max_size=40), SETTLINGS)
def test_the_greatest_number_and_end_of_each_mark_count(entries: list[tuple[Entry, bool]], settlings: set[int]) -> None:
    table, numbers, ends = MarkTable(), dict[bytes, int](), dict[bytes, int]()
    for place, (entry, is_known) in enumerate(entries):
        if place in settlings:
            settle(table)
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
@given(st.lists(st.tuples(ENTRIES, st.booleans()), max_size=40), SETTLINGS, SETTLINGS)
def test_an_entry_is_known_when_what_is_known_of_it_makes_it_up(
    entries: list[tuple[Entry, bool]], settlings: set[int], doubts: set[int]
) -> None:
    table, here, there = MarkTable(), dict[bytes, tuple[int, int]](), dict[bytes, tuple[int, int]]()
    for place, (entry, is_known) in enumerate(entries):
        if place in settlings:
            settle(table)
            there = dict(here)
        if place in doubts:
            table.forget_known()
            there.clear()
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
@given(st.lists(ENTRIES, max_size=40), st.integers(NOW - 3, NOW + 3), SETTLINGS)
def test_sweeping_drops_what_has_ended_and_nothing_else(entries: list[Entry], now: int, settlings: set[int]) -> None:
    table, numbers, ends = MarkTable(), dict[bytes, int](), dict[bytes, int]()
    for number, entry in enumerate(entries):
        if number in settlings:
            settle(table)
        _, mark, before, until = entry
        table.merge(entry, is_known=number % 2 == 0)
        numbers[mark] = max(before, numbers.get(mark, 0))
        ends[mark] = max(until, ends.get(mark, 0))
    swept(table, now)
    assert len(table) == sum(end >= now for end in ends.values())
    for mark, before in numbers.items():
        if ends[mark] >= now or not settlings:
            assert table.before(mark) == (before if ends[mark] >= now else 0)
    assert table.unknown == len(list(table.unknown_entries()))
    settle(table)
    assert (len(table), table.unsettled) == (sum(end >= now for end in ends.values()), 0)
    for mark, before in numbers.items():
        assert table.before(mark) == (before if ends[mark] >= now else 0)


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


@settings(deadline=None)
@given(st.lists(ENTRIES, max_size=30), st.lists(ENTRIES, max_size=30), st.lists(ENTRIES, max_size=10), st.booleans())
def test_resting_on_what_others_settled_forgets_nothing(
    own: list[Entry], others: list[Entry], later: list[Entry], is_settled: bool
) -> None:
    table, there, both = MarkTable(), MarkTable(), MarkTable()
    for entry in own:
        table.merge(entry, is_known=True)
    if is_settled:
        settle(table)
    for entry in others:
        there.merge(entry, is_known=True)
    settle(table, there)
    for entry in [*own, *others]:
        both.merge(entry, is_known=True)
    for entry in later:
        assert table.merge(entry, is_known=False) == both.merge(entry, is_known=False)
    assert len(table) == len(both)
    assert table.unknown == both.unknown
    table.forget_known()
    both.forget_known()
    assert {entry[1:] for entry in table.unknown_entries()} == {entry[1:] for entry in both.unknown_entries()}


def test_who_wants_to_know_hears_which_buckets_have_changed() -> None:
    table = MarkTable()
    table.merge((1, bytes(14) + b"\x10\0", 5, NOW), is_known=True)
    settle(table)
    table.changed.clear()
    table.merge((1, bytes(14) + b"\x10\0", 5, NOW), is_known=True)
    assert table.changed == set()
    table.merge((1, bytes(14) + b"\x10\0", 6, NOW), is_known=True)
    assert table.changed == {1}


def test_of_what_two_have_the_greatest_number_and_end_count() -> None:
    table, there = MarkTable(), MarkTable()
    table.merge((1, bytes(16), 5, NOW + 1), is_known=True)
    there.merge((1, bytes(16), 7, NOW), is_known=True)
    settle(table, there)
    assert table.before(bytes(16)) == 7
    assert table.covers(bytes(16), 7, NOW + 1)
    assert len(table) == 1
