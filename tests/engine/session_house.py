"""Gateways that share a SQLite file, with a clock that the test sets and a store that fails when it is told to."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from gateway.engine.ending import change
from gateway.engine.session_rules import SessionRules
from gateway.engine.sessions import Exchange, Opening, SessionService
from gateway.model.errors import StoreUnavailable, Unconfirmed
from gateway.model.revocation import Revocation, session_mark
from gateway.model.session import EndReason, Exchanged, Issued, Session, SessionEvent, SessionOver
from gateway.state.base import Commit, Reading, Take
from gateway.state.revocations import RevocationView
from gateway.state.sqlite import SqliteFeed, SqliteStore
from gateway.state.sqlite_file import SqliteFile
from gateway.tokens.issue import own_expectations
from gateway.tokens.own_keys import OwnKeys
from tests.engine.session_examples import T0, rules
from tests.issuing import Clock
from tests.minting import AUDIENCE, ISSUER, make_key
from tests.own_tokens import keyring, private_jwk, refresh_jwk

T = TypeVar("T")

RING = keyring(
    private_jwk(make_key("EdDSA", "k1"), T0 - 100),
    private_jwk(make_key("EdDSA", "k2"), T0 + 100_000),
    refresh_jwk(1, T0 - 100),
    refresh_jwk(2, T0 + 100_000),
    now=T0,
)


class Faults:
    """What befalls the next calls: `away` is not done, `lost` is done without an answer, `unconfirmed` likewise.

    None is a call that goes well. `before` runs once before the next commit: whoever comes in between.
    """

    def __init__(self) -> None:
        self.next: list[str | None] = []
        self.before: Callable[[], Awaitable[Any]] | None = None

    def keep_coming_between(self, act: Callable[[], Awaitable[Any]]) -> None:
        """Let somebody come in between before every commit."""

        async def come() -> None:
            self.before = come
            await act()

        self.before = come

    async def meet(self, call: Callable[[], Awaitable[T]]) -> T:
        fault = self.next.pop(0) if self.next else None
        if fault == "away":
            raise StoreUnavailable("away")
        answer = await call()
        if fault == "lost":
            raise StoreUnavailable("the reply was lost")
        if fault == "unconfirmed" and answer is not False:
            raise Unconfirmed("no replica has it")
        return answer


class FaultyStore:
    """A SessionStore with faults: `faults` of commits and publications, `asking` of everything else."""

    def __init__(self, store: SqliteStore, faults: Faults, asking: Faults) -> None:
        self._store, self._faults, self._asking = store, faults, asking
        self.commits: list[Commit] = []

    @property
    def shards(self) -> int:
        return self._store.shards

    async def open(self) -> None:
        await self._store.open()

    async def close(self) -> None:
        await self._store.close()

    async def load(self, sid: str) -> tuple[Session | None, int]:
        return await self._asking.meet(lambda: self._store.load(sid))

    async def sessions_of(self, subject: str) -> tuple[list[Session], int]:
        return await self._asking.meet(lambda: self._store.sessions_of(subject))

    async def clock(self) -> int:
        return await self._asking.meet(self._store.clock)

    async def commit(self, commit: Commit) -> bool:
        before, self._faults.before = self._faults.before, None
        if before is not None:
            await before()
        is_done = await self._faults.meet(lambda: self._store.commit(commit))
        if is_done:
            self.commits.append(commit)
        return is_done


class FaultyFeed:
    """A RevocationFeed with faults where it is written to."""

    def __init__(self, feed: SqliteFeed, faults: Faults) -> None:
        self._feed, self._faults = feed, faults
        self.published: list[Revocation] = []

    async def snapshot(self, take: Take | None = None) -> Reading:
        return await self._feed.snapshot(take)

    async def tail(self, cursor: tuple[str, ...]) -> Reading:
        return await self._feed.tail(cursor)

    async def publish(self, revocations: Sequence[Revocation], *, is_durable: bool = False) -> None:
        assert is_durable
        await self._faults.meet(lambda: self._feed.publish(revocations, is_durable=is_durable))
        self.published += revocations


class Gateway:
    """One process: its own view and its own connection to the common file."""

    def __init__(self, file: SqliteFile, clock: Clock, by: SessionRules, public_clients: frozenset[str]) -> None:
        self.clock = clock
        self.faults, self.asking = Faults(), Faults()
        self.store = FaultyStore(SqliteStore(file), self.faults, self.asking)
        self.feed = FaultyFeed(SqliteFeed(file), self.faults)
        self.view = RevocationView(clock, clock)
        self.keys = OwnKeys(RING)
        self.events: list[SessionEvent] = []
        self.service = SessionService(
            self.store,
            self.feed,
            self.view,
            self.keys,
            own_expectations(ISSUER, [AUDIENCE]),
            by,
            self.events.append,
            public_clients=public_clients,
        )

    async def login(self, subject: str = "alice", client_id: str = "web", **more: Any) -> Issued:
        return await self.service.open(Opening(subject, client_id, "orders:read orders:write", **more))

    async def exchange(self, issued: Issued | str, client_id: str | None = "web", **more: Any) -> Issued:
        token = issued if isinstance(issued, str) else issued.refresh_token
        assert token is not None
        return await self.service.exchange(Exchange(token, client_id, **more))

    async def touch(self, sid: str) -> None:
        """Commit a session as it is."""
        session, _ = await self.store.load(sid)
        assert session is not None
        assert await self.store.commit(Commit((change(session),)))

    async def catch_up(self) -> None:
        """Learn of all revocations, as the follower does."""
        reading = await self.feed.snapshot()
        self.view.add(reading.revocations)

    def owes(self) -> bool:
        """Say whether anything is known here of which the store is not known to know."""
        return any(True for _ in self.view.unconfirmed())

    def holds(self, issued: Issued) -> bool:
        """Say whether the access token is good here."""
        claims = self.service.own_claims(issued.access_token, self.clock())
        session, before = issued.session, self.view.before
        cut_off = self.service.cut_off_time(session.subject, session.client_id)
        return not before(session_mark(session.sid)) and claims["iat"] >= cut_off

    def ends(self) -> list[EndReason]:
        return [event.reason for event in self.events if isinstance(event, SessionOver)]

    def results(self) -> list[str]:
        return [event.result for event in self.events if isinstance(event, Exchanged)]


class House:
    """Several gateways over one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock(T0)
        self._files: list[SqliteFile] = []

    async def gateway(self, *, public_clients: frozenset[str] = frozenset({"web"}), **settings: Any) -> Gateway:
        file = SqliteFile(self.path, self.clock, deadline=20)
        await file.open()
        self._files.append(file)
        return Gateway(file, self.clock, rules(**settings), public_clients)

    async def close(self) -> None:
        for file in self._files:
            await file.close()


@asynccontextmanager
async def house(directory: Path) -> AsyncIterator[House]:
    built = House(directory / "state.db")
    try:
        yield built
    finally:
        await built.close()
