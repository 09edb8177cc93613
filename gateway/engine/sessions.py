"""Sessions: log in, exchange, renew, look up. Each is the same trip: load, decide, commit, and mint from the record.

Every method raises StoreUnavailable when the store cannot say or confirm; then nothing is lost, and the client's
tokens stay good. What a client asks for is done, even if it does not wait for the answer. What happened is told to
`record`, as values of `model.session`. Nothing here knows HTTP.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakValueDictionary

from gateway.engine.ending import ATTEMPTS, REMEMBERED, Ending, change, over
from gateway.engine.exchange import access_lifetime, acknowledged, ended, exchange, is_usable, renewed
from gateway.engine.finishing import finished
from gateway.engine.outcomes import Outcome, Presented, PresentedAccess, Repeated, Reused, Rotated, refusal_of
from gateway.engine.session_rules import SessionRules
from gateway.model import errors
from gateway.model.decision import Pending
from gateway.model.errors import InvalidToken, Refusal, StoreUnavailable
from gateway.model.principal import Claims
from gateway.model.revocation import Level, Revocation, generation_mark
from gateway.model.session import EndReason, Exchanged, Issued, Opened, Session, SessionEvent
from gateway.state.base import Change, Commit, RevocationFeed, SessionStore, shard_of_subject
from gateway.state.revocations import RevocationView
from gateway.tokens import base64url
from gateway.tokens.issue import access_token
from gateway.tokens.jose import read_jws
from gateway.tokens.own_keys import OwnKeys
from gateway.tokens.refresh_token import RefreshToken, make_refresh_token, read_refresh_token
from gateway.tokens.verify import Expectations, verify_jwt

_LENIENT = 10**10
"""Seconds of leeway that let any expired token pass."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Who logged in, proven by whoever calls. `claims` become claims of the access tokens."""

    subject: str
    client_id: str
    scope: str = ""
    claims: Mapping[str, Any] = field(default_factory=dict)
    device: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A refresh token as it was presented, by a client that has been authenticated as far as it can be."""

    refresh_token: str = field(repr=False)
    client_id: str | None
    """None where the client does not say who it is: only one of the public clients may."""
    access_token: str | None = field(default=None, repr=False)
    scope: str | None = None
    address: str = ""
    read: RefreshToken | None = None
    """What the refresh token says, from who has read it already."""


@dataclass(frozen=True, slots=True)
class Found:
    """A refresh token that is genuine, its session, over or not, and the store's time."""

    token: RefreshToken
    session: Session
    now_ms: int


