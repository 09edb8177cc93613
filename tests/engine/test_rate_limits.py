"""Rate limits in the judgement: who is counted, when, and how often."""

from typing import Any

import pytest

from gateway.engine.forwarding import Forwarding
from gateway.engine.gatekeeper import Decision, Gatekeeper
from gateway.engine.rate_limits import RateLimits, counted_network
from gateway.engine.routes import Route, RouteTable
from gateway.mechanisms.policies import RequireScopes
from gateway.model.decision import Allow, Deny, Pending
from gateway.model.errors import (
    AmbiguousTarget,
    InsufficientScope,
    MalformedToken,
    NoRoute,
    OriginNotAllowed,
    RateLimited,
    RevokedToken,
)
from gateway.model.faces import Challenge, face
from gateway.model.request import InboundRequest, Peer
from gateway.state.rate_limit import By, RateLimit
from gateway.state.rate_table import RateTable
from tests.engine.test_cors import APP, policy, preflight
from tests.engine.test_gatekeeper import Scripted, bearer, protected
from tests.issuing import Clock
from tests.judging import PROXY, principal, request, route
from tests.minting import NOW
from tests.revoking import News, standing_still

START = 1000.0


def limit(by: By, requests: int = 2, per: float = 60.0, *, name: str = "", is_shared: bool = False) -> RateLimit:
    return RateLimit(name or f"r {by} {requests} {per}", by, requests, per, requests, is_shared)


BY_ADDRESS, BY_SUBJECT, BY_CLIENT = limit("client_address"), limit("subject"), limit("client_id")


class House:
    """A gatekeeper, and the table in which it counts."""

    def __init__(self, *routes: Route, **changes: Any) -> None:
        self.clock = Clock(START)
        self.table = RateTable(1000, self.clock)
        self.limits = RateLimits(self.table, Forwarding((), "X-Request-ID"))
        self.keeper = Gatekeeper(
            RouteTable(routes),
            Clock(NOW),
            token_bytes=8192,
            identity_bytes=1000,
            principal_type_header="X-Principal-Type",
            limits=self.limits,
            **changes,
        )

    def decide(self, asked: InboundRequest) -> Decision:
        return self.keeper.decide(asked)

    def outcomes(self, *asked: InboundRequest) -> list[str]:
        """Return what becomes of requests like these: `allow`, `answer`, or the reason of a refusal."""
        decisions = [self.decide(_again(each)) for each in asked]
        return [each.error.reason if isinstance(each, Deny) else type(each).__name__.lower() for each in decisions]


def _again(asked: InboundRequest) -> InboundRequest:
    return InboundRequest(
        asked.method, asked.target, asked.headers, asked.peer, secure=asked.secure, version=asked.version
    )


def people(*subjects: str, **changes: Any) -> Scripted:
    """Return an authenticator whose tokens are the names of subjects."""
    return Scripted(known={each: principal({"sub": each}, **changes) for each in subjects})


def from_(address: str, *lines: str, **changes: Any) -> InboundRequest:
    return request(*lines, peer=Peer(address), **changes)


# --- by address


def test_beyond_the_limit_an_address_is_refused_and_told_when_to_come_again() -> None:
    house = House(route(access="public", address_limits=(BY_ADDRESS,)))
    assert house.outcomes(request(), request()) == ["allow", "allow"]
    decision = house.decide(request())
    assert isinstance(decision, Deny)
    assert decision.route is not None
    assert isinstance(decision.error, RateLimited)
    assert decision.error.retry_after == 30
    assert str(decision.error) == "2 in 60 s by client_address, 2 at once; 30.000 s too early"
    house.clock.now += 29.9
    assert house.outcomes(request()) == ["rate_limited"]
    house.clock.now += 0.1
    assert house.outcomes(request(), request()) == ["allow", "rate_limited"]


def test_the_face_of_a_rate_limit_is_constant_but_for_the_seconds() -> None:
    shown = face(RateLimited("the log only", retry_after=7), Challenge("gw"), "id-1")
    assert shown.status == 429
    assert dict(shown.headers) == {"Content-Type": "application/json", "Cache-Control": "no-store", "Retry-After": "7"}
    assert b'"too_many_requests"' in shown.body
    assert b"log" not in shown.body


def test_the_seconds_to_wait_are_rounded_up_and_never_none() -> None:
    house = House(
        route(access="public", address_limits=(limit("client_address", 1, 0.01), limit("client_address", 1, 1.2)))
    )
    assert house.outcomes(request()) == ["allow"]
    assert _retry_after(house.decide(request())) == 2
    house.clock.now += 1.195
    assert _retry_after(house.decide(request())) == 1


def _retry_after(decision: Decision) -> int:
    assert isinstance(decision, Deny)
    assert isinstance(decision.error, RateLimited)
    return decision.error.retry_after


