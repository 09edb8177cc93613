"""The background task that keeps the view of revocations current, and gives back to the store what it has lost.

A round is a reading (a snapshot at first and after every gap, else what came since) and then the publication of what
the store is not known to have: revocations made here while it was out of reach, and after a snapshot those in force
here that the snapshot lacks. So a revocation lives as long as one gateway that saw it. Before it answers a snapshot
that way, a gateway waits for a random moment and goes on reading: what another gives back meanwhile is known then.
While the store does not answer, the view stays as it is, and its staleness grows by itself.

Of several workers of one parent, one at a time reads a first snapshot; the others take it from there (`sharing`).
"""

import asyncio
import random
import time
from base64 import urlsafe_b64encode
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice

from gateway.model.errors import StoreUnavailable
from gateway.model.notice import Notice
from gateway.model.revocation import Level, Revocation
from gateway.state.base import BadStore, Gap, Reading, RevocationFeed, SessionStore
from gateway.state.revocations import RevocationView
from gateway.state.sharing import Sharing

PAUSE_AFTER_BAD_STORE = 5.0
PATIENCE = 60.0
"""Seconds to wait for another worker that reads the store, before reading it beside that one."""
LONGEST_PAUSE = 1.0
"""Between attempts while the store is out of reach."""
SPREAD = 0.5
"""Within so many seconds after a snapshot the gateways give back what it lacks, one before the other."""
RESTORE_AFTER = 2.0
"""An end that is being committed at this moment needs no help: records are looked at so much later, also again."""

_SLICE = 500
"""Revocations handled in one go, a millisecond or two: requests are served in between."""
_BATCHES = 8
"""Publications between two readings."""


