from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.engine.gatekeeper import Decision, Gatekeeper
from gateway.engine.routes import Route, RouteTable
from gateway.mechanisms.authenticators.jwt import JwtAuthenticator, JwtSettings
from gateway.mechanisms.base import Authenticator, HeaderEdits, offline_resources
from gateway.mechanisms.mutators import ClaimHeader
from gateway.mechanisms.policies import RequireAuthentication, RequirePrincipal, RequireScopes
from gateway.model.decision import Allow, Answer, Deny, Pending
from gateway.model.errors import (
    AmbiguousHeader,
    AmbiguousHost,
    AmbiguousTarget,
    BadSignature,
    CrossSiteRequest,
    ExpiredToken,
    InsufficientAuthentication,
    InsufficientScope,
    InvalidToken,
    KeysUnavailable,
    MalformedCredentials,
    MissingCredentials,
    NoRoute,
    OriginNotAllowed,
    OversizedIdentity,
    OversizedToken,
    Refusal,
    RequirementNotMet,
    RevokedToken,
    SeveralCredentials,
    StaleRevocations,
    UnknownIssuer,
    WrongAudience,
    WrongIssuer,
)
from gateway.model.principal import Principal
from gateway.model.request import InboundRequest
from tests.engine.test_cors import APP, policy, preflight
from tests.issuing import Clock
from tests.judging import ACCESS_TOKEN, COOKIE, HEADER, SUBPROTOCOL, principal, request, route
from tests.minting import AUDIENCE, ISSUER, NOW, access_claims, jwks, make_key
from tests.revoking import News, standing_still

K1, OTHER = make_key("EdDSA", "k1"), make_key("EdDSA", "other")


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


def jwt_authenticator(folder: Path, name: str = "idp", **settings: Any) -> JwtAuthenticator:
    key = settings.pop("key", K1)
    (folder / f"{name}.json").write_bytes(jwks(key))
    written = {"type": "jwt", "issuer": ISSUER, "audiences": [AUDIENCE], "jwks_file": f"{name}.json", **settings}
    return JwtSettings.model_validate(written).build(name, offline_resources(folder))


@pytest.fixture
def idp(tmp_path: Path) -> JwtAuthenticator:
    return jwt_authenticator(tmp_path)


@dataclass
class Scripted:
    """An Authenticator that knows some tokens, and answers for others what it is told to."""

    name: str = "scripted"
    known: dict[str, Principal] = field(default_factory=dict)
    answers: dict[str, Principal | Pending | Refusal] = field(default_factory=dict)
    takes: bool = True
    asked: list[str] = field(default_factory=list)

    def recall(self, token: str) -> Principal | None:
        return self.known.get(token)

    def accepts(self, token: str) -> bool:
        return self.takes

    def authenticate(self, token: str, now: float) -> Principal | Pending:
        self.asked.append(token)
        answer = self.answers[token]
        if isinstance(answer, Refusal):
            raise answer
        return answer

    def prove(self, token: str, now: float) -> Principal | Pending:
        raise AssertionError("this is for tokens that the gateway has just made")


def gatekeeper(*routes: Route, clock: Clock | None = None, **changes: Any) -> Gatekeeper:
    limits: dict[str, Any] = {
        "token_bytes": 8192,
        "identity_bytes": 1000,
        "principal_type_header": "X-Principal-Type",
        **changes,
    }
    return Gatekeeper(RouteTable(routes), clock or Clock(NOW), **limits)


def protected(*authenticators: Authenticator, path: str = "/**", **changes: Any) -> Route:
    return route(path, **{"sources": (HEADER,), "authenticators": authenticators, **changes})


def bearer(token: str, *lines: str, **changes: Any) -> InboundRequest:
    return request(f"Authorization: Bearer {token}", *lines, **changes)


def allowed(decision: Decision) -> Allow[Route]:
    assert isinstance(decision, Allow), decision
    return decision


def refusal(decision: Decision) -> Refusal:
    assert isinstance(decision, Deny), decision
    return decision.error


# --- what the request is