def test_each_address_and_each_route_has_its_own_count() -> None:
    house = House(
        route("/a", access="public", address_limits=(limit("client_address", 1, name="a"),)),
        route("/b", access="public", address_limits=(limit("client_address", 1, name="b"),)),
    )
    asked = [from_(address, target=path) for path in ("/a", "/b") for address in ("192.0.2.1", "192.0.2.2")]
    assert house.outcomes(*asked) == ["allow"] * 4
    assert house.outcomes(*asked) == ["rate_limited"] * 4


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::FFFF:c000:207", "192.0.2.7"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("2001:DB8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::/64"),
        ("2001:db8:0:2::1", "2001:db8:0:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("unix", "unix"),
        ("nonsense:", "nonsense:"),
    ],
)
def test_what_counts_as_one_client(address: str, network: str) -> None:
    assert counted_network(address) == network


def test_an_ipv6_client_does_not_get_more_by_changing_its_address() -> None:
    house = House(route(access="public", address_limits=(BY_ADDRESS,)))
    asked = [from_(f"2001:db8::{number:x}") for number in range(1, 6000)]
    assert house.outcomes(*asked).count("allow") == 2
    assert house.outcomes(from_("2001:db8::1"), from_("2001:db8::1")) == ["rate_limited"] * 2
    assert len(house.table) == 1
    assert house.outcomes(from_("2001:db8:0:1::1")) == ["allow"]


def test_the_address_is_as_far_back_as_trusted_proxies_vouch_for_it() -> None:
    house = House(route(access="public", address_limits=(BY_ADDRESS,)))
    behind = [request(f"X-Forwarded-For: 192.0.2.{number}", peer=PROXY) for number in range(5)]
    assert house.outcomes(*behind) == ["allow"] * 5
    forged = [from_("198.51.100.9", f"X-Forwarded-For: 192.0.2.{number}") for number in range(10, 15)]
    assert house.outcomes(*forged) == ["allow"] * 2 + ["rate_limited"] * 3


def test_a_flood_of_bad_tokens_is_bounded_before_they_are_looked_at() -> None:
    someone = Scripted(answers={"bad": MalformedToken("bad")})
    house = House(protected(someone, address_limits=(BY_ADDRESS,)))
    asked = [bearer("bad"), request(), bearer("bad"), bearer("bad"), request()]
    assert house.outcomes(*asked) == ["malformed_token", "missing_credentials", *["rate_limited"] * 3]
    assert someone.asked == ["bad"]


def test_what_the_gateway_refuses_or_answers_without_looking_further_is_not_counted() -> None:
    house = House(route("/a/**", access="public", cors=policy(), address_limits=(BY_ADDRESS,)))
    strange, asking = (
        request(f"Origin: {origin}", "Access-Control-Request-Method: GET", method="OPTIONS", target="/a/x")
        for origin in ("https://evil.example", APP)
    )
    junk = [request(target="/a/../b"), request(target="/b"), request(target="/a/%2F"), strange]
    assert (
        house.outcomes(*junk * 3)
        == [each.reason for each in (AmbiguousTarget, NoRoute, AmbiguousTarget, OriginNotAllowed)] * 3
    )
    assert house.outcomes(*[asking] * 5) == ["answer"] * 5
    assert house.outcomes(*[request(target="/a/x")] * 3) == ["allow", "allow", "rate_limited"]


def test_a_preflight_that_goes_to_the_upstream_is_counted_as_it_needs_no_token() -> None:
    passing = policy(answers_preflight=False)
    house = House(protected(people("alice"), cors=passing, address_limits=(BY_ADDRESS,), caller_limits=(BY_SUBJECT,)))
    assert house.outcomes(*[preflight()] * 3) == ["allow", "allow", "rate_limited"]


# --- by caller


def test_a_subject_is_counted_over_all_its_addresses_and_tokens() -> None:
    both = Scripted(known={"t1": principal(), "t2": principal(), "bob": principal({"sub": "bob"})})
    house = House(protected(both, caller_limits=(BY_SUBJECT,)))
    asked = [bearer("t1", peer=Peer("192.0.2.1")), bearer("t2", peer=Peer("192.0.2.2")), bearer("t1"), bearer("bob")]
    assert house.outcomes(*asked) == ["allow", "allow", "rate_limited", "allow"]


def test_the_same_subject_of_another_issuer_is_somebody_else() -> None:
    known = {"ours": principal(), "theirs": principal(issuer="https://other.example")}
    house = House(protected(Scripted(known=known), caller_limits=(BY_SUBJECT,)))
    assert house.outcomes(*[bearer("theirs")] * 3) == ["allow", "allow", "rate_limited"]
    assert house.outcomes(bearer("ours")) == ["allow"]


def test_a_client_is_counted_over_all_its_users_and_callers_without_client_are_one() -> None:
    known = {
        "a": principal({"sub": "a"}, client_id="app"),
        "b": principal({"sub": "b"}, client_id="app"),
        "c": principal({"sub": "c"}, client_id="other"),
        "d": principal({"sub": "d"}),
        "e": principal({"sub": "e"}),
    }
    house = House(protected(Scripted(known=known), caller_limits=(BY_CLIENT,)))
    assert house.outcomes(*map(bearer, "abac")) == ["allow", "allow", "rate_limited", "allow"]
    assert house.outcomes(*map(bearer, "ded")) == ["allow", "allow", "rate_limited"]


