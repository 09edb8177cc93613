"""Who may use the admin API, and for what."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest

from gateway.admin.admission import Admission, Grant
from gateway.admin.certificates import Certificate
from gateway.admin.roles import Actor
from gateway.mechanisms.base import Authenticator
from gateway.mechanisms.policies import RequireScopes
from gateway.model.decision import Pending
from gateway.model.errors import (
    CrossSiteRequest,
    ExpiredToken,
    InsufficientScope,
    InvalidToken,
    KeysUnavailable,
    MalformedCredentials,
    MissingCredentials,
    Refusal,
    SeveralCredentials,
    StaleRevocations,
    Unavailable,
    UnknownCertificate,
    UnknownIssuer,
)
from gateway.model.principal import Principal
from gateway.model.request import InboundRequest, Peer
from tests.minting import NOW
from tests.revoking import News

TOKEN = "an-admin-token-of-more-than-32-characters"
NEXT_TOKEN = "the-next-admin-token-of-32-characters-or-more"
READ_TOKEN = "a-token-for-those-who-look-of-32-characters"
WRITE, READ = "gateway:write", "gateway:read"
CAROL = Principal(
    subject="carol",
    issuer="https://staff.example",
    type="user",
    claims={},
    scopes=frozenset(),
    issued_at=NOW,
    expires_at=NOW + 60,
    usable_until=NOW + 60,
    token_id="t1",
    client_id="console",
    authenticator="staff",
    verified_by="k1",
    marks=((b"mark of 16 bytes", NOW),),
)


class Voucher:
    """An Authenticator that says what a test wants; one that is asked later is `Pending` first."""

    def __init__(self, outcome: Principal | Refusal, *, pending: int = 0, is_mine: bool = True) -> None:
        self.name = "staff"
        self.asked = 0
        self._outcome = outcome
        self._pending = pending
        self._is_mine = is_mine

    def recall(self, token: str) -> Principal | None:
        raise AssertionError("administrators are verified anew")

    def accepts(self, token: str) -> bool:
        return self._is_mine

    def authenticate(self, token: str, now: float) -> Principal | Pending:
        self.asked += 1
        if self.asked <= self._pending:
            return Pending(_at_once)
        if isinstance(self._outcome, Refusal):
            raise self._outcome
        return self._outcome

    prove = authenticate


async def _at_once() -> None:
    return None


def admission(*authenticators: Authenticator, news: News | None = None) -> Admission:
    view = (news or News().fresh()).view
    return Admission(
        lambda: NOW,
        view,
        30,
        authenticators,
        write=Grant(digests(TOKEN, NEXT_TOKEN), [RequireScopes(scopes=(WRITE,))], ["URI:spiffe://ops/alice"]),
        read=Grant(digests(READ_TOKEN), [RequireScopes(scopes=(READ,))], ["DNS:bob.ops", "CN:bob"]),
        names=frozenset({"admin.example", "*.ops.example"}),
    )


def digests(*tokens: str) -> tuple[bytes, ...]:
    return tuple(sha256(token.encode()).digest() for token in tokens)


def request(*values: bytes, host: bytes = b"admin.example") -> InboundRequest:
    headers = [(b"Authorization", value) for value in values]
    return InboundRequest("GET", b"/", [(b"Host", host), *headers], Peer("127.0.0.1"))


def carol(*scopes: str) -> Voucher:
    return Voucher(replace(CAROL, scopes=frozenset(scopes)))


def certificate(*names: str, ends_at: float = NOW + 60) -> Certificate:
    return Certificate(frozenset(names), ends_at)


BEARER = request(b"Bearer some-token")
ADMIN = Actor("admin token", "write")
STAFF = Actor("staff:carol", "write")
ALICE = certificate("CN:alice", "URI:spiffe://ops/alice")


# --- secret tokens


async def test_the_admin_token_is_enough_whatever_is_known_of_revocations() -> None:
    assert await admission(news=News()).actor(request(b"Bearer " + TOKEN.encode())) == ADMIN
    assert await admission(news=News()).actor(request(b"bearer " + TOKEN.encode())) == ADMIN


async def test_while_the_admin_token_is_replaced_the_next_one_is_good_too() -> None:
    assert await admission().actor(request(b"Bearer " + NEXT_TOKEN.encode())) == ADMIN


async def test_the_other_file_holds_tokens_of_those_who_may_only_look() -> None:
    assert await admission().actor(request(b"Bearer " + READ_TOKEN.encode())) == Actor("read token", "read")


async def test_without_a_digest_no_token_is_the_admin_token() -> None:
    nobody = replace(admission(), write=Grant(), read=Grant())
    for token in (TOKEN, READ_TOKEN, ""):
        with pytest.raises((UnknownIssuer, MalformedCredentials)):
            await nobody.actor(request(b"Bearer " + token.encode()))


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ((), MissingCredentials),
        ((b"Basic " + TOKEN.encode(),), MissingCredentials),
        ((TOKEN.encode(),), MissingCredentials),
        ((b"Bearer " + TOKEN.encode(), b"Bearer x"), SeveralCredentials),
        ((b"Bearer " + TOKEN.encode(), b"Bearer " + TOKEN.encode()), SeveralCredentials),
        ((b"Bearer " + TOKEN.encode() + b", Bearer " + TOKEN.encode(),), MalformedCredentials),
    ],
)
async def test_there_is_one_way_to_send_it(values: tuple[bytes, ...], refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        await admission().actor(request(*values))


def test_the_digests_are_not_shown() -> None:
    assert repr(digests(TOKEN)[0]) not in repr(admission())


# --- tokens of an issuer


async def test_the_audit_log_names_who_and_by_whose_word() -> None:
    assert await admission(carol(WRITE)).actor(BEARER) == STAFF


@pytest.mark.parametrize(("scopes", "role"), [([WRITE], "write"), ([READ], "read"), ([READ, WRITE], "write")])
async def test_the_role_is_the_first_whose_requirements_are_met(scopes: list[str], role: str) -> None:
    assert (await admission(carol(*scopes)).actor(BEARER)).role == role


async def test_who_meets_neither_is_told_the_least_that_is_asked_for() -> None:
    with pytest.raises(InsufficientScope) as refusal:
        await admission(carol("orders:read")).actor(BEARER)
    assert refusal.value.scope == (READ,)
    only_write = replace(admission(carol(READ)), read=Grant())
    with pytest.raises(InsufficientScope) as refusal:
        await only_write.actor(BEARER)
    assert refusal.value.scope == (WRITE,)


async def test_where_nothing_is_required_a_valid_token_has_no_role() -> None:
    with pytest.raises(UnknownIssuer):
        await replace(admission(carol(READ, WRITE)), write=Grant(), read=Grant()).actor(BEARER)
    looks = replace(admission(carol(READ, WRITE)), write=Grant())
    assert (await looks.actor(BEARER)).role == "read"


async def test_keys_are_waited_for_but_not_for_ever() -> None:
    principal = replace(CAROL, scopes=frozenset({WRITE}))
    assert await admission(Voucher(principal, pending=2)).actor(BEARER) == STAFF
    with pytest.raises(Unavailable):
        await admission(Voucher(principal, pending=100)).actor(BEARER)


async def test_of_several_authenticators_those_are_asked_that_know_the_issuer() -> None:
    other = Voucher(ExpiredToken("x"), is_mine=False)
    assert await admission(other, carol(WRITE)).actor(BEARER) == STAFF
    assert other.asked == 0


@pytest.mark.parametrize("turn", [lambda pair: pair, lambda pair: pair[::-1]])
async def test_what_cannot_be_known_is_not_refused_as_wrong(
    turn: Callable[[tuple[Voucher, ...]], tuple[Voucher, ...]],
) -> None:
    pair = turn((Voucher(KeysUnavailable("x")), Voucher(InvalidToken("x"))))
    with pytest.raises(KeysUnavailable):
        await admission(*pair).actor(BEARER)


async def test_with_old_news_a_token_of_an_issuer_is_not_believed() -> None:
    news = News().fresh()
    guarded = admission(carol(WRITE), news=news)
    assert await guarded.actor(BEARER) == STAFF
    news.go_stale(31)
    with pytest.raises(StaleRevocations):
        await guarded.actor(BEARER)
    with pytest.raises(StaleRevocations):
        await admission(carol(WRITE), news=News()).actor(BEARER)


async def test_without_state_there_is_nothing_that_could_be_revoked() -> None:
    assert await replace(admission(carol(WRITE)), view=None).actor(BEARER) == STAFF


# --- certificates


async def test_a_certificate_with_a_name_of_an_operator_needs_no_token() -> None:
    assert await admission().actor(request(), ALICE) == Actor("certificate URI:spiffe://ops/alice", "write")
    bob = certificate("CN:bob", "DNS:bob.ops")
    assert await admission().actor(request(), bob) == Actor("certificate CN:bob", "read")


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("CN:spiffe://ops/alice",),
        ("DNS:spiffe://ops/alice",),
        ("URI:spiffe://ops/alice/x",),
        ("URI:spiffe://ops/ALICE",),
        ("DNS:x.bob.ops",),
        ("DNS:*.ops",),
        ("email:bob.ops",),
    ],
)
async def test_a_name_counts_as_a_whole_and_where_it_stands(names: tuple[str, ...]) -> None:
    with pytest.raises(UnknownCertificate):
        await admission().actor(request(), certificate(*names))


async def test_a_certificate_that_has_ended_counts_no_more_while_its_connection_lasts() -> None:
    with pytest.raises(UnknownCertificate):
        await admission().actor(request(), certificate("URI:spiffe://ops/alice", ends_at=NOW))


async def test_who_sends_a_token_is_who_the_token_proves() -> None:
    """Nobody gets more by what the connection was made with than by what was sent on purpose."""
    bearer = request(b"Bearer " + READ_TOKEN.encode())
    assert await admission().actor(bearer, ALICE) == Actor("read token", "read")
    with pytest.raises(UnknownIssuer):
        await admission().actor(BEARER, ALICE)
    with pytest.raises(MalformedCredentials):
        await admission().actor(request(b"Bearer "), ALICE)


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        (b"admin.example", True),
        (b"ADMIN.example:9443", True),
        (b"a.ops.example:9443", True),
        (b"127.0.0.1:9443", True),
        (b"[::1]:9443", True),
        (b"10.1.2.3", True),
        (b"localhost:9443", True),
        (b"attacker.example:9443", False),
        (b"admin.example.attacker.example", False),
        (b"ops.example", False),
        (b"a.b.ops.example", False),
        (b"127.0.0.1.attacker.example", False),
        (b"localhost.attacker.example", False),
    ],
)
async def test_dns_rebinding_a_certificate_is_good_under_names_that_are_ours(host: bytes, is_ours: bool) -> None:
    if is_ours:
        assert (await admission().actor(request(host=host), ALICE)).role == "write"
    else:
        with pytest.raises(CrossSiteRequest):
            await admission().actor(request(host=host), ALICE)
        assert await admission().actor(request(b"Bearer " + TOKEN.encode(), host=host), ALICE) == ADMIN