def test_what_matches_no_route_is_denied_without_a_route() -> None:
    decision = gatekeeper(route("/a")).decide(request(target="/b"))
    assert isinstance(decision, Deny)
    assert decision.route is None
    assert isinstance(refusal(decision), NoRoute)
    assert str(refusal(decision)) == "no route for GET /b on 'api.example'"


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        (request(host=None), AmbiguousHost),
        (request(host=""), AmbiguousHost),
        (request(host="a b"), AmbiguousHost),
        (request("Host: api.example"), AmbiguousHeader),
        (request(target="/public/../admin"), AmbiguousTarget),
        (request(target="http://other.example/"), AmbiguousTarget),
        (request(target="http://api.example/", host=None, version="1.0"), AmbiguousTarget),
        (request(target="*", method="OPTIONS"), AmbiguousTarget),
        (request(method="TRACE"), AmbiguousTarget),
        (request(target="api.example:443", method="CONNECT"), AmbiguousTarget),
        (request("Connection: close", "Connection: authorization"), AmbiguousHeader),
    ],
)
def test_an_ambiguous_request_is_denied_before_a_route_is_looked_for(
    asked: InboundRequest, error: type[Refusal]
) -> None:
    """CVE-2026-33494; GHSA-w9mr-28mw-j8hg; CVE-2026-71324 (CONNECT)."""
    decision = gatekeeper(route(access="public")).decide(asked)
    assert type(refusal(decision)) is error
    assert isinstance(decision, Deny)
    assert decision.route is None


def test_an_old_client_may_leave_out_the_host() -> None:
    old = request(host=None, version="1.0")
    assert allowed(gatekeeper(route(access="public")).decide(old)).route.id == "/**"
    assert isinstance(refusal(gatekeeper(route(hosts=("api.example",))).decide(old)), NoRoute)


def test_the_host_decides_in_whatever_case() -> None:
    """CVE-2026-42273."""
    keeper = gatekeeper(route("/**", access="public"), protected(Scripted(), hosts=("admin.example",)))
    for host in ("admin.example", "ADMIN.Example", "admin.example.", "admin.example:8080"):
        assert isinstance(refusal(keeper.decide(request(host=host))), MissingCredentials)
    assert allowed(keeper.decide(request(host="other.example")))


def test_what_was_matched_is_what_is_forwarded() -> None:
    keeper = gatekeeper(route("/orders/{id}", access="public"))
    decision = allowed(keeper.decide(request(target="http://API.example/%6frders/%37?a=%41&access_token=t")))
    assert (decision.target, decision.principal, decision.identity) == (b"/orders/7?a=%41", None, b"")


def test_the_path_may_be_rewritten_on_the_way() -> None:
    keeper = gatekeeper(route("/api/**", access="public", rewrite=("/api", "/v2")))
    assert allowed(keeper.decide(request(target="/api/orders?x"))).target == b"/v2/orders?x"


@pytest.mark.parametrize(("sent", "forwarded"), [("/files/a%2fb", b"/files/a%2Fb"), ("/files/a%5Cb", b"/files/a%5Cb")])
def test_an_encoded_slash_needs_a_route_that_allows_it(sent: str, forwarded: bytes) -> None:
    """CVE-2026-42272."""
    closed = gatekeeper(route("/files/{name}", access="public"))
    opened = gatekeeper(route("/files/{name}", access="public", encoded_slashes=True))
    assert isinstance(refusal(closed.decide(request(target=sent))), AmbiguousTarget)
    assert allowed(opened.decide(request(target=sent))).target == forwarded


# --- public and optional routes


def test_a_public_route_looks_at_no_token() -> None:
    """C25."""
    decision = allowed(gatekeeper(route(access="public")).decide(bearer("not a token", "Cookie: at=;;")))
    assert (decision.principal, decision.identity) == (None, b"")


def test_an_optional_route_takes_nobody_or_somebody_but_not_a_bad_token(idp: JwtAuthenticator) -> None:
    """C25."""
    keeper = gatekeeper(protected(idp, access="optional", mutators=(ClaimHeader(header="X-Sub", claim="sub"),)))
    nobody = allowed(keeper.decide(request()))
    assert (nobody.principal, nobody.identity) == (None, b"")
    somebody = allowed(keeper.decide(bearer(K1.sign(access_claims()))))
    assert somebody.identity == b"X-Sub: alice\r\nX-Principal-Type: user\r\n"
    assert isinstance(refusal(keeper.decide(bearer("junk"))), InvalidToken)
    assert isinstance(refusal(keeper.decide(bearer("a b"))), MalformedCredentials)


