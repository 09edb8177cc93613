"""How much of every rate limit is taken up, as far as this process knows: asked on requests, without I/O.

The algorithm is GCRA, the leaky bucket kept as one number: the moment at which everything that has passed will have
drained away, and the allowance is whole again. A request that passes moves it by the limit's interval. An entry whose
moment is over is as good as none, so it may be dropped at any time, and a few are looked at whenever a new one comes.

The table is bounded. If it is full of entries that still count, the next one to be whole again of a few is forgotten:
somebody with many addresses can neither lock others out by that, nor make it forget one that has taken up much, since
his own entries go first. Keys hold text that clients choose; Python's keyed hash of text keeps them from colliding.
It outlives Snapshots: a limit that a reload does not change goes on counting.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.state.rate_limit import RateLimit

Key = tuple[str, ...]
"""The name of a limit, and who is counted."""

_ROUNDING = 1e-6
"""Seconds. To be too early by less is the rounding of a clock in floating point, and no reason to refuse."""
_SWEPT = 2
"""Entries that are looked at for each new one: twice as many as come, so old ones do not pile up."""
_COMPARED = 8
"""Entries of which one is forgotten when the table is full."""


@dataclass(slots=True)
class Unsent:
    """What has passed since it was last told to the other processes."""

    limit: RateLimit
    since: float
    requests: int = 0


@dataclass(frozen=True, slots=True)
class OverLimit:
    """Why a request does not pass, and how many seconds later it would."""

    limit: RateLimit
    wait: float


class RateTable:
    """The counts of one process. Not thread-safe. `forgotten` tells how often a full table dropped a count."""

    def __init__(self, capacity: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.capacity = capacity
        self.forgotten = 0
        self._monotonic = monotonic
        self._whole_at: dict[Key, float] = {}
        self._ring: deque[Key] = deque()  # the same keys, those first that were not looked at for longest
        self._unsent: dict[Key, Unsent] = {}

    def __len__(self) -> int:
        return len(self._whole_at)

    def take(self, asked: Sequence[tuple[RateLimit, Key]]) -> OverLimit | None:
        """Count a request under the key of each limit; or count nothing, and return what refuses it."""
        now = self._monotonic()
        over = None
        for limit, key in asked:
            early = self._whole_at.get(key, now) - now - limit.most
            if early > _ROUNDING and (over is None or early > over.wait):
                over = OverLimit(limit, early)
        if over is not None:
            return over
        for limit, key in asked:
            self._count(limit, key, now)
        return None

    def _count(self, limit: RateLimit, key: Key, now: float) -> None:
        whole_at = self._whole_at.get(key)
        if whole_at is None:
            self._make_room(now)
            self._ring.append(key)
        self._whole_at[key] = (now if whole_at is None or whole_at < now else whole_at) + limit.interval
        if limit.is_shared:
            unsent = self._unsent.get(key)
            if unsent is None:
                if len(self._unsent) >= self.capacity:
                    return  # the store is slow, or away: it hears of this with the next request of the same key
                unsent = self._unsent[key] = Unsent(limit, now)
            unsent.requests += 1

    def _make_room(self, now: float) -> None:
        """Look at the next few entries: drop those that are whole again, and if need be the one that will be first."""
        whole_at, ring = self._whole_at, self._ring
        is_full = len(whole_at) >= self.capacity
        kept = []
        for _ in range(min(_COMPARED if is_full else _SWEPT, len(ring))):
            key = ring.popleft()
            if whole_at[key] <= now:
                del whole_at[key]
            else:
                kept.append(key)
        while kept and len(whole_at) >= self.capacity:
            first = min(kept, key=whole_at.__getitem__)
            kept.remove(first)
            del whole_at[first]
            self.forgotten += 1
        ring.extend(kept)

    # --- what is shared with other processes

    def take_unsent(self) -> dict[Key, Unsent]:
        """Return what the others have not been told, and take it for told."""
        unsent, self._unsent = self._unsent, {}
        return unsent

    def told(self, key: Key) -> float:
        """Return the seconds until a key has its whole allowance again, without what was not told yet."""
        unsent = self._unsent.get(key)
        untold = 0.0 if unsent is None else unsent.requests * unsent.limit.interval
        return max(0.0, self._whole_at.get(key, 0.0) - untold - self._monotonic())

    def learn(self, limit: RateLimit, key: Key, whole_at: float) -> None:
        """Take over when a key is whole again by what all processes have told; what was not told yet is added.

        What this process has let pass by itself counts in any case.
        """
        unsent = self._unsent.get(key)
        if unsent is not None:
            whole_at += unsent.requests * limit.interval
        now = self._monotonic()
        known = self._whole_at.get(key)
        if known is None:
            if whole_at <= now:
                return
            self._make_room(now)
            self._ring.append(key)
            known = whole_at
        self._whole_at[key] = max(known, whole_at)

    def now(self) -> float:
        """Return the time that `learn` and `Unsent.since` are in."""
        return self._monotonic()
