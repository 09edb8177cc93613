"""Marks that do not change any more, in one piece of memory, so that several processes can have the same.

The columns of `marks.MarkTable`, bucket after bucket, and where each bucket begins. An entry takes 26 bytes.
"""

from array import array
from collections.abc import Iterable
from itertools import accumulate
from mmap import mmap
from typing import NamedTuple

BUCKETS = 4096
WIDTH = 16
"""Bytes of a mark."""

_INT = array("I").itemsize


class Columns(NamedTuple):
    """The entries of one bucket, column by column; `befores` and `untils` as machine integers."""

    prints: bytes
    levels: bytes
    marks: bytes
    befores: bytes
    untils: bytes


def packed(buckets: Iterable[Columns]) -> bytes:
    """Return all buckets in one piece, in the order of their numbers."""
    prints, levels, marks, befores, untils = zip(*buckets, strict=True)
    starts = array("I", accumulate(map(len, prints), initial=0))
    # What holds integers comes first: so they are aligned without padding.
    return b"".join((starts.tobytes(), *befores, *untils, *marks, *prints, *levels))


class SettledMarks:
    """What `packed` returned, in the memory from `offset`: a multiple of the size of an integer. Only reads it."""

    def __init__(self, memory: mmap | bytes, offset: int = 0) -> None:
        self._memory = memory
        whole = memoryview(memory)[offset:]
        at = (BUCKETS + 1) * _INT
        self.starts = whole[:at].cast("I")
        """Where each bucket begins, and the end."""
        self.size = size = self.starts[BUCKETS]
        self.befores = whole[at : at + size * _INT].cast("I")
        self.untils = whole[at + size * _INT : at + 2 * size * _INT].cast("I")
        self._marks = offset + at + 2 * size * _INT
        self._prints = self._marks + size * WIDTH
        self._levels = self._prints + size

    def place(self, mark: bytes) -> int:
        """Return where a mark is, or -1."""
        number = mark[15] << 4 | mark[14] >> 4
        memory, prints, print_ = self._memory, self._prints, mark[13:14]
        end = prints + self.starts[number + 1]
        found = memory.find(print_, prints + self.starts[number], end)
        while found >= 0:
            at = self._marks + (found - prints) * WIDTH
            if memory[at : at + WIDTH] == mark:
                return found - prints
            found = memory.find(print_, found + 1, end)
        return -1

    def entry(self, place: int) -> tuple[int, bytes, int, int]:
        """Return level, mark, before and until."""
        at = self._marks + place * WIDTH
        return (
            self._memory[self._levels + place],
            self._memory[at : at + WIDTH],
            self.befores[place],
            self.untils[place],
        )

    def columns(self, number: int) -> Columns:
        """Return a bucket."""
        start, end = self.starts[number], self.starts[number + 1]
        memory = self._memory
        return Columns(
            memory[self._prints + start : self._prints + end],
            memory[self._levels + start : self._levels + end],
            memory[self._marks + start * WIDTH : self._marks + end * WIDTH],
            self.befores[start:end].tobytes(),
            self.untils[start:end].tobytes(),
        )
