"""New tokens beside an ordinary request: with real sessions in a real store."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.engine import inline_tokens
from gateway.engine.forwarding import Forwarding
from gateway.engine.gatekeeper import Gatekeeper, Verdict
from gateway.engine.inline_tokens import InlineTokens
from gateway.engine.routes import Route, RouteTable
from gateway.engine.session_rules import AccessRules, ExchangeRules, SessionRules
from gateway.engine.sessions import Opening, SessionService
from gateway.engine.token_cookies import AccessCookie
from gateway.mechanisms.authenticators.issued import IssuedAuthenticator, IssuedSettings
from gateway.mechanisms.base import OwnTokens, offline_resources
from gateway.mechanisms.policies import RequireScopes
from gateway.mechanisms.sources import CookieSource
from gateway.model.decision import Allow, Deny, Pending
from gateway.model.errors import (
    InsufficientScope,
    InvalidToken,
    Refusal,
    RefusedRefreshToken,
    RevokedToken,
    StillValid,
    StoreUnavailable,
)
from gateway.model.principal import Principal
from gateway.model.request import InboundRequest
from gateway.model.session import EndReason, Exchanged, Issued, SessionEvent
from gateway.state.base import Commit
from gateway.state.revocations import RevocationView
from gateway.state.sqlite import SqliteFeed, SqliteStore
from gateway.state.sqlite_file import SqliteFile
from gateway.tokens.issue import own_expectations
from tests.judging import COOKIE, HEADER, request, route
from tests.minting import AUDIENCE, ISSUER, NOW
from tests.own_tokens import own_keys


class Store(SqliteStore):
    """A store that can be away, and counts what it is asked."""

    is_away = False
    loads = 0

    async def load(self, sid: str) -> Any:
        self.loads += 1
        if self.is_away:
            raise StoreUnavailable("away")
        return await super().load(sid)

    async def commit(self, commit: Commit) -> bool:
        if self.is_away:
            raise StoreUnavailable("away")
        return await super().commit(commit)


class Gate:
    """A gatekeeper with one route over sessions, at a time to set."""

    def __init__(self, directory: Path, rules: SessionRules, **changes: Any) -> None:
        self.now: float = NOW
        self.events: list[SessionEvent] = []
        self.seen: list[tuple[str, int]] = []
        file = SqliteFile(directory / "state.db", lambda: self.now, deadline=20)
        self.store = Store(file)
        self.view = RevocationView(monotonic=lambda: self.now, clock=lambda: self.now)
        self.view.refreshed(NOW * 1000, NOW)
        expect = own_expectations(ISSUER, [AUDIENCE])
        own = OwnTokens(own_keys(), expect, lambda sid, generation: self.seen.append((sid, generation)))
        self.sessions = SessionService(
            self.store,
            SqliteFeed(file),
            self.view,
            own.keys,
            expect,
            rules,
            self.events.append,
            public_clients=frozenset({"web"}),
        )
        resources = offline_resources(directory)
        resources.own = own
        self.authenticator: IssuedAuthenticator = IssuedSettings(type="issued").build("own", resources)
        sources = changes.pop("sources", (HEADER,))
        self.route: Route = route(sources=sources, authenticators=(self.authenticator,), **changes)
        self.inline = InlineTokens(self.sessions, Forwarding((), "X-Request-ID"), AccessCookie("at", "strict"))
        self.keeper = Gatekeeper(
            RouteTable([self.route]),
            lambda: self.now,
            token_bytes=8192,
            identity_bytes=8192,
            principal_type_header="X-Principal-Type",
            revocations=self.view,
            inline=self.inline,
        )

    def later(self, seconds: float) -> None:
        """Let time pass. The view of revocations stays fresh."""
        self.now += seconds
        self.view.refreshed(int(self.now * 1000), self.now)

    async def log_in(self, client_id: str = "web") -> Issued:
        return await self.sessions.open(Opening("alice", client_id, scope="orders:read"))

    async def judge(self, asked: InboundRequest) -> Verdict:
        return await self.keeper.settle(asked, self.keeper.decide(asked))

    def exchanges(self) -> list[str]:
        return [event.result for event in self.events if isinstance(event, Exchanged)]


Start = Callable[..., Any]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    async with AsyncExitStack() as stack:

        async def start(
            *, access: dict[str, Any] | None = None, exchange: dict[str, Any] | None = None, **changes: Any
        ) -> Gate:
            rules = SessionRules(AccessRules(jitter=0, **(access or {})), exchange=ExchangeRules(**(exchange or {})))
            gate = Gate(tmp_path, rules, **changes)
            stack.push_async_callback(gate.store.close)
            await gate.store.open()
            return gate

        yield start


def bearer(token: str | None, *lines: str, **changes: Any) -> InboundRequest:
    return request(f"Authorization: Bearer {token}", *lines, **changes)


def allowed(verdict: Verdict) -> Allow[Route]:
    assert isinstance(verdict, Allow), verdict
    return verdict


def refused(verdict: Verdict) -> Refusal:
    assert isinstance(verdict, Deny), verdict
    return verdict.error


# --- a refresh token in place of an access token


async def test_a_refresh_token_is_exchanged_and_the_request_goes_on_with_the_new_access_token(start: Start) -> None:
    """C113"""
    gate = await start(refresh_inline=True)
    issued = await gate.log_in()
    asked = bearer(issued.refresh_token)
    principal = allowed(await gate.judge(asked)).principal
    assert principal is not None
    assert (principal.subject, principal.generation) == ("alice", 2)
    assert asked.issued is not None
    assert asked.issued.session.generation == 2
    assert asked.issued.refresh_token not in (None, issued.refresh_token)
    assert gate.exchanges() == ["rotated"]
    assert gate.events[-1].address == "192.0.2.7"


async def test_it_is_exchanged_once_for_each_request_whatever_is_asked_again(start: Start) -> None:
    gate = await start(refresh_inline=True)
    asked = bearer((await gate.log_in()).refresh_token)
    first, second = gate.keeper.decide(asked), gate.keeper.decide(asked)
    for pending in (first, second, first):
        assert isinstance(pending, Pending)
        await pending.ready()
    for _ in range(3):
        allowed(gate.keeper.decide(asked))
    assert gate.exchanges() == ["rotated"]


async def test_a_client_that_lost_the_answer_gets_the_same_pair_again_much_later(start: Start) -> None:
    """The gateway uses the new access token itself: that proves nothing about the client."""
    gate = await start(refresh_inline=True)
    old = await gate.log_in()
    lost, again = bearer(old.refresh_token), bearer(old.refresh_token)
    allowed(await gate.judge(lost))
    assert gate.seen == []
    gate.later(599)
    allowed(await gate.judge(again))
    assert gate.exchanges() == ["rotated", "recovered"]
    assert lost.issued is not None
    assert again.issued is not None
    assert again.issued.refresh_token == lost.issued.refresh_token
    allowed(await gate.judge(bearer(again.issued.access_token)))
    assert gate.seen == [(old.session.sid, 2)]


async def test_elsewhere_a_refresh_token_is_just_a_bad_token(start: Start) -> None:
    """C114"""
    gate = await start()
    asked = bearer((await gate.log_in()).refresh_token)
    assert isinstance(refused(await gate.judge(asked)), InvalidToken)
    assert (asked.issued, gate.exchanges()) == (None, [])


async def test_a_refresh_token_in_a_cookie_is_never_exchanged(start: Start) -> None:
    gate = await start(refresh_inline=True, sources=(COOKIE, HEADER), allow_several_credentials=True)
    token = (await gate.log_in()).refresh_token
    asked = request(f"Cookie: at={token}", "Origin: https://app.example")
    assert isinstance(refused(await gate.judge(asked)), InvalidToken)
    assert gate.exchanges() == []


@pytest.mark.parametrize("reason", ["junk", "ended", "reused", "confidential"])
async def test_one_that_is_no_good_gets_the_challenge_of_a_bad_token(start: Start, reason: str) -> None:
    """R37: an API client knows what to do about 401 `invalid_token`."""
    gate = await start(refresh_inline=True)
    issued = await gate.log_in("server" if reason == "confidential" else "web")
    token = issued.refresh_token
    assert token is not None
    if reason == "junk":
        token = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    if reason == "ended":
        await gate.sessions.end(issued.session.sid, EndReason.LOGOUT)
    if reason == "reused":
        newer = bearer(token)
        allowed(await gate.judge(newer))
        assert newer.issued is not None
        allowed(await gate.judge(bearer(newer.issued.refresh_token)))
        gate.later(3601)
    asked = bearer(token)
    error = refused(await gate.judge(asked))
    assert type(error) is RefusedRefreshToken
    assert (error.status, error.error) == (401, "invalid_token")
    assert asked.issued is None
    assert token not in str(error)


async def test_while_the_store_is_away_the_answer_is_503(start: Start) -> None:
    gate = await start(refresh_inline=True)
    asked = bearer((await gate.log_in()).refresh_token)
    gate.store.is_away = True
    assert isinstance(refused(await gate.judge(asked)), StoreUnavailable)


async def test_too_early_an_exchange_is_refused_as_such(start: Start) -> None:
    gate = await start(refresh_inline=True, exchange={"early": "reject"})
    asked = bearer((await gate.log_in()).refresh_token)
    assert isinstance(refused(await gate.judge(asked)), StillValid)


async def test_the_new_pair_is_told_even_if_the_request_is_refused(start: Start) -> None:
    gate = await start(refresh_inline=True, policies=(RequireScopes(scopes=("orders:write",)),))
    asked = bearer((await gate.log_in()).refresh_token)
    assert isinstance(refused(await gate.judge(asked)), InsufficientScope)
    assert asked.issued is not None


# --- an access token that nears its end


async def test_an_access_token_that_nears_its_end_is_renewed(start: Start) -> None:
    """C115"""
    gate = await start(renew_below=0.2, access={"renew_below": 0.2})
    issued = await gate.log_in()
    young = bearer(issued.access_token)
    gate.later(479)
    allowed(await gate.judge(young))
    assert (young.issued, gate.store.loads) == (None, 0)
    gate.later(61)
    old = bearer(issued.access_token)
    assert allowed(await gate.judge(old)).principal is not None
    assert old.issued is not None
    assert old.issued.refresh_token is None
    assert old.issued.expires_in == 600
    assert old.issued.session.generation == 1


async def test_what_came_in_our_own_cookie_is_renewed_in_it(start: Start) -> None:
    gate = await start(renew_below=0.2, sources=(COOKIE, HEADER), allow_several_credentials=True)
    issued = await gate.log_in()
    gate.later(590)
    cookie = f"Cookie: at={issued.access_token}"
    for asked, is_in_cookie in (
        (request(cookie), True),
        (request(cookie, f"Authorization: Bearer {issued.access_token}"), True),
        (bearer(issued.access_token, "Cookie: other=x"), False),
        (request(cookie), True),
    ):
        allowed(await gate.judge(asked))
        assert asked.issued is not None
        assert (asked.issued_cookie is not None) is is_in_cookie
        if asked.issued_cookie is not None:
            assert asked.issued_cookie.startswith(f"at={asked.issued.access_token}; HttpOnly; Max-Age=600; ")


async def test_what_came_in_another_cookie_is_renewed_in_a_header(start: Start) -> None:
    gate = await start(renew_below=0.2, sources=(CookieSource(cookie="other"),))
    issued = await gate.log_in()
    gate.later(590)
    asked = request(f"Cookie: other={issued.access_token}")
    allowed(await gate.judge(asked))
    assert (asked.issued is not None, asked.issued_cookie) == (True, None)


async def test_routes_that_do_not_opt_in_ask_nobody(start: Start) -> None:
    gate = await start()
    issued = await gate.log_in()
    gate.later(599)
    asked = bearer(issued.access_token)
    allowed(await gate.judge(asked))
    assert (asked.issued, gate.store.loads) == (None, 0)


async def test_the_store_is_not_asked_again_at_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = await start(renew_below=0.2)
    issued = await gate.log_in()
    gate.later(590)
    monkeypatch.setattr(inline_tokens, "monotonic", lambda: gate.now)
    requests = [bearer(issued.access_token) for _ in range(3)]
    for asked in requests:
        allowed(await gate.judge(asked))
    assert gate.store.loads == 1
    assert [asked.issued == requests[0].issued is not None for asked in requests] == [True] * 3
    gate.later(5)
    later = bearer(issued.access_token)
    allowed(await gate.judge(later))
    assert later.issued is not None
    assert gate.store.loads == 2


async def test_while_the_store_is_away_requests_are_served_without_and_do_not_wait_each(start: Start) -> None:
    gate = await start(renew_below=0.2)
    issued = await gate.log_in()
    gate.later(590)
    gate.store.is_away = True
    for _ in range(3):
        asked = bearer(issued.access_token)
        allowed(await gate.judge(asked))
        assert asked.issued is None
    assert gate.store.loads == 1


async def test_what_is_remembered_of_renewals_is_bounded(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inline_tokens, "_MOST", 2)
    gate = await start(renew_below=0.2)
    sessions = [await gate.log_in() for _ in range(5)]
    gate.later(590)
    for issued in sessions:
        asked = bearer(issued.access_token)
        allowed(await gate.judge(asked))
        assert asked.issued is not None
    assert len(gate.inline._recent) <= 2


async def test_nothing_is_renewed_for_who_is_refused(start: Start) -> None:
    gate = await start(renew_below=0.2, policies=(RequireScopes(scopes=("orders:write",)),))
    issued = await gate.log_in()
    gate.later(590)
    asked = bearer(issued.access_token)
    assert isinstance(refused(await gate.judge(asked)), InsufficientScope)
    await gate.sessions.end(issued.session.sid, EndReason.ADMIN)
    loads = gate.store.loads
    assert isinstance(refused(await gate.judge(bearer(issued.access_token))), RevokedToken)
    assert (asked.issued, gate.store.loads) == (None, loads)


async def test_a_token_of_another_issuer_has_no_session_to_renew(start: Start) -> None:
    gate = await start(renew_below=0.2)
    issued = await gate.log_in()
    gate.later(590)
    asked = bearer(issued.access_token)
    principal = gate.authenticator.prove(issued.access_token, gate.now)
    assert isinstance(principal, Principal)
    foreign = replace(principal, session_id=None, generation=None)
    assert gate.inline.renewal(gate.route, asked, foreign, gate.now) is None
    assert gate.store.loads == 0
