"""What is revoked, as far as this process knows: asked on every request, without I/O.

Nothing is forgotten because a store forgot it: entries are only ever merged, until they end. Each process has one view,
so a principal can remember the `version` at which it was last found good: while nothing changes, asking again costs
one comparison, and after a few changes only those are looked at. Entries that take effect later wait in a heap; the
clock is the store's, carried on between readings by the monotonic clock.
"""

import heapq
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Final

from gateway.model.clock import Clock, unix_now
from gateway.model.principal import Principal
from gateway.model.revocation import FOREVER, Level, Revocation
from gateway.state.marks import Bucket, Entry, MarkTable
from gateway.state.settled import SettledMarks

_SWEPT: Final = 16
"""Buckets that one call of `prune` looks at: less than a millisecond at a million entries."""

_RECENT: Final = 4096
"""Marks changed last that are kept apart."""

_Waiting = tuple[int, bytes, int]
"""What identifies an entry that is not in effect yet: since_ms, mark, before."""


class RevocationView:
    """The revocations in force. Not thread-safe."""

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, clock: Clock = unix_now, *, recent: int = _RECENT
    ) -> None:
        """`clock` is this process's: by it tokens expire, so nothing ends before it says so, whatever the store says.

        `recent` is how many of the marks that changed last are kept apart.
        """
        self._monotonic = monotonic
        self._clock = clock
        self._keep_recent = recent
        self._ahead_ms = clock() * 1000 - monotonic() * 1000
        self._table = MarkTable()
        self._version = 0
        self._recent: set[bytes] = set()
        self._recent_since = 0
        self._waiting: dict[_Waiting, _Later] = {}
        self._heap: list[_Waiting] = []
        self._fresh_at = -math.inf

    def __len__(self) -> int:
        return len(self._table) + len(self._waiting)

    @property
    def version(self) -> int:
        """Grows whenever something that was good may be void now: poll it to end what lasts longer than a request."""
        if self._heap:
            self._put_in_effect()
        return self._version

    def is_revoked(self, principal: Principal) -> bool:
        """Say whether the principal's token is void. The greatest number of each mark counts, and any mark."""
        if self._heap:
            self._put_in_effect()
        cleared_at = principal.cleared_at
        if cleared_at[0] == self._version:
            return False
        before, recent = self._table.before, self._recent
        was_good = cleared_at[0] >= self._recent_since
        for mark, ordinal in principal.marks:
            if was_good and mark not in recent:
                continue
            number = before(mark)
            if number and (number > ordinal or number == FOREVER):
                return True
        cleared_at[0] = self._version
        return False

    def before(self, mark: bytes) -> int:
        """Return the number below which ordinals are void; 0 where there is none."""
        if self._heap:
            self._put_in_effect()
        return self._table.before(mark)

    def add(self, revocations: Iterable[Revocation], *, confirmed: bool = True) -> None:
        """Put revocations in force here. Repeating one changes nothing, and the order is of no account.

        `confirmed`: the store has them. Otherwise they are among `unconfirmed` until they are added confirmed.
        """
        now_ms, ended = self.now_ms(), self._ended()
        for revocation in revocations:
            before, until = _bounded(revocation.before), _bounded(revocation.until)
            if until < ended:
                continue
            entry = (int(revocation.level), revocation.mark, before, until)
            if revocation.since_ms > now_ms:
                self._add_later(revocation.since_ms, entry, confirmed)
            else:
                self._merge(entry, confirmed)

    def knows(self, revocation: Revocation) -> bool:
        """Say whether adding this would change nothing."""
        mark, before, until = revocation.mark, _bounded(revocation.before), _bounded(revocation.until)
        later = self._waiting.get((revocation.since_ms, mark, before))
        return self._table.covers(mark, before, until) or (later is not None and later.entry[3] >= until)

    # --- for whoever keeps it current

    def now_ms(self) -> int:
        """Return the store's time as well as it can be known here, in Unix milliseconds."""
        return int(self._monotonic() * 1000 + self._ahead_ms)

    def refreshed(self, now_ms: int, fresh_at: float) -> None:
        """Note that all news were added that the store had at `fresh_at` (monotonic), and that its time is `now_ms`."""
        self._ahead_ms = now_ms - self._monotonic() * 1000
        self._fresh_at = max(self._fresh_at, fresh_at)

    def staleness(self) -> float:
        """Return for how many seconds there may be news that are not known here; infinite before the first reading."""
        return max(0.0, self._monotonic() - self._fresh_at)

    def doubt(self) -> None:
        """Take everything for unconfirmed: a snapshot follows, and what it lacks the store has lost."""
        self._table.forget_known()
        for later in self._waiting.values():
            later.is_known = False

    def has_unconfirmed(self) -> bool:
        """Say whether `unconfirmed` is worth asking."""
        return self._table.unknown > 0 or any(not later.is_known for later in self._waiting.values())

    def unconfirmed(self) -> Iterator[Revocation]:
        """Yield what the store is not known to have. Nothing may be added meanwhile."""
        now_ms = self.now_ms()
        waiting = ((key[0], later.entry) for key, later in self._waiting.items() if not later.is_known)
        for since_ms, entry in chain(((0, entry) for entry in self._table.unknown_entries()), waiting):
            level, mark, before, until = entry
            if until * 1000 >= now_ms:
                yield Revocation(Level(level), mark, before, until, now_ms, since_ms)

    def prune(self) -> None:
        """Forget a part of what has ended. Call it again and again."""
        self._table.sweep(self._ended(), _SWEPT)

    # --- for whoever shares it with other processes

    @property
    def table(self) -> MarkTable:
        """What is in effect. To be read only."""
        return self._table

    def later(self) -> list[Revocation]:
        """Return what takes effect later."""
        now_ms = self.now_ms()
        return [
            Revocation(Level(level), mark, before, until, now_ms, key[0])
            for key, (level, mark, before, until) in ((key, later.entry) for key, later in self._waiting.items())
        ]

    def rest_on(self, settled: SettledMarks, own: Sequence[Bucket | None]) -> None:
        """Have settled marks beside one's own. Everything must be confirmed, and what is new may make anything void."""
        self._table.rest_on(settled, own)
        self._recent.clear()
        self._version += 1
        self._recent_since = self._version

    def _ended(self) -> int:
        """Return the time before which entries have ended for sure."""
        return int(min(self.now_ms() / 1000, self._clock()))

    # --- what takes effect later

    def _add_later(self, since_ms: int, entry: Entry, is_known: bool) -> None:
        level, mark, before, until = entry
        key = (since_ms, mark, before)
        later = self._waiting.get(key)
        if later is None:
            self._waiting[key] = _Later(entry, is_known)
            heapq.heappush(self._heap, key)
        else:
            old, was_known = later.entry[3], later.is_known
            later.is_known = (is_known and (was_known or until >= old)) or (was_known and until <= old)
            later.entry = (level, mark, before, max(until, old))

    def _put_in_effect(self) -> None:
        now_ms = self.now_ms()
        while self._heap and self._heap[0][0] <= now_ms:
            later = self._waiting.pop(heapq.heappop(self._heap))
            self._merge(later.entry, later.is_known)

    def _merge(self, entry: Entry, is_known: bool) -> None:
        if self._table.merge(entry, is_known=is_known):
            if len(self._recent) >= self._keep_recent:
                self._recent.clear()
                self._recent_since = self._version
            self._recent.add(entry[1])
            self._version += 1


class _Later:
    """An entry that waits."""

    __slots__ = ("entry", "is_known")

    def __init__(self, entry: Entry, is_known: bool) -> None:
        self.entry = entry
        self.is_known = is_known


def _bounded(number: int) -> int:
    """A number or end beyond FOREVER means no more than that."""
    return number if 0 <= number <= FOREVER else min(max(number, 0), FOREVER)
