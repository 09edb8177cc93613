"""A table of marks that stays small and quick at a million entries, and never pauses to reorganise itself.

Marks are spread over buckets by their last bytes, which are random in digests and in session ids alike (the first ones
of a session id are its shard). A bucket is a handful of parallel columns, in no order. One of them holds another byte
of each mark: a look-up searches it at the speed of memory, and compares the whole mark where that byte is the same. An
entry takes 27 bytes and what the columns have in reserve. Per entry, `is_known` says that whoever else should have it
is known to have it.

A table may rest on settled marks, which it shares with other processes. By itself it keeps what they lack, and what is
not as it was when they were settled.
"""

from array import array
from collections.abc import Iterator, Sequence
from itertools import compress

from gateway.state.settled import BUCKETS, WIDTH, Columns, SettledMarks

_MASK = BUCKETS - 1
_UNKNOWN, _KNOWN, _GONE = 0, 1, 2
"""What a settled entry is here. Gone is what has ended, and what has an entry of this table in its place."""
_KNOWN_TO_UNKNOWN = bytes([_UNKNOWN, _UNKNOWN, _GONE]).ljust(256)

Entry = tuple[int, bytes, int, int]
"""Level, mark, before, until."""


class MarkTable:
    """Entries by mark: 16 bytes. `before` and `until` fit in 32 bits, and only ever grow."""

    def __init__(self) -> None:
        self._buckets: list[Bucket | None] = [None] * BUCKETS
        self._size = 0
        self._unknown = 0
        self._swept = 0
        self._settled: SettledMarks | None = None
        self._states: bytearray | None = None
        """Of the settled entries; None while all of them are known."""
        self._gone = 0
        self.changed: set[int] = set()
        """The buckets to which something was added, since whoever wants to know has cleared this."""

    def __len__(self) -> int:
        return self._size

    @property
    def unknown(self) -> int:
        """How many entries are not known."""
        return self._unknown

    def before(self, mark: bytes) -> int:
        """Return the number of a mark, 0 where there is none. One that has ended may be found for a while."""
        bucket = self._buckets[mark[15] << 4 | mark[14] >> 4]
        if bucket is not None:
            prints, print_ = bucket.prints, mark[13]
            place = prints.find(print_)
            while place >= 0:  # as in `place`: a call would cost as much as the search
                if bucket.marks.startswith(mark, place * WIDTH):
                    return bucket.befores[place]
                place = prints.find(print_, place + 1)
        settled = self._settled
        if settled is None:
            return 0
        place = settled.place(mark)
        return settled.befores[place] if place >= 0 else 0

    def covers(self, mark: bytes, before: int, until: int) -> bool:
        """Say whether merging this would leave number and end as they are."""
        bucket = self._buckets[mark[15] << 4 | mark[14] >> 4]
        if bucket is not None and (place := bucket.place(mark)) >= 0:
            return bucket.befores[place] >= before and bucket.untils[place] >= until
        settled, place = self._settled, self._settled_place(mark)
        return (
            settled is not None and place >= 0 and settled.befores[place] >= before and settled.untils[place] >= until
        )

    def merge(self, entry: Entry, *, is_known: bool) -> bool:
        """Take the greater number and end of both. Returns whether the number grew.

        The result is known if what was known before and what is known of this entry make it up.
        """
        level, mark, before, until = entry
        number = mark[15] << 4 | mark[14] >> 4
        bucket = self._buckets[number]
        place = -1 if bucket is None else bucket.place(mark)
        if place < 0 and self._settled is not None and (settled := self._settled_place(mark)) >= 0:
            if self._confirm(self._settled, settled, before, until, is_known):
                return False
            place = self._take_out(self._settled, settled)
            bucket = self._buckets[number]
        if bucket is None:
            bucket = self._buckets[number] = Bucket()
        self.changed.add(number)
        if place >= 0:
            return self._raise(bucket, place, before, until, is_known)
        bucket.append(level, mark, before, until, is_known)
        self._size += 1
        self._unknown += not is_known
        return True

    def _raise(self, bucket: "Bucket", place: int, before: int, until: int, is_known: bool) -> bool:
        old_before, old_until, was_known = bucket.befores[place], bucket.untils[place], bucket.known[place]
        covers_old = before >= old_before and until >= old_until
        covers_new = before <= old_before and until <= old_until
        known = bool((is_known and (was_known or covers_old)) or (was_known and covers_new))
        bucket.befores[place] = max(before, old_before)
        bucket.untils[place] = max(until, old_until)
        bucket.known[place] = known
        self._unknown += was_known - known
        return before > old_before

    def forget_known(self) -> None:
        """Let no entry be known. Takes a few milliseconds at a million entries."""
        for bucket in filter(None, self._buckets):
            bucket.known = bytearray(len(bucket.known))
        if self._states is not None:
            self._states = self._states.translate(_KNOWN_TO_UNKNOWN)
        elif self._settled is not None:
            self._states = bytearray(self._settled.size)
        self._unknown = self._size

    def unknown_entries(self) -> Iterator[Entry]:
        """Yield the entries that are not known. The table must not be changed meanwhile."""
        for bucket in filter(None, self._buckets):
            place = bucket.known.find(0)
            while place >= 0:
                yield bucket.entry(place)
                place = bucket.known.find(0, place + 1)
        if self._settled is not None and self._states is not None:
            place = self._states.find(_UNKNOWN)
            while place >= 0:
                yield self._settled.entry(place)
                place = self._states.find(_UNKNOWN, place + 1)

    def sweep(self, now: int, buckets: int) -> None:
        """Drop what ended before `now` from the next few buckets."""
        for number in range(self._swept, self._swept + buckets):
            bucket = self._buckets[number & _MASK]
            if bucket is not None and min(bucket.untils) < now:
                left = bucket.without_ended(now)
                self._size -= len(bucket.untils) - len(left.untils)
                self._unknown -= bucket.known.count(0) - left.known.count(0)
                self._buckets[number & _MASK] = left if left.untils else None
            if self._settled is not None:
                self._sweep_settled(self._settled, number & _MASK, now)
        self._swept = (self._swept + buckets) & _MASK

    # --- settled marks

    @property
    def unsettled(self) -> int:
        """How many entries settling would change: own ones, and settled ones that are gone."""
        settled = 0 if self._settled is None else self._settled.size
        return self._size - settled + 2 * self._gone

    def columns(self, number: int) -> Columns:
        """Return all that is in a bucket, to be settled: first what is settled already, in the same order."""
        bucket = self._buckets[number]
        own = _NOTHING if bucket is None else bucket.columns()
        if self._settled is None:
            return own
        theirs = self._settled.columns(number)
        start, end = self._settled.starts[number], self._settled.starts[number + 1]
        if self._states is not None and _GONE in self._states[start:end]:
            left = Bucket()
            for place in range(start, end):
                if self._states[place] != _GONE:
                    left.append(*self._settled.entry(place), True)
            theirs = left.columns()
        return Columns(*(one + other for one, other in zip(theirs, own, strict=True)))

    def lacking_in(self, settled: SettledMarks, number: int) -> "Bucket | None":
        """Return what is in a bucket here and not in that of settled marks, or there with less. None for nothing."""
        here, there = self.columns(number), settled.columns(number)
        if all(more.startswith(less) for more, less in zip(there, here, strict=True)):
            return None  # as usual, when these were settled from those
        lacking = Bucket()
        for level, mark, before, until in _entries(here):
            place = settled.place(mark)
            if place < 0:
                lacking.append(level, mark, before, until, True)
            elif settled.befores[place] < before or settled.untils[place] < until:
                most = max(before, settled.befores[place]), max(until, settled.untils[place])
                lacking.append(level, mark, *most, True)
        return lacking if lacking.levels else None

    def rest_on(self, settled: SettledMarks, own: "Sequence[Bucket | None]") -> None:
        """Have settled marks from now on, and by itself what they lack: `lacking_in` for each bucket.

        Everything counts as known from now on, so it must be.
        """
        assert not self._unknown
        self._settled, self._states, self._gone = settled, None, 0
        self._buckets = list(own)
        self._size = settled.size
        for bucket in filter(None, own):
            for level in range(len(bucket.levels)):
                self._size += 1
                if (place := settled.place(bucket.entry(level)[1])) >= 0:
                    self._drop(settled, place)

    def _settled_place(self, mark: bytes) -> int:
        """Return where a mark is among the settled ones, unless it is gone there; -1 where it is not."""
        place = -1 if self._settled is None else self._settled.place(mark)
        return -1 if place >= 0 and self._states is not None and self._states[place] == _GONE else place

    def _confirm(self, settled: SettledMarks, place: int, before: int, until: int, is_known: bool) -> bool:
        """Note that an entry is known, if this is all of it. Returns whether it has all of this."""
        old_before, old_until = settled.befores[place], settled.untils[place]
        if before > old_before or until > old_until:
            return False
        if is_known and (before, until) == (old_before, old_until) and self._states is not None:
            self._unknown -= self._states[place] == _UNKNOWN
            self._states[place] = _KNOWN
        return True

    def _take_out(self, settled: SettledMarks, place: int) -> int:
        """Have an entry of one's own instead of a settled one. Returns where it is in its bucket."""
        level, mark, before, until = settled.entry(place)
        number = mark[15] << 4 | mark[14] >> 4
        bucket = self._buckets[number]
        if bucket is None:
            bucket = self._buckets[number] = Bucket()
        bucket.append(level, mark, before, until, self._states is None or self._states[place] == _KNOWN)
        self._size += 1
        self._unknown += not bucket.known[-1]
        self._drop(settled, place)
        return len(bucket.levels) - 1

    def _drop(self, settled: SettledMarks, place: int) -> None:
        """Do without a settled entry."""
        if self._states is None:
            self._states = bytearray([_KNOWN]) * settled.size
        self._unknown -= self._states[place] == _UNKNOWN
        self._states[place] = _GONE
        self._gone += 1
        self._size -= 1

    def _sweep_settled(self, settled: SettledMarks, number: int, now: int) -> None:
        start, end = settled.starts[number], settled.starts[number + 1]
        untils = settled.untils[start:end]
        if start == end or min(untils) >= now:
            return
        for place, until in enumerate(untils, start):
            if until < now and (self._states is None or self._states[place] != _GONE):
                self._drop(settled, place)