class RevocationFollower:
    """Reads one feed into one view. `run` it for as long as the view is used.

    `resyncs` counts the snapshots after the first by cause, `errors` the rounds that the store failed, and
    `pushed_back` what was published that the store was not known to have.
    """

    def __init__(
        self,
        feed: RevocationFeed,
        view: RevocationView,
        store: SessionStore,
        notice: Notice,
        *,
        ready: Callable[[], None] = lambda: None,
        observed: Callable[[float], None] = lambda seconds: None,
        restore: Callable[[str], Awaitable[object]] | None = None,
        sharing: Sharing | None = None,
        interval: float = 0.1,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`ready` is called when the first snapshot is in the view.

        `observed` gets the seconds that each revocation took to arrive, `restore` the id of each session whose end
        the store may have lost: it must end the session if it has not ended.
        """
        self.resyncs: Counter[str] = Counter()
        self.errors = 0
        self.pushed_back = 0
        self._feed = feed
        self._view = view
        self._store = store
        self._notice = notice
        self._ready = ready
        self._observed = observed
        self._restore = restore
        self._sharing = sharing
        self._interval = interval
        self._monotonic = monotonic
        self._sleep = sleep
        self._cursor: tuple[str, ...] | None = None
        self._is_ready = False
        self._give_back_at = 0.0
        self._over: dict[bytes, float] = {}
        self._failures = 0

    async def run(self) -> None:
        """Follow until cancelled. Ends only by a bug, which it raises."""
        self._cursor = None
        await self._open()
        while True:
            try:
                await self._round()
            except Gap as gap:
                self._cursor = None
                self._count_resync(str(gap))
            except StoreUnavailable as error:
                self._failed(error)
            else:
                self._succeeded()
            self._view.prune()
            await self._sleep(self._pause())

    async def _open(self) -> None:
        while True:
            try:
                return await self._store.open()
            except BadStore as error:
                self._notice("state_failed", {"error": str(error)})
                await self._sleep(PAUSE_AFTER_BAD_STORE)
            except StoreUnavailable as error:
                self._failed(error)
                await self._sleep(self._pause())

    async def _round(self) -> None:
        if self._cursor is None and not self._is_ready:
            await self._begin()
        elif self._cursor is None:
            await self._take_snapshot()
        else:
            await self._read_on(self._cursor)
        await self._share()
        if self._view.has_unconfirmed() and self._monotonic() >= self._give_back_at:
            await self._give_back()
        await self._restore_records()

    def _pause(self) -> float:
        """Return the seconds to the next round; after failures more, and not the same in all gateways."""
        if not self._failures:
            return self._interval
        pause = min(LONGEST_PAUSE, self._interval * 2.0 ** min(self._failures, 10))
        return pause * random.uniform(0.5, 1)  # noqa: S311 (spreading load is no secret)

    def _failed(self, error: StoreUnavailable) -> None:
        self.errors += 1
        self._failures += 1
        if self._failures == 1:
            self._notice("state_reading_failed", {"error": str(error)})

    def _succeeded(self) -> None:
        if self._failures:
            self._notice("state_reading_restored", {"attempts": self._failures})
        self._failures = 0

    def _count_resync(self, cause: str) -> None:
        self.resyncs[cause] += 1
        self._notice("revocations_gap", {"cause": cause})

    async def _share(self) -> None:
        if self._sharing is not None and self._cursor is not None:
            try:
                await self._sharing.settle(self._cursor)
            except OSError as error:  # for want of memory: this one has its own
                self._notice("revocations_not_shared", {"error": str(error)})
                self._sharing = None

    # --- reading

    async def _begin(self) -> None:
        """Take what another worker has read, or read it for all. Ready is who has read to the end of the news."""
        sharing, wait_until = self._sharing, self._monotonic() + PATIENCE
        if sharing is None:
            return await self._take_snapshot()
        while not sharing.take_turn() and self._monotonic() < wait_until:
            await self._sleep(self._interval)
        try:
            if (cursor := await sharing.adopt()) is None:
                await self._take_snapshot()
            else:
                await self._read_on(cursor)
                self._now_ready()
            await self._share()
        finally:
            sharing.end_turn()

    async def _take_snapshot(self) -> None:
        sent_at = self._monotonic()
        self._view.doubt()
        reading = await self._feed.snapshot(self._add)
        self._note(reading, sent_at)
        self._give_back_at = self._monotonic() + random.uniform(0, SPREAD)  # noqa: S311
        self._now_ready()

    def _now_ready(self) -> None:
        if not self._is_ready:
            self._is_ready = True
            self._ready()

    async def _read_on(self, cursor: tuple[str, ...]) -> None:
        sent_at = self._monotonic()
        reading = await self._feed.tail(cursor)
        await self._add(reading.revocations, reading.now_ms)
        self._note(reading, sent_at)

    async def _add(self, revocations: Sequence[Revocation], now_ms: int | None = None) -> None:
        """Put revocations in the view. With the time of the store they are news, whose delay is observed."""
        for start in range(0, len(revocations), _SLICE):
            part = revocations[start : start + _SLICE]
            if now_ms is not None:
                self._observe(part, now_ms)
            self._view.add(part)
            await asyncio.sleep(0)

    def _note(self, reading: Reading, sent_at: float) -> None:
        """Let the cursor and the freshness of a reading count: all of it is in the view."""
        self._view.refreshed(reading.now_ms, sent_at - reading.age)
        self._cursor = reading.cursor

    def _observe(self, revocations: Sequence[Revocation], now_ms: int) -> None:
        for revocation in revocations:
            if not self._view.knows(revocation):
                self._observed(max(0, now_ms - revocation.at_ms) / 1000)

    # --- giving back

    async def _give_back(self) -> None:
        """Publish what the store is not known to have, a part of it; the next round reads first and then goes on."""
        for _ in range(_BATCHES):
            batch = list(islice(self._view.unconfirmed(), _SLICE))
            if not batch:
                return
            await self._feed.publish(batch)
            self._view.add(batch)
            self._remember_sessions(batch)
            self.pushed_back += len(batch)

    def _remember_sessions(self, batch: Sequence[Revocation]) -> None:
        if self._restore is not None:
            due = self._monotonic() + RESTORE_AFTER
            for each in batch:
                if each.level is Level.SESSION:
                    self._over.setdefault(each.mark, due)

    async def _restore_records(self) -> None:
        """End sessions whose revocation the store had lost, for as long as a round may take.

        One that cannot be ended now is tried again later: it must not hinder the readings.
        """
        stop_at = self._monotonic() + self._interval
        while self._restore is not None and self._over and self._monotonic() < stop_at:
            mark, due = next(iter(self._over.items()))
            if due > self._monotonic():
                return
            del self._over[mark]
            try:
                await self._restore(urlsafe_b64encode(mark).rstrip(b"=").decode())
            except StoreUnavailable:
                self.errors += 1
                self._over[mark] = self._monotonic() + RESTORE_AFTER
                return
