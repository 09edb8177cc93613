"""Ending sessions, and making tokens void before their time: here before the answer, in the store for good.

When the store cannot say or confirm, what was asked for holds here all the same, and whoever asked is told so with
StoreUnavailable: the view brings it to the store as soon as that answers again.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from gateway.engine.exchange import ended, reached_limit
from gateway.engine.finishing import finished
from gateway.engine.session_rules import SessionRules
from gateway.model.errors import StoreUnavailable, Unconfirmed
from gateway.model.principal import Claims
from gateway.model.revocation import FOREVER, Level, Revocation, mark, session_mark
from gateway.model.session import CutOff, EndReason, Session, SessionEvent, SessionOver, TokenRevoked, is_sid
from gateway.state.base import Change, Commit, RevocationFeed, SessionStore
from gateway.state.revocations import RevocationView

T = TypeVar("T")

ATTEMPTS = 8
"""How often a lost race is run again."""
REMEMBERED = 600
"""Seconds for which a revocation is remembered beyond the last token it concerns: time to notice a lost commit."""
_TOGETHER = 100
"""How many sessions of a subject end in one commit."""


class Ending:
    """Knows which sessions and tokens are over, and makes them so."""

    def __init__(
        self,
        store: SessionStore,
        feed: RevocationFeed,
        view: RevocationView,
        issuer: str,
        rules: SessionRules,
        record: Callable[[SessionEvent], None],
    ) -> None:
        self._store = store
        self._feed = feed
        self._view = view
        self._issuer = issuer
        self._rules = rules
        self._record = record
        self._everyone = tuple(mark(level, issuer, "") for level in (Level.EVERYTHING, Level.ISSUER))
        self._clients: dict[str, bytes] = {}
        """The marks of clients that were looked up before."""
        self.under_way: set[asyncio.Task[Any]] = set()

    # --- what ends

    @finished
    async def end(self, sid: str, reason: EndReason) -> bool:
        """End a session. Returns False if it was over, or there is none."""
        if not is_sid(sid):
            return False
        with self._holding_here(lambda: self._revocation_of_id(sid, self._view.now_ms())):
            for _ in range(ATTEMPTS):
                session, now_ms = await self._store.load(sid)
                if session is None or session.ended is not None:
                    # The last answer may have been that no replica has it. And tokens can outlive a lost record.
                    await self._publish(self._revocation_of_id(sid, now_ms) if session is None else over(session))
                    return False
                if await self.finish([ended(session, reason, now_ms)]):
                    return True
            raise StoreUnavailable("the session keeps changing")

    @finished
    async def end_subject(self, subject: str, reason: EndReason) -> int:
        """End all sessions of a subject, also those that begin at this moment elsewhere; return how many it had."""
        with self._holding_here(lambda: self._cut_off_at(Level.SUBJECT, self._issuer, subject, self._view.now_ms())):
            sessions, now_ms = await self._store.sessions_of(subject)
            listed = frozenset(session.sid for session in sessions)
            number = await self._end_each(subject, reason, lambda session: session.sid in listed)
            cut_off = self._cut_off_at(Level.SUBJECT, self._issuer, subject, now_ms)
            await self._publish(cut_off)
            return number + await self._end_each(subject, reason, lambda session: session.created_at < cut_off.before)

    @finished
    async def end_device(self, subject: str, device: str, reason: EndReason) -> int:
        """End the sessions of one device of a subject; return how many it had."""
        return sum([await self.end(session.sid, reason) for session in await self.sessions_of(subject, device)])

    @finished
    async def cut_off(self, level: Level, issuer: str, name: str) -> None:
        """Make void all tokens of a level that were issued until now. `issuer` may be any whose tokens pass here."""
        with self._holding_here(lambda: self._cut_off_at(level, issuer, name, self._view.now_ms())):
            await self._publish(self._cut_off_at(level, issuer, name, await self._store.clock()))
        self._record(CutOff(level.name.lower(), issuer, name))

    @finished
    async def revoke_token(self, claims: Claims) -> None:
        """Make one of our own access tokens void. `claims` are its verified claims."""
        name, until = mark(Level.TOKEN, self._issuer, claims["jti"]), int(claims["exp"]) + REMEMBERED
        revocation = Revocation(Level.TOKEN, name, FOREVER, until, self._view.now_ms())
        with self._holding_here(lambda: revocation):
            await self._publish(revocation)
        self._record(TokenRevoked(claims["jti"], claims["sub"], claims["client_id"]))

    # --- what is over

    def is_over(self, session: Session, now_ms: int) -> bool:
        """Say whether a session can give no more tokens."""
        return session.ended is not None or self.is_known_dead(session) or reached_limit(session, now_ms) is not None

    def is_known_dead(self, session: Session) -> bool:
        """Say whether a session is void by what this process knows, whatever its record says."""
        is_revoked = self._view.before(session_mark(session.sid)) > 0
        return is_revoked or session.created_at < self.cut_off_time(session.subject, session.client_id)

    def cut_off_time(self, subject: str, client_id: str) -> int:
        """Return the time before which everything of this subject and client is void."""
        client = self._clients.get(client_id)
        if client is None:
            client = self._clients[client_id] = mark(Level.CLIENT, self._issuer, client_id)
        return max(map(self._view.before, (*self._everyone, client, mark(Level.SUBJECT, self._issuer, subject))))

    async def load(self, sid: str) -> tuple[Session | None, int]:
        """Load a session. What is known here to be dead is over, even if the store has lost that it is."""
        session, now_ms = await self._store.load(sid)
        if session is None or session.ended is not None or not self.is_known_dead(session):
            return session, now_ms
        is_lost = self._view.before(session_mark(sid)) > 0
        dead = ended(session, EndReason.RESTORED if is_lost else EndReason.ADMIN, now_ms)
        await self.commit(Commit((change(dead),), (over(dead),)))
        return dead, now_ms

    async def live_session(self, sid: str) -> Session | None:
        """Return a session by its id; None if there is none, or it has ended."""
        if not is_sid(sid):
            return None
        session, now_ms = await self.load(sid)
        return None if session is None or self.is_over(session, now_ms) else session

    async def sessions_of(self, subject: str, device: str | None = None) -> list[Session]:
        """Return the sessions of a subject, or of one of its devices, that have not ended: oldest first."""
        sessions, _ = await self._store.sessions_of(subject)
        live = [session for session in sessions if not self.is_known_dead(session)]
        return [session for session in live if device is None or session.device == device]

    # --- commits

    async def finish(self, sessions: list[Session], *, distance: int | None = None, address: str = "") -> bool:
        """Commit sessions that have ended. It holds here even if the store cannot say."""
        commit = Commit(tuple(map(change, sessions)), tuple(map(over, sessions)), is_durable=True)
        return await self.commit(commit, distance=distance, address=address, holds_here=True)

    async def commit(
        self, commit: Commit, *, distance: int | None = None, address: str = "", holds_here: bool = False
    ) -> bool:
        """Commit; once more if the reply was lost, since what was done is then found done.

        What it makes void is void here on return. Sessions that end with it are told of, each once.
        """
        news = self._news(commit, distance, address)
        try:
            is_done = await _again_if_lost(lambda: self._store.commit(commit))
        except StoreUnavailable as error:
            if holds_here or isinstance(error, Unconfirmed):
                self._take_effect(commit, news, confirmed=False)
            raise
        if is_done:
            self._take_effect(commit, news, confirmed=True)
        return is_done

    def _news(self, commit: Commit, distance: int | None, address: str) -> list[SessionOver]:
        """Return what to tell, unless it was told when the store did not answer. Asked before the store makes it so."""
        return [
            SessionOver(session, session.ended.reason, distance, address)
            for session in (each.session for each in commit.changes)
            if session.ended is not None
            and (session.ended.reason is EndReason.RESTORED or not self._view.before(session_mark(session.sid)))
        ]

    def _take_effect(self, commit: Commit, news: list[SessionOver], *, confirmed: bool) -> None:
        if commit.revocations:
            self._view.add(commit.revocations, confirmed=confirmed)
        for event in news:
            self._record(event)

    async def _end_each(self, subject: str, reason: EndReason, is_due: Callable[[Session], bool]) -> int:
        """End those sessions of a subject; return how many."""
        number = lost = 0
        while lost < ATTEMPTS:
            sessions, now_ms = await self._store.sessions_of(subject)
            due = [ended(session, reason, now_ms) for session in sessions if is_due(session)][:_TOGETHER]
            if not due:
                return number
            is_done = await self.finish(due)
            number += len(due) if is_done else 0
            lost += not is_done
        raise StoreUnavailable("the sessions of the subject keep changing")

    # --- revocations

    @contextmanager
    def _holding_here(self, revocation: Callable[[], Revocation]) -> Iterator[None]:
        """What was asked for holds here, also if the store does not answer."""
        try:
            yield
        except StoreUnavailable:
            self._view.add([revocation()], confirmed=False)
            raise

    async def _publish(self, revocation: Revocation) -> None:
        if revocation.until * 1000 >= self._view.now_ms():
            await _again_if_lost(lambda: self._feed.publish([revocation], is_durable=True))
            self._view.add([revocation])

    def _revocation_of_id(self, sid: str, now_ms: int) -> Revocation:
        until = now_ms // 1000 + int(self._rules.access.lifetime) + REMEMBERED
        return Revocation(Level.SESSION, session_mark(sid), FOREVER, until, now_ms)

    def _cut_off_at(self, level: Level, issuer: str, name: str, now_ms: int) -> Revocation:
        """Void until the end of this second; a single session or token for good.

        It is remembered as long as a session could last that it ends.
        """
        now = now_ms // 1000
        before = FOREVER if level in (Level.SESSION, Level.TOKEN) else now + 1
        longest = self._rules.refresh.absolute
        until = FOREVER if longest is None else now + int(max(longest, 86400)) + REMEMBERED
        return Revocation(level, mark(level, issuer, name), before, until, now_ms)


def change(session: Session) -> Change:
    """Return the change of a record; `session` still has the version and the commit id with which it was loaded."""
    return Change(session._replace(version=session.version + 1, commit_id=secrets.randbits(32)), session.edition)


def over(session: Session) -> Revocation:
    """Return what makes the access tokens of a session that has ended void: always the same."""
    assert session.ended is not None
    at_ms = session.ended.at_ms
    until = max(session.access_expires_at, at_ms // 1000) + REMEMBERED
    return Revocation(Level.SESSION, session_mark(session.sid), FOREVER, until, at_ms)


async def _again_if_lost(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask once more if no answer came. An Unconfirmed is an answer."""
    try:
        return await ask()
    except Unconfirmed:
        raise
    except StoreUnavailable:
        pass
    return await ask()
