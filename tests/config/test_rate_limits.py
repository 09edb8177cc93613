"""Rate limits in the configuration: what they become, and which cannot count as they say."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.config.compile import compile_config
from gateway.config.rate_limits import RateLimitSettings, address_limits, caller_limits
from gateway.config.schema import Config
from gateway.engine.routes import Route
from gateway.mechanisms.base import offline_resources
from tests.config.test_contradictions import config, in_route
from tests.config.test_token_contradictions import SESSIONS, STATE, found, places
from tests.minting import jwks, make_key

KEY = make_key("EdDSA", "k1")
REDIS = {"url": "redis://127.0.0.1"}
BY_ADDRESS = {"by": "client_address", "requests": 100, "per": "1m"}
BY_SUBJECT = {"by": "subject", "requests": 10, "per": "1s", "burst": 30}
BY_CLIENT = {"by": "client_id", "requests": 5, "per": 2}


def settings(**values: Any) -> RateLimitSettings:
    return RateLimitSettings.model_validate({**BY_ADDRESS, **values})


def test_a_limit_allows_its_requests_at_once_unless_it_says_otherwise() -> None:
    built = settings().build("api")
    assert (built.by, built.requests, built.per, built.burst) == ("client_address", 100, 60, 100)
    assert built.interval == pytest.approx(0.6)
    assert built.most == pytest.approx(59.4)
    assert not built.is_shared
    assert settings(burst=1, shared=True).build("api").most == 0


@pytest.mark.parametrize(
    "bad", [{"requests": 0}, {"per": 0}, {"per": "2d"}, {"burst": 0}, {"by": "session"}, {"per": "fast"}, {"every": 1}]
)
def test_what_is_no_limit_is_a_mistake(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**bad)


def test_a_limit_goes_on_counting_as_long_as_nothing_changes_what_it_allows() -> None:
    """Its name is what the counts are kept under, over a reload too."""
    name = settings().build("api").name
    assert settings().build("api").name == settings(shared=True).build("api").name == name
    others: list[dict[str, Any]] = [{"requests": 99}, {"per": "61s"}, {"burst": 7}, {"by": "subject"}]
    assert name not in {settings(**each).build("api").name for each in others}
    assert settings().build("other").name != name


def test_limits_are_told_apart_by_when_they_are_asked() -> None:
    limits = [RateLimitSettings.model_validate(each) for each in (BY_ADDRESS, BY_SUBJECT, BY_CLIENT)]
    assert [each.by for each in address_limits(limits, "api")] == ["client_address"]
    assert [each.by for each in caller_limits(limits, "api")] == ["subject", "client_id"]


def limits_of(route: Route) -> list[str]:
    return [limit.by for limit in (*route.address_limits, *route.caller_limits)]


def test_a_route_has_its_own_limits_or_those_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "staff.json").write_bytes(jwks(KEY))
    changes: dict[str, dict[str, Any]] = {
        "usual": {},
        "own": {"rate_limits": [BY_CLIENT]},
        "none": {"rate_limits": []},
        "public": {"access": "public"},
    }
    routes = [
        {"id": name, "match": {"path": f"/{name}"}, "upstream": "orders", **more} for name, more in changes.items()
    ]
    staff = {"type": "jwt", "issuer": "https://i.example", "audiences": ["a"], "jwks_file": "staff.json"}
    whole = config(routes=routes, rate_limits=[BY_ADDRESS, BY_SUBJECT], authenticators={"staff": staff})
    snapshot = compile_config(Config.model_validate(whole), offline_resources(tmp_path))
    assert {route.id: limits_of(route) for route in snapshot.routes.routes} == {
        "usual": ["client_address", "subject"],
        "own": ["client_id"],
        "none": [],
        "public": ["client_address"],
    }


def test_shared_counts_need_redis() -> None:
    shared = [{**BY_ADDRESS, "shared": True}]
    sessions = {**SESSIONS, "rate_limits": shared}
    everywhere: dict[str, Any] = {"rate_limits": shared, "routes": in_route(rate_limits=[BY_SUBJECT, *shared])}
    assert places(**everywhere) == ["rate_limits[0].shared", "routes[0].rate_limits[1].shared"]
    told = found(state=STATE, sessions=sessions, **everywhere)
    assert list(told) == [
        "rate_limits[0].shared",
        "sessions.rate_limits[0].shared",
        "routes[0].rate_limits[1].shared",
    ]
    assert "redis://" in told["rate_limits[0].shared"]
    for url in ("redis://127.0.0.1", "redis+sentinel://127.0.0.1/main", "redis+cluster://127.0.0.1"):
        assert places(state={"url": url}, sessions=sessions, **everywhere) == []


def test_a_public_route_has_no_callers_to_count() -> None:
    public = in_route(access="public", rate_limits=[BY_ADDRESS, BY_SUBJECT, BY_CLIENT])
    assert places(routes=public) == ["routes[0].rate_limits[1].by", "routes[0].rate_limits[2].by"]
    assert places(routes=in_route(access="public"), rate_limits=[BY_ADDRESS, BY_SUBJECT]) == []
    assert places(routes=in_route(access="optional", rate_limits=[BY_SUBJECT])) == []


def test_the_same_limit_twice_is_a_mistake() -> None:
    again = {**BY_ADDRESS, "per": 60, "burst": 100}
    told = found(rate_limits=[BY_ADDRESS, BY_SUBJECT, again], routes=in_route(rate_limits=[BY_ADDRESS, BY_ADDRESS]))
    assert list(told) == ["rate_limits[2]", "routes[0].rate_limits[1]"]
    assert told["rate_limits[2]"] == "is the same limit as rate_limits[0]"


def test_the_endpoints_know_addresses_only() -> None:
    with pytest.raises(ValidationError):
        found(state=REDIS, sessions={**SESSIONS, "rate_limits": [BY_SUBJECT]})