def test_a_refused_caller_is_known_to_the_log() -> None:
    house = House(protected(people("alice"), caller_limits=(limit("subject", 1),)))
    house.decide(bearer("alice"))
    decision = house.decide(bearer("alice"))
    assert isinstance(decision, Deny)
    assert decision.principal is not None
    assert decision.principal.subject == "alice"


def test_an_anonymous_caller_of_an_optional_route_has_no_subject_to_count() -> None:
    house = House(protected(people("alice"), access="optional", caller_limits=(BY_SUBJECT,)))
    assert house.outcomes(*[request()] * 5) == ["allow"] * 5
    assert house.outcomes(*[bearer("alice")] * 3) == ["allow", "allow", "rate_limited"]


def test_a_token_that_may_not_pass_uses_up_nobodys_allowance() -> None:
    """A stolen token that was revoked, or one for something else, must not lock its subject out."""
    known = {
        "good": principal(scopes=frozenset({"a"})),
        "weak": principal(),
        "old": principal(usable_until=NOW - 1),
    }
    house = House(
        protected(Scripted(known=known), policies=(RequireScopes(scopes=("a",)),), caller_limits=(BY_SUBJECT,))
    )
    assert set(house.outcomes(*map(bearer, ["weak", "old"] * 5))) == {InsufficientScope.reason, "expired_token"}
    assert house.outcomes(*[bearer("good")] * 3) == ["allow", "allow", "rate_limited"]


def test_a_revoked_token_uses_up_nobodys_allowance() -> None:
    news, thief = News(standing_still).fresh(), principal(marks=((b"a stolen session", 1),))
    news.revoke(thief)
    house = House(
        protected(Scripted(known={"void": thief, "good": principal()}), caller_limits=(BY_SUBJECT,)),
        revocations=news.view,
    )
    assert set(house.outcomes(*[bearer("void")] * 5)) == {RevokedToken.reason}
    assert house.outcomes(*[bearer("good")] * 3) == ["allow", "allow", "rate_limited"]


def test_very_long_names_are_counted_by_their_digest() -> None:
    long = ["x" * 5000 + end for end in "ab"]
    house = House(protected(people(*long), caller_limits=(limit("subject", 1, is_shared=True),)))
    assert house.outcomes(*map(bearer, [*long, *long])) == ["allow", "allow", "rate_limited", "rate_limited"]
    assert all(len(part) < 200 for key in house.table.take_unsent() for part in key)


# --- several limits, several rounds


def test_address_and_subject_are_both_asked() -> None:
    house = House(
        protected(people("alice", "bob"), address_limits=(limit("client_address", 3),), caller_limits=(BY_SUBJECT,))
    )
    asked = [bearer(name) for name in ("alice", "alice", "alice", "bob")]
    assert house.outcomes(*asked) == ["allow", "allow", "rate_limited", "rate_limited"]


async def test_a_request_that_is_decided_in_several_rounds_counts_once() -> None:
    someone = Scripted()

    async def fetched() -> None:
        someone.answers["alice"] = principal()

    someone.answers["alice"] = Pending(fetched)
    house = House(protected(someone, address_limits=(BY_ADDRESS,), caller_limits=(BY_SUBJECT,)))
    for expected in ("Allow", "Allow", "Deny"):
        someone.answers["alice"] = Pending(fetched)
        asked = bearer("alice")
        verdict = await house.keeper.settle(asked, house.decide(asked))
        assert type(verdict).__name__ == expected


def test_a_caller_counts_once_where_the_request_is_asked_again() -> None:
    house = House(protected(people("alice"), caller_limits=(BY_SUBJECT,)))
    asked = bearer("alice")
    assert [type(house.decide(asked)).__name__ for _ in range(5)] == ["Allow"] * 5
    assert house.outcomes(bearer("alice"), bearer("alice")) == ["allow", "rate_limited"]


def test_without_a_table_nothing_is_counted() -> None:
    keeper = Gatekeeper(
        RouteTable([protected(people("alice"), address_limits=(BY_ADDRESS,), caller_limits=(BY_SUBJECT,))]),
        Clock(NOW),
        token_bytes=100,
        identity_bytes=100,
        principal_type_header="X-Principal-Type",
    )
    assert all(isinstance(keeper.decide(bearer("alice")), Allow) for _ in range(10))


def test_a_table_outlives_the_gatekeepers_that_count_in_it() -> None:
    house = House(route(access="public", address_limits=(BY_ADDRESS,)))
    house.outcomes(request(), request())
    again = Gatekeeper(
        RouteTable([route(access="public", address_limits=(limit("client_address"),))]),
        Clock(NOW),
        token_bytes=100,
        identity_bytes=100,
        principal_type_header="X-Principal-Type",
        limits=RateLimits(house.table, Forwarding((), "X-Request-ID")),
    )
    assert isinstance(again.decide(request()), Deny)