class SessionService(Ending):
    """All that can be done with sessions, under one set of rules."""

    def __init__(
        self,
        store: SessionStore,
        feed: RevocationFeed,
        view: RevocationView,
        keys: OwnKeys,
        expect: Expectations,
        rules: SessionRules,
        record: Callable[[SessionEvent], None],
        public_clients: frozenset[str] = frozenset(),
    ) -> None:
        """`expect` is what our own access tokens look like; `expect.audiences` is what they are issued for.

        `public_clients` may exchange without a word about who they are.
        """
        super().__init__(store, feed, view, expect.issuer, rules, record)
        self._keys = keys
        self._expect = expect
        self._lenient = replace(expect, leeway=_LENIENT)
        self._audiences = tuple(sorted(expect.audiences))
        self._public_clients = public_clients
        self._logging_in: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    # --- log in

    @finished
    async def open(self, opening: Opening) -> Issued:
        """Return the tokens of a new session. Raises TooManySessions."""
        if not self._rules.limit.per_subject:
            return await self._open(opening)
        turn = self._logging_in.setdefault(opening.subject, asyncio.Lock())  # else all would race all others
        await turn.acquire()
        try:
            return await self._open(opening)
        finally:
            turn.release()

    async def _open(self, opening: Opening) -> Issued:
        for _ in range(ATTEMPTS):
            commit, session, now_ms = await self._opening_commit(opening)
            failure = None
            try:
                is_done = await self.commit(commit)
            except StoreUnavailable as error:
                is_done, failure = False, error
            if failure is not None:
                await self._forget(session, now_ms)
                raise failure
            if is_done:
                self._record(Opened(session))
                return self._issued(session, now_ms)
        raise StoreUnavailable("the sessions of the subject keep changing")

    async def _opening_commit(self, opening: Opening) -> tuple[Commit, Session, int]:
        limit = self._rules.limit
        if not limit.per_subject:
            now_ms = await self._store.clock()
            session = self._new_session(opening, now_ms)
            return Commit((Change(session, None),), is_durable=True), session, now_ms
        others, now_ms = await self._store.sessions_of(opening.subject)
        live = [other for other in others if not self.is_known_dead(other)]
        excess = live[: max(0, len(live) - limit.per_subject + 1)]
        if excess and limit.on_excess == "reject":
            raise errors.TooManySessions(f"{len(live)} sessions", sessions=len(live))
        session = self._new_session(opening, now_ms)
        evicted = [ended(other, EndReason.EVICTED, now_ms) for other in excess]
        commit = Commit(
            changes=(Change(session, None), *map(change, evicted)),
            revocations=tuple(map(over, evicted)),
            expected_sids=frozenset(other.sid for other in others),
            is_durable=True,
        )
        return commit, session, now_ms

    def _new_session(self, opening: Opening, now_ms: int) -> Session:
        """Not begun before a cut-off that holds for it: a login in the same second as "log out everywhere" counts."""
        refresh, ring = self._rules.refresh, self._keys.current
        now = max(now_ms // 1000, self.cut_off_time(opening.subject, opening.client_id))
        shard = shard_of_subject(opening.subject, self._store.shards)
        sid = base64url.encode(shard.to_bytes(2) + secrets.token_bytes(14))
        return Session(
            sid=sid,
            subject=opening.subject,
            client_id=opening.client_id,
            generation=1,
            rotated_at_ms=now_ms,
            access_issued_at=now,
            access_lifetime=access_lifetime(sid, now, self._rules),
            created_at=now,
            last_used_at=now,
            idle_expires_at=None if refresh.idle is None else now + int(refresh.idle),
            absolute_expires_at=None if refresh.absolute is None else now + int(refresh.absolute),
            scope=opening.scope,
            access_scope=opening.scope,
            salt=secrets.token_bytes(8),
            refresh_kid=ring.refresh_key(now).kid,
            signing_kid=ring.signing_key(now).kid,
            claims=opening.claims,
            device=opening.device,
            address=opening.address,
            version=1,
        )

    async def _forget(self, session: Session, now_ms: int) -> None:
        """End a session whose login counts as failed, if it is there. Nobody knows its tokens: no harm if it stays."""
        try:
            await self._store.commit(Commit((change(ended(session, EndReason.EVICTED, now_ms)),)))
        except StoreUnavailable:
            return

    # --- exchange

    @finished
    async def exchange(self, request: Exchange) -> Issued:
        """Return the next pair, or the same one again. Raises InvalidGrant and its like, StillValid, InvalidScope."""
        try:
            return await self._exchange(request)
        except Refusal as refusal:
            self._record(Exchanged(refusal.reason, request.client_id or "-", address=request.address))
            raise

    async def _exchange(self, request: Exchange) -> Issued:
        token = request.read or self.read(request.refresh_token)
        for _ in range(ATTEMPTS):
            session, now_ms = await self._load_genuine(token)
            outcome = exchange(session, self._presented(token, session, request, now_ms), now_ms, self._rules)
            if (issued := await self._act(outcome, session, request, now_ms)) is not None:
                return issued
        raise StoreUnavailable("the session keeps changing")

    async def _load_genuine(self, token: RefreshToken) -> tuple[Session, int]:
        session, now_ms = await self.load(token.sid)
        if session is None or not token.is_genuine(session.salt):
            raise errors.UnknownRefreshToken("no such session, or the MAC does not fit")
        return session, now_ms

    def _presented(self, token: RefreshToken, session: Session, request: Exchange, now_ms: int) -> Presented:
        ring, now = self._keys.current, now_ms / 1000
        is_silent = request.client_id is None and session.client_id in self._public_clients
        return Presented(
            generation=token.generation,
            client_id=session.client_id if is_silent else request.client_id,
            refresh_kid=ring.refresh_key(now).kid,
            signing_kid=ring.signing_key(now).kid,
            access=self._presented_access(request.access_token, now) if self._rules.exchange.wants_access else None,
            scope=request.scope,
        )

    def _presented_access(self, token: str | None, now: float) -> PresentedAccess | None:
        if token is None:
            return None
        try:
            claims = self.own_claims(token, now, expired=True)
        except InvalidToken:
            return PresentedAccess("", 0)
        return PresentedAccess(claims["sid"], claims["gen"])

    async def _act(self, outcome: Outcome, before: Session, request: Exchange, now_ms: int) -> Issued | None:
        """Commit what was decided, and return what is issued; None for a lost race. Raises a refusal."""
        match outcome:
            case Rotated(session=session, healed=healed):
                if not await self.commit(Commit((change(session),), self._superseded(session, now_ms))):
                    return None
                self._record(Exchanged("rotated", session.client_id, session, healed=healed, address=request.address))
                return self._issued(session, now_ms)
            case Repeated(session=session, age_ms=age_ms, is_recovery=is_recovery, is_changed=is_changed):
                if is_changed and not await self.commit(Commit((change(session),))):
                    return None
                result = "recovered" if is_recovery else "repeated"
                self._record(Exchanged(result, session.client_id, session, age_ms, address=request.address))
                return self._issued(session, now_ms)
            case Reused(session=session, distance=distance):
                if not await self.finish([session], distance=distance, address=request.address):
                    return None
                if session.ended is not None and session.ended.reason is EndReason.REUSE:
                    raise errors.ReusedRefreshToken(f"session {session.sid}, replaced {distance} rotations ago")
                raise errors.SuspectedTheft(f"session {session.sid}")
            case _:
                raise refusal_of(outcome, before)

    def _superseded(self, session: Session, now_ms: int) -> tuple[Revocation, ...]:
        """With `binding: current`, older access tokens of the session die when parallel tabs have had their time."""
        if self._rules.binding != "current":
            return ()
        since_ms = now_ms + round(self._rules.exchange.concurrency_window * 1000)
        until = max(since_ms // 1000, session.access_expires_at) + REMEMBERED
        name = generation_mark(session.sid)
        return (Revocation(Level.GENERATION, name, session.generation, until, now_ms, since_ms=since_ms),)

    # --- renew and acknowledge: what becomes of a session while its access token is used

    async def renew(self, sid: str, generation: int) -> Issued | None:
        """Return a new access token of the same generation if the session's present one nears its end."""
        for _ in range(ATTEMPTS):
            session, now_ms = await self.load(sid)
            if session is None or (fresh := renewed(session, generation, now_ms, self._rules)) is None:
                return None
            if fresh is session or await self.commit(Commit((change(fresh),))):
                return replace(self._issued(fresh, now_ms), refresh_token=None)
        return None

    async def acknowledge(self, sid: str, generation: int) -> None:
        """Note that an access token of this generation was seen in use: its pair has arrived."""
        for _ in range(ATTEMPTS):
            session, _ = await self._store.load(sid)
            if session is None or (known := acknowledged(session, generation)) is None:
                return
            if await self.commit(Commit((change(known),))):
                return

    # --- look up

    async def session_of(self, refresh_token: str) -> Session | None:
        """Return the session of a genuine refresh token of any generation, over or not; None for anything else."""
        found = await self.find(refresh_token)
        return None if found is None else found.session

    async def usable_session(self, refresh_token: str) -> Session | None:
        """Return the session of a refresh token that an exchange would take now, and change nothing."""
        found = await self.find(refresh_token)
        if found is None or not is_usable(found.session, found.token.generation, found.now_ms, self._rules):
            return None
        return found.session

    async def find(self, refresh_token: str) -> Found | None:
        """Return what a refresh token of any generation is of; None unless it is genuine."""
        try:
            token = self.read(refresh_token)
            return Found(token, *await self._load_genuine(token))
        except errors.UnknownRefreshToken:
            return None

    def read(self, refresh_token: str) -> RefreshToken:
        """Return what a refresh token says, before the store is asked. Raises UnknownRefreshToken for junk."""
        return read_refresh_token(refresh_token, self._keys.current, self._expect.issuer)

    # --- our own access tokens

    def own_claims(self, token: str, now: float, *, expired: bool = False) -> Claims:
        """Return the claims of one of our own access tokens. Raises InvalidToken. Does not look at revocations."""
        expect = self._lenient if expired else self._expect
        verified = verify_jwt(read_jws(token), self._keys, expect, now)
        if isinstance(verified, Pending):
            raise TypeError("our own keys are always at hand")
        if type(verified.claims.get("sid")) is not str or type(verified.claims.get("gen")) is not int:
            raise errors.MissingClaim("sid or gen is missing")
        return verified.claims

    def _issued(self, session: Session, now_ms: int) -> Issued:
        ring = self._keys.current
        signer = ring.signing_key_named(session.signing_kid) or ring.signing_key(now_ms / 1000)
        refresher = ring.refresh_key_named(session.refresh_kid) or ring.refresh_key(now_ms / 1000)
        return Issued(
            access_token=access_token(session, signer, self._expect.issuer, self._audiences),
            refresh_token=make_refresh_token(session, refresher, self._expect.issuer, self._rules.refresh.format),
            expires_in=max(0, session.access_expires_at - now_ms // 1000),
            scope=session.access_scope,
            session=session,
        )
