"""A table of marks that stays small and quick at a million entries, and never pauses to reorganise itself.

Marks are spread over buckets by their last bytes, which are random in digests and in session ids alike (the first ones
of a session id are its shard). A bucket is a handful of parallel columns, in no order. One of them holds another byte
of each mark: a look-up searches it at the speed of memory, and compares the whole mark where that byte is the same. An
entry takes 27 bytes and what the columns have in reserve. Per entry, `is_known` says that whoever else should have it
is known to have it.
"""

from array import array
from collections.abc import Iterator
from itertools import compress
from typing import Final

BUCKETS: Final = 4096

_WIDTH: Final = 16
_MASK: Final = BUCKETS - 1

Entry = tuple[int, bytes, int, int]
"""Level, mark, before, until."""


class MarkTable:
    """Entries by mark: 16 bytes. `before` and `until` fit in 32 bits, and only ever grow."""

    def __init__(self) -> None:
        self._buckets: list[_Bucket | None] = [None] * BUCKETS
        self._size = 0
        self._unknown = 0
        self._swept = 0

    def __len__(self) -> int:
        return self._size

    @property
    def unknown(self) -> int:
        """How many entries are not known."""
        return self._unknown

    def before(self, mark: bytes) -> int:
        """Return the number of a mark, 0 where there is none."""
        bucket = self._buckets[mark[15] << 4 | mark[14] >> 4]
        if bucket is None:
            return 0
        prints, print_ = bucket.prints, mark[13]
        place = prints.find(print_)
        while place >= 0:  # as in `place`: a call would cost as much as the search
            if bucket.marks.startswith(mark, place * _WIDTH):
                return bucket.befores[place]
            place = prints.find(print_, place + 1)
        return 0

    def covers(self, mark: bytes, before: int, until: int) -> bool:
        """Say whether merging this would leave number and end as they are."""
        bucket = self._buckets[mark[15] << 4 | mark[14] >> 4]
        place = -1 if bucket is None else bucket.place(mark)
        return bucket is not None and place >= 0 and bucket.befores[place] >= before and bucket.untils[place] >= until

    def merge(self, entry: Entry, *, is_known: bool) -> bool:
        """Take the greater number and end of both. Returns whether the number grew.

        The result is known if what was known before and what is known of this entry make it up.
        """
        level, mark, before, until = entry
        number = mark[15] << 4 | mark[14] >> 4
        bucket = self._buckets[number]
        if bucket is None:
            bucket = self._buckets[number] = _Bucket()
        place = bucket.place(mark)
        if place >= 0:
            return self._raise(bucket, place, before, until, is_known)
        bucket.append(level, mark, before, until, is_known)
        self._size += 1
        self._unknown += not is_known
        return True

    def _raise(self, bucket: "_Bucket", place: int, before: int, until: int, is_known: bool) -> bool:
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
        self._unknown = self._size

    def unknown_entries(self) -> Iterator[Entry]:
        """Yield the entries that are not known. The table must not be changed meanwhile."""
        for bucket in filter(None, self._buckets):
            place = bucket.known.find(0)
            while place >= 0:
                yield bucket.entry(place)
                place = bucket.known.find(0, place + 1)

    def sweep(self, now: int, buckets: int) -> None:
        """Drop what ended before `now` from the next few buckets."""
        for number in range(self._swept, self._swept + buckets):
            bucket = self._buckets[number & _MASK]
            if bucket is not None and min(bucket.untils) < now:
                left = bucket.without_ended(now)
                self._size -= len(bucket.untils) - len(left.untils)
                self._unknown -= bucket.known.count(0) - left.known.count(0)
                self._buckets[number & _MASK] = left if left.untils else None
        self._swept = (self._swept + buckets) & _MASK


class _Bucket:
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
            if self.marks.startswith(mark, place * _WIDTH):
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
        mark = bytes(self.marks[place * _WIDTH : (place + 1) * _WIDTH])
        return self.levels[place], mark, self.befores[place], self.untils[place]

    def without_ended(self, now: int) -> "_Bucket":
        left = _Bucket()
        keep = [until >= now for until in self.untils]
        for place in compress(range(len(keep)), keep):
            left.append(*self.entry(place), bool(self.known[place]))
        return left