# --- bearer tokens


def test_a_valid_token_passes(idp: JwtAuthenticator) -> None:
    """C3."""
    keeper = gatekeeper(protected(idp, policies=(RequireScopes(scopes=("orders:read",)),)))
    decision = allowed(keeper.decide(bearer(K1.sign(access_claims()), target="/api/orders")))
    assert decision.principal is not None
    assert decision.principal.subject == "alice"
    assert (decision.target, decision.identity) == (b"/api/orders", b"")


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        pytest.param(request(), MissingCredentials, id="C1"),
        pytest.param(request("Authorization: Basic dTpw"), MissingCredentials, id="C2"),
        pytest.param(request("Authorization: Bearer"), MalformedCredentials, id="C5"),
        pytest.param(bearer("a b"), MalformedCredentials, id="C6"),
        pytest.param(bearer("a", "Authorization: Bearer a"), SeveralCredentials, id="C7"),
        pytest.param(request(target="/?access_token=a"), MissingCredentials, id="C9"),
        pytest.param(request("Cookie: at=a"), MissingCredentials, id="C11"),
        pytest.param(bearer(K1.sign(access_claims(exp=NOW - 6))), ExpiredToken, id="C13"),
        pytest.param(bearer("random"), InvalidToken, id="C17"),
        pytest.param(bearer("a" * 8193), OversizedToken, id="C19"),
        pytest.param(bearer(K1.sign(access_claims(iss="https://other.example"))), WrongIssuer, id="C50"),
        pytest.param(bearer(K1.sign(access_claims(aud="https://other.example"))), WrongAudience, id="C52"),
        pytest.param(bearer(make_key("EdDSA", "k1", bits=1).sign(access_claims())), BadSignature, id="C63"),
    ],
)
def test_a_bad_presentation_is_refused_with_its_own_reason(
    idp: JwtAuthenticator, asked: InboundRequest, error: type[Refusal]
) -> None:
    keeper = gatekeeper(protected(idp))
    denied = keeper.decide(asked)
    assert isinstance(refusal(denied), error)
    assert isinstance(denied, Deny)
    assert (denied.route, denied.principal) == (allowed_route(keeper), None)
    for value in asked.all(b"authorization"):
        token = value.decode().removeprefix("Bearer ")
        assert len(token) < 4 or token not in str(refusal(denied))


def allowed_route(keeper: Gatekeeper) -> Route:
    return keeper.match(request(), *keeper.locate(request()))


def test_a_token_within_the_leeway_passes(idp: JwtAuthenticator) -> None:
    """C14."""
    assert allowed(gatekeeper(protected(idp)).decide(bearer(K1.sign(access_claims(exp=NOW - 3)))))


@pytest.mark.parametrize("after", [605, 606, 10**6])
def test_a_remembered_token_still_expires(idp: JwtAuthenticator, clock: Clock, after: int) -> None:
    """C15, RFC 7519 §4.1.4: from `exp` plus leeway on, not only after it."""
    keeper, token = gatekeeper(protected(idp), clock=clock), K1.sign(access_claims())
    assert allowed(keeper.decide(bearer(token)))
    clock.now = NOW + 604.9
    assert allowed(keeper.decide(bearer(token)))
    clock.now = NOW + after
    assert isinstance(refusal(keeper.decide(bearer(token))), ExpiredToken)


def test_a_remembered_token_still_meets_the_policies_of_each_route(idp: JwtAuthenticator) -> None:
    """CVE-2021-32701: a token that was good for one route was good for all."""
    keeper = gatekeeper(
        protected(idp, path="/read", policies=(RequireScopes(scopes=("orders:read",)),)),
        protected(idp, path="/admin", policies=(RequireScopes(scopes=("admin",)),)),
    )
    asked = K1.sign(access_claims())
    assert allowed(keeper.decide(bearer(asked, target="/read")))
    error = refusal(keeper.decide(bearer(asked, target="/admin")))
    assert isinstance(error, InsufficientScope)
    assert error.scope == ("admin",)


