from typing import Any

import pytest

from gateway.config.contradictions import contradictions
from gateway.config.draft import whole_draft
from gateway.config.mistakes import shown_path
from gateway.config.schema import Config
from tests.config.test_contradictions import config, in_route, issuer

SESSIONS = {
    "issuer": "https://gw.example",
    "audiences": ["https://api.example"],
    "key_file": "keys.json",
    "clients": {"web": {"type": "public"}},
}
STATE = {"url": "sqlite:state.db"}
WITH_SESSIONS: dict[str, Any] = {
    "state": STATE,
    "sessions": SESSIONS,
    "authenticators": {"own": {"type": "issued"}, "staff": issuer("staff")},
}
OWN = {"authenticators": ["own"]}


def found(**sections: Any) -> dict[str, str]:
    draft = whole_draft(Config.model_validate(config(**sections)))
    return {shown_path(path): message for path, message in contradictions(draft)}


def places(**sections: Any) -> list[str]:
    return list(found(**sections))


def test_revocation_needs_state() -> None:
    route = in_route(revocation={"when_stale": "open"})
    assert places(revocation={"max_staleness": 5}, routes=route) == ["revocation", "routes[0].revocation"]
    assert places(revocation={"max_staleness": 5}, routes=route, state=STATE) == []


def test_new_tokens_need_sessions_and_somebody_who_takes_them() -> None:
    route = in_route(renew="header", refresh_inline=True)
    assert places(routes=route) == ["routes[0].renew", "routes[0].refresh_inline"]
    staff = in_route(renew="header", authenticators=["staff"])
    assert "type: issued" in found(**WITH_SESSIONS, routes=staff)["routes[0].renew"]
    assert places(**WITH_SESSIONS, routes=in_route(renew="header", refresh_inline=True, **OWN)) == []


def test_a_refresh_token_must_be_looked_for_and_be_enough() -> None:
    elsewhere = in_route(refresh_inline=True, token_from=[{"cookie": "at"}], **OWN)
    assert places(**WITH_SESSIONS, routes=elsewhere) == ["routes[0].refresh_inline"]
    bound = {**WITH_SESSIONS, "sessions": {**SESSIONS, "exchange": {"access_token": "bound"}}}
    assert places(**bound, routes=in_route(refresh_inline=True, **OWN)) == ["routes[0].refresh_inline"]


@pytest.mark.parametrize(
    ("headers", "place"),
    [
        ({"access_token": "Set-Cookie"}, "headers.access_token"),
        ({"refresh_token": "Cache-Control"}, "headers.refresh_token"),
        ({"refresh_token": "x-access-token"}, "headers.refresh_token"),
        ({"degraded": "Authorization"}, "headers.degraded"),
        ({"degraded": "x-request-id"}, "headers.degraded"),
    ],
)
def test_headers_of_the_gateway_mean_one_thing(headers: dict[str, str], place: str) -> None:
    assert places(headers=headers) == [place]


@pytest.mark.parametrize(
    "settings",
    [
        {"access": "public", "renew": "header"},
        {"access": "public", "refresh_inline": True},
        {"access": "public", "revocation": {}},
        {"access": "public", "expiry_grace": 5},
        {"refresh_inline": True, "forward_token": True},
    ],
)
def test_a_route_that_looks_at_no_token_or_forwards_it_makes_none(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"public route|never reaches an upstream"):
        Config.model_validate(config(routes=in_route(**settings)))


@pytest.mark.parametrize("early", ["reject", "theft"])
def test_a_client_that_lost_a_renewed_token_is_no_thief(early: str) -> None:
    eager = {**WITH_SESSIONS, "sessions": {**SESSIONS, "exchange": {"early": early}}}
    assert places(**eager, routes=in_route(renew="header", **OWN)) == ["routes[0].renew"]
    assert places(**eager, routes=in_route(**OWN)) == []
