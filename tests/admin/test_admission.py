"""Who may use the admin API."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest

from gateway.admin.admission import Admission
from gateway.mechanisms.base import Authenticator
from gateway.model.decision import Pending
from gateway.model.errors import (
    ExpiredToken,
    InvalidToken,
    KeysUnavailable,
    MissingCredentials,
    Refusal,
    SeveralCredentials,
    StaleRevocations,
    Unavailable,
    UnknownIssuer,
)
from gateway.model.principal import Principal
from gateway.model.request import InboundRequest, Peer
from tests.minting import NOW
from tests.revoking import News

TOKEN = "an-admin-token-of-more-than-32-characters"
NEXT_TOKEN = "the-next-admin-token-of-32-characters-or-more"
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
    digests = tuple(sha256(token.encode()).digest() for token in (TOKEN, NEXT_TOKEN))
    return Admission(lambda: NOW, view, 30, digests, authenticators)


def request(*values: bytes) -> InboundRequest:
    return InboundRequest("GET", b"/", [(b"Authorization", value) for value in values], Peer("127.0.0.1"))


BEARER = request(b"Bearer some-token")


async def test_the_admin_token_is_enough_whatever_is_known_of_revocations() -> None:
    assert await admission(news=News()).actor(request(b"Bearer " + TOKEN.encode())) == "admin token"
    assert await admission(news=News()).actor(request(b"bearer " + TOKEN.encode())) == "admin token"


async def test_while_the_admin_token_is_replaced_the_next_one_is_good_too() -> None:
    assert await admission().actor(request(b"Bearer " + NEXT_TOKEN.encode())) == "admin token"


async def test_without_a_digest_no_token_is_the_admin_token() -> None:
    nobody = replace(admission(), token_digests=())
    with pytest.raises(UnknownIssuer):
        await nobody.actor(request(b"Bearer " + TOKEN.encode()))


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ((), MissingCredentials),
        ((b"Basic " + TOKEN.encode(),), MissingCredentials),
        ((TOKEN.encode(),), MissingCredentials),
        ((b"Bearer " + TOKEN.encode(), b"Bearer x"), SeveralCredentials),
    ],
)
async def test_there_is_one_way_to_send_it(values: tuple[bytes, ...], refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        await admission().actor(request(*values))


async def test_the_audit_log_names_who_and_by_whose_word() -> None:
    assert await admission(Voucher(CAROL)).actor(BEARER) == "staff:carol"


async def test_keys_are_waited_for_but_not_for_ever() -> None:
    assert await admission(Voucher(CAROL, pending=2)).actor(BEARER) == "staff:carol"
    with pytest.raises(Unavailable):
        await admission(Voucher(CAROL, pending=100)).actor(BEARER)


async def test_of_several_authenticators_those_are_asked_that_know_the_issuer() -> None:
    other = Voucher(ExpiredToken("x"), is_mine=False)
    assert await admission(other, Voucher(CAROL)).actor(BEARER) == "staff:carol"
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
    guarded = admission(Voucher(CAROL), news=news)
    assert await guarded.actor(BEARER) == "staff:carol"
    news.go_stale(31)
    with pytest.raises(StaleRevocations):
        await guarded.actor(BEARER)
    with pytest.raises(StaleRevocations):
        await admission(Voucher(CAROL), news=News()).actor(BEARER)


def test_the_digest_is_not_shown() -> None:
    assert "token_digests" not in repr(admission())
