"""Where the workers of one parent put what all of them need: two pieces of memory without a name.

Newer content always goes into the piece that does not hold the newest, and only while no process has that one mapped:
so what is mapped never changes. Locks see to it, which the system lets go of when a process ends, however it ends.
Content that is not whole, since who wrote it died, has a digest that does not fit, and is not taken.
"""

import fcntl
import os
import struct
from collections.abc import Sequence
from hashlib import blake2b
from mmap import MAP_SHARED, PROT_READ, mmap
from weakref import ref

CONTENT = 64
"""Where the content of a piece begins."""

_MAGIC = b"shelf  1"
"""Changes with the form of the content: workers of two versions may run beside each other."""
_HEAD = struct.Struct("=8sQQ32s")
"""Magic, generation, length and digest of the content."""
_NOTHING = _HEAD.pack(_MAGIC, 0, 0, b"")


def new_shelf() -> tuple[int, ...]:
    """Return descriptors for children to inherit: two pieces, and what one locks who fills them. None where the system
    has no such memory."""
    if not hasattr(os, "memfd_create"):
        return ()
    try:
        return tuple(os.memfd_create(f"gateway shelf {number}") for number in range(3))
    except OSError:  # a sandbox that does not allow it
        return ()


class Shelf:
    """One process's hold on it. At most one content is meant to be mapped at a time, and another for a moment."""

    def __init__(self, descriptors: Sequence[int]) -> None:
        """Descriptors that `new_shelf` made, in this process or in its parent."""
        *self._pieces, self._turn = descriptors
        self._mapped: list[ref[mmap] | None] = [None for _ in self._pieces]

    def newest(self) -> int:
        """Return the generation of the newest content, 0 where there is none. Somebody may be writing it."""
        return max(map(self._generation, range(len(self._pieces))))

    def take(self, newer_than: int = 0) -> tuple[int, mmap] | None:
        """Return the newest content with its generation: all of the piece, the content begins at CONTENT.

        It stays as it is for as long as the map is there. None if there is nothing newer, or somebody is writing it.
        """
        for piece in sorted(range(len(self._pieces)), key=self._generation, reverse=True):
            if self._generation(piece) > newer_than and (found := self._map(piece, newer_than)) is not None:
                return found
        return None

    def put(self, content: bytes, generation: int) -> bool:
        """Write content as this generation, which must be the next. Returns whether it is there: nobody may have
        mapped the piece where it belongs. May be called in a thread. Raises OSError."""
        piece = min(range(len(self._pieces)), key=self._generation)
        if self.newest() != generation - 1 or self._is_mapped(piece) or not self._lock(piece, fcntl.LOCK_EX):
            return False
        descriptor = self._pieces[piece]
        try:
            os.pwrite(descriptor, _NOTHING, 0)
            os.ftruncate(descriptor, CONTENT + len(content))
            written = 0
            while written < len(content):
                written += os.pwrite(descriptor, memoryview(content)[written:], CONTENT + written)
            digest = blake2b(content, digest_size=32).digest()
            os.pwrite(descriptor, _HEAD.pack(_MAGIC, generation, len(content), digest), 0)
        finally:
            fcntl.lockf(descriptor, fcntl.LOCK_UN)
        return True

    def take_turn(self) -> bool:
        """Become the one who fills the shelf, until `end_turn` or the end of the process. False while another is."""
        try:
            fcntl.lockf(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def end_turn(self) -> None:
        fcntl.lockf(self._turn, fcntl.LOCK_UN)

    def _generation(self, piece: int) -> int:
        head = os.pread(self._pieces[piece], _HEAD.size, 0)
        if len(head) < _HEAD.size:
            return 0
        magic, generation, _, _ = _HEAD.unpack(head)
        return int(generation) if magic == _MAGIC else 0

    def _map(self, piece: int, newer_than: int) -> tuple[int, mmap] | None:
        if self._is_mapped(piece) or not self._lock(piece, fcntl.LOCK_SH):
            return None
        descriptor = self._pieces[piece]
        _, generation, length, digest = _HEAD.unpack(os.pread(descriptor, _HEAD.size, 0))
        is_there = generation > newer_than and os.fstat(descriptor).st_size >= CONTENT + length
        if is_there:
            # The lock lasts as long as the map: with that, Python closes a copy of the descriptor, and so all locks
            # of this process on the piece are gone (fcntl(2)).
            memory = mmap(descriptor, CONTENT + length, flags=MAP_SHARED, prot=PROT_READ)
            if blake2b(memoryview(memory)[CONTENT:], digest_size=32).digest() == digest:
                self._mapped[piece] = ref(memory)
                return generation, memory
        else:
            fcntl.lockf(descriptor, fcntl.LOCK_UN)
        return None

    def _is_mapped(self, piece: int) -> bool:
        """Say whether this process has it mapped: its own locks would not keep it from writing there."""
        mapped = self._mapped[piece]
        return mapped is not None and mapped() is not None

    def _lock(self, piece: int, kind: int) -> bool:
        try:
            fcntl.lockf(self._pieces[piece], kind | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
