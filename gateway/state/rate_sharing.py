"""The background task by which processes share the counts of their rate limits.

Every 100 ms, if something has passed under a shared limit, it is told, and the answer says what all have let pass. So
a process can let pass too much only for as long as it has not heard of the others. While they cannot be heard, each
counts for itself. What it let pass meanwhile is not added up afterwards: that would refuse honest clients for as long
as the outage was. Instead, the greatest count of any process holds, and from there on all add to it.

The order in which requests passed in different processes within one interval is not known, and the sum can be too
large by as much: twice the interval is let off, so that nobody is refused who keeps within the limit.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b

from gateway.model.errors import StoreUnavailable
from gateway.model.notice import Notice
from gateway.state.base import BadStore
from gateway.state.rate_counts import Passed, RateCounts
from gateway.state.rate_table import Key, RateTable, Unsent

INTERVAL = 0.1
LONGEST_PAUSE = 1.0
"""Between attempts while the counts are out of reach."""
_SLICE = 500
"""Counts told in one go: a few milliseconds for the store."""
_MOST_BURSTS = 16
_MOST = 60.0
"""A clock that is set back keeps nobody out for longer than this beyond so many bursts."""


class RateSharing:
    """Shares one table. `results` counts the exchanges: ok or failed."""

    def __init__(
        self,
        table: RateTable,
        counts: RateCounts,
        notice: Notice,
        *,
        interval: float = INTERVAL,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.results = Counter({"ok": 0, "failed": 0})
        self._table = table
        self._counts = counts
        self._notice = notice
        self._interval = interval
        self._sleep = sleep
        self._failures = 0

    async def run(self) -> None:
        """Share until cancelled. Ends only by a bug, which it raises."""
        while True:
            await self._sleep(self._pause())
            await self.exchange()

    async def exchange(self) -> None:
        """Tell what has passed since the last time, if anything has. What cannot be told is let go."""
        unsent, was_out = list(self._table.take_unsent().items()), self._failures > 0
        try:
            for start in range(0, len(unsent), _SLICE):
                await self._tell(unsent[start : start + _SLICE], adds=not was_out)
        except (StoreUnavailable, BadStore) as error:
            self._failed(error)

    async def _tell(self, part: Sequence[tuple[Key, Unsent]], *, adds: bool) -> None:
        now = self._table.now()
        taken = await self._counts.add([self._passed(key, unsent, now, adds=adds) for key, unsent in part])
        for (key, unsent), seconds in zip(part, taken, strict=True):
            self._table.learn(unsent.limit, key, now + seconds - 2 * self._interval)
        self._succeeded()

    def _passed(self, key: Key, unsent: Unsent, now: float, *, adds: bool) -> Passed:
        limit = unsent.limit
        age, added = (now - unsent.since, unsent.requests * limit.interval) if adds else (0, 0)
        most = _MOST_BURSTS * limit.burst * limit.interval + _MOST
        return Passed(_mark(key), age, added, self._table.told(key), most)

    def _pause(self) -> float:
        """Return the seconds to the next exchange; after failures more, and not the same in all processes."""
        if not self._failures:
            return self._interval
        pause = min(LONGEST_PAUSE, self._interval * 2.0 ** min(self._failures, 10))
        return pause * random.uniform(0.5, 1)  # noqa: S311 (spreading load is no secret)

    def _failed(self, error: Exception) -> None:
        self.results["failed"] += 1
        self._failures += 1
        if self._failures == 1:
            self._notice("rate_sharing_failed", {"error": str(error)})

    def _succeeded(self) -> None:
        self.results["ok"] += 1
        if self._failures:
            self._notice("rate_sharing_restored", {"attempts": self._failures})
        self._failures = 0


def _mark(key: Key) -> bytes:
    """Return what names a count in all processes, without showing who is counted."""
    text = "\0".join(f"{len(part)} {part}" for part in key)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