def test_a_remembered_token_is_unknown_to_the_authenticators_of_other_routes(tmp_path: Path) -> None:
    """CVE-2026-33496: what one authenticator remembers proves nothing to another."""
    one = jwt_authenticator(tmp_path, "one")
    other = jwt_authenticator(tmp_path, "other", audiences=["https://other.example"])
    keeper = gatekeeper(protected(one, path="/one"), protected(other, path="/other"))
    token = K1.sign(access_claims())
    assert allowed(keeper.decide(bearer(token, target="/one")))
    assert isinstance(refusal(keeper.decide(bearer(token, target="/other"))), WrongAudience)


def test_a_head_request_is_judged_like_a_get(idp: JwtAuthenticator) -> None:
    """C23."""
    keeper = gatekeeper(protected(idp, methods=("GET",)))
    assert isinstance(refusal(keeper.decide(bearer(K1.sign(access_claims(exp=NOW - 6)), method="HEAD"))), ExpiredToken)


def test_a_websocket_upgrade_is_judged_before_it_happens(idp: JwtAuthenticator) -> None:
    """C29."""
    keeper = gatekeeper(protected(idp, sources=(SUBPROTOCOL,)))
    lines = ("Connection: Upgrade", "Upgrade: websocket")
    token = K1.sign(access_claims(exp=NOW - 6))
    assert isinstance(refusal(keeper.decide(request(*lines, f"Sec-WebSocket-Protocol: bearer.{token}"))), ExpiredToken)


def test_all_policies_hold_and_the_first_that_does_not_is_told(idp: JwtAuthenticator) -> None:
    """C16, C30."""
    keeper = gatekeeper(
        protected(
            idp,
            policies=(
                RequirePrincipal(principal="user"),
                RequireAuthentication(acr=("mfa",)),
                RequireScopes(scopes=("x",)),
            ),
        )
    )
    assert isinstance(refusal(keeper.decide(bearer(K1.sign(access_claims())))), InsufficientAuthentication)
    assert isinstance(refusal(keeper.decide(bearer(K1.sign(access_claims(acr="mfa"))))), InsufficientScope)
    client = K1.sign(access_claims(sub="svc", client_id="svc"))
    denied = keeper.decide(bearer(client))
    assert isinstance(denied, Deny)
    assert isinstance(denied.error, RequirementNotMet)
    assert denied.principal is not None  # who was refused is for the log


# --- where the token is


def test_two_tokens_are_refused_even_if_they_are_the_same(idp: JwtAuthenticator) -> None:
    """C12, C8."""
    keeper = gatekeeper(protected(idp, sources=(HEADER, COOKIE, ACCESS_TOKEN)))
    token = K1.sign(access_claims())
    for line in (f"Cookie: at={token}", f"X-Access-Token: {token}"):
        assert isinstance(refusal(keeper.decide(bearer(token, line))), SeveralCredentials)
    assert allowed(keeper.decide(request(f"Cookie: at={token}")))


def test_the_first_source_wins_where_the_route_says_so(idp: JwtAuthenticator) -> None:
    """C12."""
    keeper = gatekeeper(protected(idp, sources=(HEADER, COOKIE), allow_several_credentials=True))
    assert allowed(keeper.decide(bearer(K1.sign(access_claims()), "Cookie: at=not even; at=readable")))
    assert isinstance(refusal(keeper.decide(bearer("junk", f"Cookie: at={K1.sign(access_claims())}"))), InvalidToken)


def test_a_route_looks_only_where_it_says(idp: JwtAuthenticator) -> None:
    """C11."""
    keeper = gatekeeper(protected(idp, sources=(COOKIE,)))
    missing = refusal(keeper.decide(bearer(K1.sign(access_claims()))))
    assert isinstance(missing, MissingCredentials)
    assert str(missing).startswith("no token in ")
    assert "Source" not in str(missing)
    forged = request(f"Cookie: at={K1.sign(access_claims())}", method="POST")
    assert isinstance(refusal(keeper.decide(forged)), CrossSiteRequest)


