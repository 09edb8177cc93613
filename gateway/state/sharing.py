"""How the workers of one parent have most of their view of revocations in common.

One reads the store and puts on the shelf what it found, with the place in the stream of news where that holds. The
others take it and read on from there, as if they had only slept since: what has come in between the store tells them,
or that there is a gap, and then they read all of it. Each follows the news by itself; so what it is told, and when, is
not changed by sharing. What came since is settled anew when it is much.

Only what the store is known to have is put there. What a worker takes never lets it forget anything: it keeps by
itself what it has and the others have not.
"""

import asyncio
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

from gateway.model.revocation import Level, Revocation
from gateway.state.revocations import RevocationView
from gateway.state.settled import BUCKETS, SettledMarks, packed
from gateway.state.shelf import CONTENT, Shelf

T = TypeVar("T")

LEAST = 20_000
"""So many entries of its own, half a MiB, a worker has before it is worthwhile to settle anything."""
SHARE = 4
"""And one for so many that are settled."""
_AT_ONCE = 32
"""Buckets handled in one go: at a million entries some milliseconds if all of them are compared, else much less."""
_LENGTH = struct.Struct("=Q")


@dataclass(frozen=True, slots=True)
class _Found:
    """What somebody has settled: all that was known at a place in the stream of news."""

    generation: int
    cursor: tuple[str, ...]
    marks: SettledMarks
    later: list[Revocation]


class Sharing:
    """One worker's part. `store` names the store: what is known of another one is not taken."""

    def __init__(self, shelf: Shelf, view: RevocationView, store: str, *, least: int = LEAST) -> None:
        self._shelf = shelf
        self._view = view
        self._store = blake2b(store.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        self._least = least
        self._looked_at = 0
        """The newest generation that was taken or was of no use."""
        self._has_turn = False

    async def adopt(self) -> tuple[str, ...] | None:
        """Take what is on the shelf. Returns the place in the stream where to read on; None if there is nothing."""
        found = self._take()
        if found is None or not await self._rest_on(found):
            return None
        return found.cursor

    def take_turn(self) -> bool:
        """Become the one who fills the shelf. False while another is that."""
        self._has_turn = self._has_turn or self._shelf.take_turn()
        return self._has_turn

    def end_turn(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._shelf.end_turn()

    async def settle(self, cursor: tuple[str, ...]) -> None:
        """Take what another has settled; or settle what has become much, if all is known here up to this place in the
        stream. Returns soon where there is nothing to do. Raises OSError for want of memory."""
        if self._view.has_unconfirmed():
            return
        if self._shelf.newest() <= self._looked_at:
            if not self._is_much() or not self.take_turn():
                return
            try:
                content = await self._content(cursor)
                if not await asyncio.to_thread(self._shelf.put, content, self._looked_at + 1):
                    return
            finally:
                self.end_turn()
        if (found := self._take()) is not None:
            await self._rest_on(found)

    def _is_much(self) -> bool:
        return self._view.table.unsettled >= max(self._least, len(self._view) // SHARE)

    def _take(self) -> _Found | None:
        """Return what is new on the shelf, and of this store."""
        taken = self._shelf.take(self._looked_at)
        if taken is None:
            return None
        self._looked_at, memory = taken
        [length] = _LENGTH.unpack_from(memory, CONTENT)
        start = CONTENT + _LENGTH.size
        about = json.loads(memory[start : start + length])
        if about["store"] != self._store:
            return None
        later = [Revocation(Level(level), bytes.fromhex(mark), *rest) for level, mark, *rest in about["later"]]
        return _Found(self._looked_at, tuple(about["cursor"]), SettledMarks(memory, start + length), later)

    async def _content(self, cursor: tuple[str, ...]) -> bytes:
        """Return all that the view has. What comes meanwhile may be in it or not: it is read again from the cursor."""
        later = [
            (each.level.value, each.mark.hex(), each.before, each.until, each.at_ms, each.since_ms)
            for each in self._view.later()
        ]
        about = json.dumps({"store": self._store, "cursor": cursor, "later": later}).encode()
        about = about.ljust(-(-len(about) // 8) * 8)  # what follows holds integers
        marks = packed(await _of_all_buckets(self._view.table.columns))
        return b"".join((_LENGTH.pack(len(about)), about, marks))

    async def _rest_on(self, found: _Found) -> bool:
        """Let the view rest on what was found. Returns whether it does: not if it has become unsure of something."""
        view, marks = self._view, found.marks
        changed = view.table.changed
        changed.clear()
        lacking = await _of_all_buckets(lambda number: view.table.lacking_in(marks, number))
        if view.has_unconfirmed():
            self._looked_at = found.generation - 1
            return False
        for number in changed:  # by others, while this went on
            lacking[number] = view.table.lacking_in(marks, number)
        freed = view.table.unsettled
        view.rest_on(marks, lacking)
        view.add(found.later)
        if freed >= self._least:
            from gateway.state.heap import give_back  # by way of ctypes, which nobody else needs

            give_back()
        return True


async def _of_all_buckets(look: Callable[[int], T]) -> list[T]:
    """Return what is found in each bucket. Requests are served in between."""
    found = []
    for number in range(BUCKETS):
        found.append(look(number))
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return found