class Bucket:
    """The columns of one bucket."""

    __slots__ = ("befores", "known", "levels", "marks", "prints", "untils")

    def __init__(self) -> None:
        self.marks = bytearray()
        self.prints = bytearray()
        self.befores = array("I")
        self.untils = array("I")
        self.levels = bytearray()
        self.known = bytearray()

    def place(self, mark: bytes) -> int:
        """Return where a mark is, or -1."""
        prints, print_ = self.prints, mark[13]
        place = prints.find(print_)
        while place >= 0:
            if self.marks.startswith(mark, place * WIDTH):
                return place
            place = prints.find(print_, place + 1)
        return -1

    def append(self, level: int, mark: bytes, before: int, until: int, is_known: bool) -> None:
        self.marks += mark
        self.prints.append(mark[13])
        self.befores.append(before)
        self.untils.append(until)
        self.levels.append(level)
        self.known.append(is_known)

    def entry(self, place: int) -> Entry:
        mark = bytes(self.marks[place * WIDTH : (place + 1) * WIDTH])
        return self.levels[place], mark, self.befores[place], self.untils[place]

    def columns(self) -> Columns:
        integers = self.befores.tobytes(), self.untils.tobytes()
        return Columns(bytes(self.prints), bytes(self.levels), bytes(self.marks), *integers)

    def without_ended(self, now: int) -> "Bucket":
        left = Bucket()
        keep = [until >= now for until in self.untils]
        for place in compress(range(len(keep)), keep):
            left.append(*self.entry(place), bool(self.known[place]))
        return left


_NOTHING = Bucket().columns()


def _entries(columns: Columns) -> Iterator[Entry]:
    befores, untils = array("I", columns.befores), array("I", columns.untils)
    for place, level in enumerate(columns.levels):
        yield level, columns.marks[place * WIDTH : (place + 1) * WIDTH], befores[place], untils[place]