def test_an_oversized_token_is_not_looked_into() -> None:
    """C19."""
    nobody = Scripted()
    error = refusal(gatekeeper(protected(nobody), token_bytes=10).decide(bearer("a" * 11)))
    assert isinstance(error, OversizedToken)
    assert str(error) == "the token has 11 bytes; 10 are allowed"
    assert nobody.asked == []


# --- several authenticators


def test_the_issuer_decides_who_verifies(tmp_path: Path) -> None:
    """C51: keys belong to their issuer."""
    one = jwt_authenticator(tmp_path, "one")
    two = jwt_authenticator(tmp_path, "two", issuer="https://two.example", key=OTHER)
    keeper = gatekeeper(protected(one, two))
    good = allowed(keeper.decide(bearer(OTHER.sign(access_claims(iss="https://two.example")))))
    assert good.principal is not None
    assert good.principal.authenticator == "two"
    assert isinstance(refusal(keeper.decide(bearer(OTHER.sign(access_claims())))), InvalidToken)
    for token in (K1.sign(access_claims(iss="https://three.example")), "junk"):
        assert isinstance(refusal(keeper.decide(bearer(token))), UnknownIssuer)


def test_two_authenticators_may_share_an_issuer(tmp_path: Path) -> None:
    web = jwt_authenticator(tmp_path, "web", audiences=["https://web.example"])
    api = jwt_authenticator(tmp_path, "api")
    keeper, token = gatekeeper(protected(web, api)), K1.sign(access_claims())
    for _ in range(2):
        decision = allowed(keeper.decide(bearer(token)))
        assert decision.principal is not None
        assert decision.principal.authenticator == "api"
    both = K1.sign(access_claims(aud="https://neither.example"))
    assert isinstance(refusal(keeper.decide(bearer(both))), WrongAudience)


@pytest.mark.parametrize("order", [1, -1])
def test_while_one_of_them_cannot_know_the_no_of_another_is_not_the_answer(order: int) -> None:
    """C28: a dependency that fails gives 503, never 401."""
    down = Scripted(answers={"t": KeysUnavailable("down")})
    no = Scripted(answers={"t": BadSignature("no")})
    yes = Scripted(answers={"t": principal()})
    assert isinstance(refusal(gatekeeper(protected(*[down, no][::order])).decide(bearer("t"))), KeysUnavailable)
    assert allowed(gatekeeper(protected(*[down, yes][::order])).decide(bearer("t")))


def test_the_only_authenticator_says_why_it_does_not_take_a_token() -> None:
    only = Scripted(takes=False, answers={"t": WrongIssuer("not mine")})
    assert isinstance(refusal(gatekeeper(protected(only)).decide(bearer("t"))), WrongIssuer)
    assert isinstance(refusal(gatekeeper(protected(only, only)).decide(bearer("t"))), UnknownIssuer)


def test_a_known_token_is_not_verified_again() -> None:
    knowing = Scripted(known={"t": principal()})
    assert allowed(gatekeeper(protected(Scripted(), knowing)).decide(bearer("t")))
    assert knowing.asked == []


async def test_a_token_whose_keys_must_be_fetched_is_decided_later() -> None:
    fetched: list[bool] = []

    async def ready() -> None:
        fetched.append(True)
        fetching.answers["t"] = principal()

    pending = Pending(ready)
    fetching = Scripted(answers={"t": pending})
    keeper = gatekeeper(protected(fetching))
    decision = keeper.decide(bearer("t"))
    assert decision is pending
    assert allowed(await keeper.settle(bearer("t"), decision))
    assert fetched == [True]


async def test_a_request_does_not_wait_for_fetches_forever() -> None:
    fetched: list[bool] = []

    async def ready() -> None:
        fetched.append(True)

    keeper = gatekeeper(protected(Scripted(answers={"t": Pending(ready)})))
    verdict = await keeper.settle(bearer("t"), keeper.decide(bearer("t")))
    assert isinstance(verdict, Deny)
    assert verdict.error.status == 503
    assert len(fetched) == 3


