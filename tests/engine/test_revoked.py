from collections.abc import Callable
from typing import Any

import pytest

from gateway.engine.revoked import passes_stale, refuse_revoked
from gateway.engine.routes import WhenStale
from gateway.model.errors import RevokedToken, StaleRevocations
from gateway.model.request import InboundRequest
from tests.judging import principal, request, route
from tests.revoking import News, standing_still

UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")
ALICE: dict[str, Any] = {"marks": ((b"a" * 16, 7), (b"session of alice", 7))}
RULES: tuple[WhenStale, ...] = ("closed", "open", "hybrid")


def news() -> News:
    return News(standing_still)


@pytest.mark.parametrize("when_stale", RULES)
def test_nobody_passes_before_the_first_snapshot(when_stale: WhenStale) -> None:
    """C28"""
    with pytest.raises(StaleRevocations):
        refuse_revoked(news().view, route(when_stale=when_stale), principal(**ALICE), request())


@pytest.mark.parametrize("mark", [b"a" * 16, b"session of alice"])
@pytest.mark.parametrize("when_stale", RULES)
def test_a_revoked_token_is_refused_by_any_of_its_marks_and_however_old_the_news_is(
    mark: bytes, when_stale: WhenStale
) -> None:
    """C18"""
    brought, on = news().fresh(), route(when_stale=when_stale)
    alice, bob = principal(**ALICE), principal(marks=((b"b" * 16, 7),))
    assert refuse_revoked(brought.view, on, alice, request()) is False
    brought.revoke_mark(mark)
    with pytest.raises(RevokedToken):
        refuse_revoked(brought.view, on, alice, request())
    assert refuse_revoked(brought.view, on, bob, request()) is False
    brought.go_stale(3600)
    with pytest.raises(RevokedToken):
        refuse_revoked(brought.view, on, alice, request())


@pytest.mark.parametrize("max_staleness", [0.5, 30])
def test_news_is_good_up_to_the_limit_of_the_route(max_staleness: float) -> None:
    brought, on = news().fresh(), route(max_staleness=max_staleness)
    brought.go_stale(max_staleness)
    assert refuse_revoked(brought.view, on, principal(**ALICE), request()) is False
    brought.go_stale(0.25)
    with pytest.raises(StaleRevocations):
        refuse_revoked(brought.view, on, principal(**ALICE), request())
    brought.fresh()
    assert refuse_revoked(brought.view, on, principal(**ALICE), request()) is False


def test_an_open_route_passes_and_says_that_it_did_not_know() -> None:
    brought = news().fresh()
    brought.go_stale(31)
    assert refuse_revoked(brought.view, route(when_stale="open"), principal(**ALICE), request()) is True


@pytest.mark.parametrize(
    ("when_stale", "asked", "passes"),
    [
        ("closed", request, False),
        ("open", lambda: request(method="DELETE"), True),
        ("open", lambda: request(*UPGRADE), True),
        ("hybrid", request, True),
        ("hybrid", lambda: request(method="HEAD"), True),
        ("hybrid", lambda: request(method="POST"), False),
        ("hybrid", lambda: request(method="OPTIONS"), False),
        ("hybrid", lambda: request(*UPGRADE), False),
    ],
)
def test_a_hybrid_route_passes_only_what_reads(
    when_stale: WhenStale, asked: Callable[[], InboundRequest], passes: bool
) -> None:
    assert passes_stale(route(when_stale=when_stale), asked()) is passes
