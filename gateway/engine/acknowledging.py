"""First uses of access tokens, on their way into the records: the proof that a pair has arrived.

They are collected while requests are decided, and committed soon after by a background task. One that is lost only
lets the recovery window stay open longer.
"""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.model.errors import StoreUnavailable

INTERVAL = 0.05
"""Seconds between two rounds."""
_MOST = 10_000
"""How many may wait; while the store is away, the oldest are dropped."""


class Acknowledgements:
    """`seen` is called for every access token of our own that is verified for the first time in this process."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, int], None] = {}

    def seen(self, sid: str, generation: int) -> None:
        """Note a first use."""
        if len(self._waiting) >= _MOST:
            self._waiting.pop(next(iter(self._waiting)))
        self._waiting[sid, generation] = None

    async def keep_committing(self, acknowledge: Callable[[str, int], Awaitable[None]]) -> None:
        """Commit what was noted, for ever."""
        while True:
            await asyncio.sleep(INTERVAL)
            while self._waiting:
                first = next(iter(self._waiting))
                try:
                    await acknowledge(*first)
                except StoreUnavailable:
                    await asyncio.sleep(1)
                    break
                self._waiting.pop(first, None)
