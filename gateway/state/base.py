"""The two contracts of the state, and what is kept in it. Read this file first.

A SessionStore loads a record and commits it if nobody changed it meanwhile, with the consequences in the same atomic
step. It knows no rules: those are in `engine.exchange`. A RevocationFeed tells every process of every revocation:
first all that are in force, then each new one; a gap is never silent. Time is the store's, so that the clocks of
gateways take no part. Whatever cannot be known or done raises StoreUnavailable, never a definite answer.
"""

from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple, Protocol

from gateway.model.revocation import Revocation
from gateway.model.session import Session
from gateway.state.rate_counts import RateCounts
from gateway.state.revocations import RevocationView


class BadStore(Exception):
    """The store must not be used as it is set up: it evicts keys, lies on a network file system, has other shards."""


class Change(NamedTuple):
    """A record to write. `expected_edition` is that of the record it was made from; None for a new one."""

    session: Session
    expected_edition: int | None


class Commit(NamedTuple):
    """What happens together or not at all. All sessions are of one subject.

    The index of a subject lists its sessions that have not ended and not expired; it follows from the records.
    With `expected_sids`, the commit only holds if the index lists exactly these before it.
    `is_durable`: do not confirm before a replica has it, where there is one.
    """

    changes: tuple[Change, ...]
    revocations: tuple[Revocation, ...] = ()
    expected_sids: frozenset[str] | None = None
    is_durable: bool = False


class SessionStore(Protocol):
    """`now_ms` is the store's own clock in Unix milliseconds."""

    @property
    def shards(self) -> int:
        """Into how many parts the keys are divided: 1, or a power of two up to 1024. Known once `open` returned."""

    async def open(self) -> None:
        """Connect, and make what must be there. Raises BadStore or StoreUnavailable; may be called again then."""

    async def load(self, sid: str) -> tuple[Session | None, int]:
        """Return a session and `now_ms`. None for one that never was, was deleted, or is long over."""

    async def commit(self, commit: Commit) -> bool:
        """Do all of it and return True, or nothing and return False: somebody changed a record or the index first.

        StoreUnavailable may mean that it was done and only the reply was lost.
        """

    async def sessions_of(self, subject: str) -> tuple[list[Session], int]:
        """Return the sessions of a subject that have not ended and not expired, oldest first, and `now_ms`."""

    async def clock(self) -> int:
        """Return `now_ms`."""

    async def close(self) -> None:
        """Let go of connections and threads."""


GAPS: Final = ("epoch", "rewound", "trimmed")
"""The causes of a gap: another store, an older one, or one whose news have been trimmed meanwhile."""


class Gap(Exception):
    """Revocations may have been missed: take a snapshot. The argument is the cause, one of GAPS."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the feed says. `cursor` is where to go on reading: opaque, one value per shard.

    `age` is how old the news is at most, in seconds: the time since the store last proved to be writable.
    `now_ms` is the store's clock.
    """

    revocations: Sequence[Revocation]
    cursor: tuple[str, ...]
    age: float
    now_ms: int


Take = Callable[[Sequence[Revocation]], Awaitable[None]]
"""Takes some of many revocations."""


class RevocationFeed(Protocol):
    async def snapshot(self, take: Take | None = None) -> Reading:
        """Return every revocation in force; or give them to `take` while they are read, and return none of them: a
        million at once would need 200 MiB. When it fails, some may have been given."""

    async def tail(self, cursor: tuple[str, ...]) -> Reading:
        """Return what came since. Raises Gap when it cannot vouch that nothing was missed."""

    async def publish(self, revocations: Sequence[Revocation], *, is_durable: bool = False) -> None:
        """Put revocations in force, for good. Repeating one changes nothing; the greatest number and end count.

        Those that take effect at different times (`since_ms`) are kept apart.
        """


@dataclass(frozen=True, slots=True)
class State:
    """The state of one process: its handles on what all processes share, and its own view of the revocations.

    `rates` is None where counts of rate limits are not shared.
    """

    store: SessionStore
    feed: RevocationFeed
    view: RevocationView
    rates: RateCounts | None = None


def shard_of_subject(subject: str, shards: int) -> int:
    """Return the shard where everything about a subject is kept."""
    if shards == 1:
        return 0
    return int.from_bytes(sha256(subject.encode("utf-8", "surrogatepass")).digest()[:2]) % shards


def shard_of_session(sid: str, shards: int) -> int:
    """Return the shard of a session: its id begins with it."""
    if shards == 1:
        return 0
    return int.from_bytes(urlsafe_b64decode(sid[:4])[:2]) % shards


def shard_of_mark(mark: bytes, shards: int) -> int:
    """Return the shard of a revocation that is published by itself; one in a Commit goes where the sessions are."""
    return int.from_bytes(mark[:2]) % shards