async def test_what_the_last_fetch_brings_still_counts() -> None:
    fetched: list[bool] = []

    async def ready() -> None:
        fetched.append(True)
        if len(fetched) == 3:
            scripted.known["t"] = principal()

    scripted = Scripted(answers={"t": Pending(ready)})
    keeper = gatekeeper(protected(scripted))
    allowed(await keeper.settle(bearer("t"), keeper.decide(bearer("t"))))


# --- telling the upstream


@dataclass(frozen=True)
class Counted:
    """A Mutator that counts how often it was asked, in a header that is good for `lifetime` seconds."""

    lifetime: float = float("inf")
    asked: list[float] = field(default_factory=list)
    owned: frozenset[str] = frozenset({"X-Count"})

    def edit(self, principal: Principal, now: float) -> HeaderEdits:
        self.asked.append(now)
        return HeaderEdits((("X-Count", str(len(self.asked))),), now + self.lifetime)


def identity(keeper: Gatekeeper, path: str = "/", token: str = "t") -> bytes:
    return allowed(keeper.decide(bearer(token, target=path))).identity


def test_the_upstream_is_told_in_the_order_of_the_list_with_the_principals_type() -> None:
    """C70: a client never looks like a user."""
    known = Scripted(known={"t": principal({"roles": ["a", "b"]}, type="client")})
    keeper = gatekeeper(
        protected(
            known,
            mutators=(
                ClaimHeader(header="X-Roles", claim="roles", list="repeat"),
                ClaimHeader(header="X-Absent", claim="absent"),
                ClaimHeader(header="X-Sub", claim="sub"),
            ),
        )
    )
    assert identity(keeper) == b"X-Roles: a\r\nX-Roles: b\r\nX-Sub: alice\r\nX-Principal-Type: client\r\n"


def test_a_claim_cannot_split_a_header() -> None:
    """C26."""
    known = Scripted(known={"t": principal({"sub": "a\r\nX-Admin: 1\n"})})
    keeper = gatekeeper(protected(known, mutators=(ClaimHeader(header="X-Sub", claim="sub"),)))
    assert identity(keeper) == b"X-Sub: a%0D%0AX-Admin: 1%0A\r\nX-Principal-Type: user\r\n"


def test_headers_are_made_once_per_principal_and_list() -> None:
    counted, known = Counted(), Scripted(known={"t": principal(), "u": principal()})
    keeper = gatekeeper(
        protected(known, path="/a", mutators=(counted,), inject_key="one"),
        protected(known, path="/b", mutators=(counted,), inject_key="one"),
        protected(known, path="/c", mutators=(counted,), inject_key="other"),
    )
    seen = [identity(keeper, *asked) for asked in [("/a",), ("/b",), ("/c",), ("/a", "u"), ("/a",)]]
    assert [line.split(b"\r\n")[0][-1:] for line in seen] == [b"1", b"1", b"2", b"3", b"1"]


def test_headers_that_expire_are_made_anew(clock: Clock) -> None:
    counted, lasting = Counted(lifetime=30), Counted()
    known = Scripted(known={"t": principal()})
    keeper = gatekeeper(protected(known, mutators=(lasting, counted)), clock=clock)
    for now in (NOW, NOW + 29.9, NOW + 30, NOW + 59):
        clock.now = now
        identity(keeper)
    assert counted.asked == [NOW, NOW + 30]


def test_an_identity_that_is_too_large_is_refused_and_not_remembered() -> None:
    """C26: 10 kB of claims."""
    known = Scripted(known={"t": principal({"big": "x" * 10_000})})
    keeper = gatekeeper(protected(known, mutators=(ClaimHeader(header="X-Big", claim="big"),)))
    for _ in range(2):
        assert isinstance(refusal(keeper.decide(bearer("t"))), OversizedIdentity)
    assert not known.known["t"].identity_headers


def test_policies_come_before_the_headers() -> None:
    counted, known = Counted(), Scripted(known={"t": principal()})
    keeper = gatekeeper(protected(known, mutators=(counted,), policies=(RequireScopes(scopes=("a",)),)))
    assert isinstance(refusal(keeper.decide(bearer("t"))), InsufficientScope)
    assert counted.asked == []


