"""First uses of access tokens, on their way into the records: the proof that a pair has arrived.

They are collected while requests are decided, and committed soon after by a background task. One that is lost only
lets the recovery window stay open longer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import islice

from gateway.model.errors import StoreUnavailable

INTERVAL = 0.05
"""Seconds in which first uses come together."""
TOGETHER = 64
"""How many are committed at the same time."""
MOST = 10_000
"""How many may wait; while the store is away, the oldest are dropped."""
PAUSE = 1.0
"""Seconds before the store is tried again."""


class Acknowledgements:
    """`seen` is called for every access token of our own that is verified for the first time in this process."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._sleep = sleep
        self._waiting: dict[tuple[str, int], None] = {}
        self._has_news = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def seen(self, sid: str, generation: int) -> None:
        """Note a first use."""
        self._waiting[sid, generation] = None
        if len(self._waiting) > MOST:
            del self._waiting[next(iter(self._waiting))]
        self._has_news.set()

    async def keep_committing(self, acknowledge: Callable[[str, int], Awaitable[None]]) -> None:
        """Commit what was noted, for ever. Raises what `acknowledge` raises but StoreUnavailable; may be run again."""
        while True:
            await self._has_news.wait()
            await self._sleep(INTERVAL)
            while self._waiting:
                if not await self._commit_some(acknowledge):
                    await self._sleep(PAUSE)
            self._has_news.clear()

    async def _commit_some(self, acknowledge: Callable[[str, int], Awaitable[None]]) -> bool:
        """Commit the oldest. Return False if the store failed some; those wait again."""
        batch = list(islice(self._waiting, TOGETHER))
        for each in batch:
            del self._waiting[each]
        outcomes = await asyncio.gather(*(acknowledge(*each) for each in batch), return_exceptions=True)
        failed = [each for each, outcome in zip(batch, outcomes, strict=True) if isinstance(outcome, StoreUnavailable)]
        for each in failed:
            self.seen(*each)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, StoreUnavailable):
                raise outcome
        return not failed
