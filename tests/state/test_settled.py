import random

from gateway.state.marks import Entry, MarkTable
from gateway.state.settled import BUCKETS, SettledMarks, packed

NOW = 1_000_000


def settled_of(table: MarkTable, front: bytes = b"") -> SettledMarks:
    return SettledMarks(front + packed(table.columns(number) for number in range(BUCKETS)), len(front))


def entries(number: int, seed: int = 1) -> list[Entry]:
    randomness = random.Random(seed)
    return [
        (randomness.randrange(7), randomness.randbytes(16), randomness.randrange(2**32), randomness.randrange(2**32))
        for _ in range(number)
    ]


def table_of(entries: list[Entry]) -> MarkTable:
    table = MarkTable()
    for entry in entries:
        table.merge(entry, is_known=True)
    return table


def test_what_is_settled_is_found_as_it_was() -> None:
    there, elsewhere = entries(3000), entries(3000, seed=2)
    settled = settled_of(table_of(there), front=b"something before it".ljust(24))
    assert settled.size == 3000
    assert [settled.entry(settled.place(entry[1])) for entry in there] == there
    assert {settled.place(mark) for _, mark, _, _ in elsewhere} == {-1}


def test_marks_that_differ_in_one_byte_are_told_apart() -> None:
    marks = [bytes(place) + b"\1" + bytes(15 - place) for place in range(16)]
    settled = settled_of(table_of([(1, mark, number, NOW) for number, mark in enumerate(marks, start=1)]))
    assert [settled.befores[settled.place(mark)] for mark in marks] == list(range(1, 17))
    assert settled.place(bytes(16)) == -1


def test_nothing_can_be_settled() -> None:
    settled = settled_of(MarkTable())
    assert (settled.size, settled.place(bytes(16))) == (0, -1)


def test_settling_again_begins_with_what_was_settled() -> None:
    table = table_of(entries(3000))
    first = settled_of(table)
    table.rest_on(first, [table.lacking_in(first, number) for number in range(BUCKETS)])
    for entry in entries(1000, seed=3):
        table.merge(entry, is_known=True)
    again = settled_of(table)
    assert again.size == 4000
    for number in range(BUCKETS):
        for more, less in zip(again.columns(number), first.columns(number), strict=True):
            assert more.startswith(less)