def test_a_mutator_with_a_bug_lets_nothing_pass() -> None:
    """Whoever calls `decide` turns what is not a refusal into a 500, which refuses."""

    class Broken(Counted):
        def edit(self, principal: Principal, now: float) -> HeaderEdits:
            return HeaderEdits((("X-Count", "é"),))

    known = Scripted(known={"t": principal()})
    keeper = gatekeeper(protected(known, mutators=(Broken(),)))
    for _ in range(2):
        with pytest.raises(UnicodeEncodeError):
            keeper.decide(bearer("t"))


# --- CORS


def test_a_preflight_needs_no_token() -> None:
    """C22."""
    on = protected(Scripted(), cors=policy(), methods=("POST",))
    answer = gatekeeper(on).decide(preflight())
    assert isinstance(answer, Answer)
    assert (answer.route, answer.status, answer.headers) == (on, 204, policy().preflight(preflight()))


def test_a_preflight_is_answered_by_the_route_of_the_request_it_asks_for() -> None:
    read = protected(Scripted(), cors=policy("https://other.example"), methods=("GET",))
    write = protected(Scripted(), cors=policy(), methods=("POST",))
    keeper = gatekeeper(read, write)
    assert isinstance(keeper.decide(preflight(method="POST")), Answer)
    assert isinstance(refusal(keeper.decide(preflight(method="GET"))), OriginNotAllowed)
    assert isinstance(refusal(keeper.decide(preflight(method="PUT"))), NoRoute)


def test_a_preflight_may_be_left_to_the_upstream_without_token_and_identity() -> None:
    on = protected(Scripted(), cors=policy(answers_preflight=False), mutators=(Counted(),))
    decision = gatekeeper(on).decide(preflight())
    assert isinstance(decision, Allow)
    assert (decision.route, decision.target, decision.principal) == (on, b"/", None)
    evil = gatekeeper(on).decide(preflight("https://evil.example"))
    assert isinstance(refusal(evil), OriginNotAllowed)


@pytest.mark.parametrize(
    "asked",
    [
        request(f"Origin: {APP}", method="OPTIONS"),
        request("Access-Control-Request-Method: GET", method="OPTIONS"),
        request(f"Origin: {APP}", "Access-Control-Request-Method: GET"),
        preflight(APP, "GET", "Content-Length: 5"),
        preflight(APP, "GET", "Transfer-Encoding: chunked"),
        preflight(APP, "GET, POST"),
    ],
)
@pytest.mark.parametrize("answers", [True, False])
def test_options_is_no_way_around_the_token(asked: InboundRequest, answers: bool) -> None:
    on = protected(Scripted(), cors=policy(answers_preflight=answers))
    assert isinstance(refusal(gatekeeper(on).decide(asked)), MissingCredentials)


def test_without_cors_a_preflight_is_an_ordinary_request() -> None:
    assert isinstance(refusal(gatekeeper(protected(Scripted())).decide(preflight())), MissingCredentials)
    assert allowed(gatekeeper(route(access="public")).decide(preflight()))
    get_only = gatekeeper(protected(Scripted(), methods=("GET",)))
    assert isinstance(refusal(get_only.decide(preflight(method="GET"))), NoRoute)


def test_a_preflight_that_asks_for_two_methods_is_refused() -> None:
    twice = preflight(APP, "POST", "Access-Control-Request-Method: GET")
    assert isinstance(refusal(gatekeeper(protected(Scripted(), cors=policy())).decide(twice)), AmbiguousHeader)


def test_a_preflight_does_not_open_encoded_slashes() -> None:
    asked = request(f"Origin: {APP}", "Access-Control-Request-Method: GET", method="OPTIONS", target="/a%2Fb")
    on = protected(Scripted(), cors=policy(answers_preflight=False))
    assert isinstance(refusal(gatekeeper(on).decide(asked)), AmbiguousTarget)


# --- bypass lists


