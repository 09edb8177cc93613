"""The state with a watch beside it: how long every operation takes, and how often one fails."""

import time
from collections import Counter
from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.model.errors import StoreUnavailable
from gateway.model.notice import Notice
from gateway.model.revocation import Revocation
from gateway.model.session import Session
from gateway.model.tally import DurationTally
from gateway.state.base import Commit, Reading, RevocationFeed, SessionStore, Take
from gateway.telemetry.metrics import Reading as Number

if TYPE_CHECKING:
    from gateway.telemetry.trace import Traces

T = TypeVar("T")

OPERATIONS = ("load", "commit", "sessions_of", "clock", "snapshot", "tail", "publish")
"""The label values of `operation`."""


TOLD_EVERY = 10.0
"""Seconds between two events about operations that fail: the metric counts each."""
_TOLD_BY_OTHERS = frozenset({"snapshot", "tail"})


class Watch:
    """Seconds and errors by operation. `notice` hears of errors now and then."""

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        self._told_at = -TOLD_EVERY
        self._seconds = {operation: DurationTally() for operation in OPERATIONS}
        self._errors: Counter[str] = Counter()
        self.traces: Traces | None = None

    async def timed(self, operation: str, work: Awaitable[T]) -> T:
        if self.traces is not None:
            work = self.traces.stored(operation, work)
        began = time.monotonic()
        try:
            return await work
        except StoreUnavailable as error:
            self._failed(operation, error)
            raise
        finally:
            self._seconds[operation].observe(time.monotonic() - began)

    def _failed(self, operation: str, error: StoreUnavailable) -> None:
        self._errors[operation] += 1
        now = time.monotonic()
        if operation not in _TOLD_BY_OTHERS and now - self._told_at >= TOLD_EVERY:
            self._told_at = now
            self._notice("store_failed", {"operation": operation, "error": str(error)})

    def seconds(self) -> Iterable[tuple[tuple[str, ...], DurationTally]]:
        """Read `gateway_store_seconds`."""
        return [((operation,), tally) for operation, tally in self._seconds.items()]

    def errors(self) -> Iterable[Number]:
        """Read `gateway_store_errors_total`."""
        return [((operation,), self._errors[operation]) for operation in OPERATIONS]


class TimedStore:
    """A SessionStore that is watched."""

    def __init__(self, store: SessionStore, watch: Watch) -> None:
        self._store = store
        self._watch = watch

    @property
    def shards(self) -> int:
        return self._store.shards

    async def open(self) -> None:
        await self._store.open()

    def load(self, sid: str) -> Coroutine[Any, Any, tuple[Session | None, int]]:
        return self._watch.timed("load", self._store.load(sid))

    def commit(self, commit: Commit) -> Coroutine[Any, Any, bool]:
        return self._watch.timed("commit", self._store.commit(commit))

    async def sessions_of(self, subject: str) -> tuple[list[Session], int]:
        return await self._watch.timed("sessions_of", self._store.sessions_of(subject))

    async def clock(self) -> int:
        return await self._watch.timed("clock", self._store.clock())

    async def close(self) -> None:
        await self._store.close()


class TimedFeed:
    """A RevocationFeed that is watched."""

    def __init__(self, feed: RevocationFeed, watch: Watch) -> None:
        self._feed = feed
        self._watch = watch

    async def snapshot(self, take: Take | None = None) -> Reading:
        return await self._watch.timed("snapshot", self._feed.snapshot(take))

    async def tail(self, cursor: tuple[str, ...]) -> Reading:
        return await self._watch.timed("tail", self._feed.tail(cursor))

    async def publish(self, revocations: Sequence[Revocation], *, is_durable: bool = False) -> None:
        await self._watch.timed("publish", self._feed.publish(revocations, is_durable=is_durable))