def everything() -> Iterator[InboundRequest]:
    agents = ["kube-probe/1.30", "GoogleHC/1.0", "ELB-HealthChecker/2.0"]
    yield from (request(f"User-Agent: {agent}", target="/ping") for agent in agents)
    for name in ("X-Forwarded-Uri", "X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix"):
        yield request(f"{name}: /public", target="/admin")
    for method in ("HEAD", "OPTIONS", "POST", "PROPFIND"):
        yield request(method=method, target="/admin")
    yield request("X-HTTP-Method-Override: OPTIONS", target="/admin")
    for target in ("/admin?/public", "/admin?x=/public/", "/admin?access_token=x"):
        yield request(target=target)


@pytest.mark.parametrize("asked", list(everything()))
def test_nothing_a_client_says_about_itself_replaces_a_token(asked: InboundRequest) -> None:
    """CVE-2026-34457 (User-Agent), CVE-2026-40575 (X-Forwarded-Uri), CVE-2025-54576 (query), bypass by OPTIONS."""
    keeper = gatekeeper(protected(Scripted()), route("/public/**", access="public"))
    assert isinstance(refusal(keeper.decide(asked)), MissingCredentials)


# --- revocation


MARKED: dict[str, Any] = {"marks": ((b"session of alice", 1),)}


def revocable(**changes: Any) -> tuple[News, Scripted, Gatekeeper]:
    """Return news, an authenticator that knows the token `alice`, and a gatekeeper with one route."""
    news, scripted = News(standing_still), Scripted(known={"alice": principal(**MARKED)})
    return news, scripted, gatekeeper(protected(scripted, **changes), revocations=news.view)


def test_a_revoked_token_is_refused_even_if_it_is_remembered() -> None:
    """C18"""
    news, scripted, keeper = revocable()
    news.fresh()
    assert allowed(keeper.decide(bearer("alice"))).is_degraded is False
    news.revoke(scripted.known["alice"])
    decision = keeper.decide(bearer("alice"))
    assert isinstance(refusal(decision), RevokedToken)
    assert refusal(decision).description == "The access token was revoked"
    assert decision.principal is scripted.known["alice"]  # type: ignore[union-attr]


def test_a_revocation_comes_before_the_policies_and_after_expiry() -> None:
    news, scripted, keeper = revocable(policies=(RequireScopes(scopes=("orders:write",)),))
    news.fresh().revoke(scripted.known["alice"])
    assert isinstance(refusal(keeper.decide(bearer("alice"))), RevokedToken)
    scripted.known["alice"] = principal(usable_until=NOW, **MARKED)
    assert isinstance(refusal(keeper.decide(bearer("alice"))), ExpiredToken)


def test_stale_news_is_no_reason_to_refuse_who_shows_no_token() -> None:
    """C28"""
    _, _, keeper = revocable(access="optional")
    assert allowed(keeper.decide(request())).principal is None
    assert isinstance(refusal(keeper.decide(bearer("alice"))), StaleRevocations)
    assert allowed(gatekeeper(route(access="public"), revocations=News().view).decide(bearer("alice")))


def test_a_request_that_passes_on_stale_news_is_marked_for_the_upstream() -> None:
    inject = (ClaimHeader(header="X-User-Id", claim="sub"),)
    news, _, keeper = revocable(when_stale="open", mutators=inject)
    news.fresh()
    usual = allowed(keeper.decide(bearer("alice"))).identity
    news.go_stale(31)
    marked = allowed(keeper.decide(bearer("alice")))
    assert (marked.is_degraded, marked.identity) == (True, usual + b"X-Auth-Degraded: 1\r\n")
    news.fresh()
    assert allowed(keeper.decide(bearer("alice"))).identity == usual


def test_a_request_under_way_is_judged_again_by_the_rule_of_its_route() -> None:
    news, scripted, keeper = revocable(when_stale="hybrid")
    news.fresh()
    on, alice = allowed(keeper.decide(bearer("alice"))).route, scripted.known["alice"]
    assert keeper.still_allowed(on, alice, request()) is None
    news.go_stale(31)
    assert keeper.still_allowed(on, alice, request()) is None
    assert isinstance(keeper.still_allowed(on, alice, request(method="POST")), StaleRevocations)
    news.revoke(alice)
    assert isinstance(keeper.still_allowed(on, alice, request()), RevokedToken)
    assert gatekeeper(on).still_allowed(on, alice, request()) is None
