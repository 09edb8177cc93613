"""Routes that do the same with a request have in common what that takes, and nothing else."""

from typing import Any

from gateway.config.compile import compile_config
from gateway.config.schema import Config
from gateway.engine.routes import Route
from gateway.mechanisms.base import offline_resources
from tests.config.test_contradictions import config
from tests.minting import jwks, make_key

KEY = make_key("EdDSA", "k1")
LIMIT = {"by": "client_address", "requests": 100, "per": "1m"}


def routes(tmp_path: Any, *routes: dict[str, Any], **sections: Any) -> tuple[Route, ...]:
    (tmp_path / "jwks.json").write_bytes(jwks(KEY))
    whole = config(routes=[{"upstream": "orders", **each} for each in routes], **sections)
    return compile_config(Config.model_validate(whole), offline_resources(tmp_path)).routes.routes


def route(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "match": {"path": f"/{name}"}, **more}


def test_routes_that_do_the_same_share_what_it_takes(tmp_path: Any) -> None:
    require = [{"scopes": ["orders:read"]}]
    one, other = routes(tmp_path, route("one", require=require), route("other", require=require))
    assert (one.id, other.id) == ("one", "other")
    assert one.path != other.path
    assert one.policies is other.policies
    assert one.sources is other.sources
    assert one.tally is not other.tally


def test_a_requirement_of_true_is_not_that_of_one(tmp_path: Any) -> None:
    wanted = (
        [{"claim": "level", "equals": 1}],
        [{"claim": "level", "equals": True}],
        [{"claim": "level", "equals": 1.5}],
    )
    found = routes(tmp_path, *(route(f"r{number}", require=each) for number, each in enumerate(wanted)))
    values = [each.policies[0].equals for each in found]  # type: ignore[attr-defined]
    assert [(type(value), value) for value in values] == [(int, 1), (bool, True), (float, 1.5)]


def test_each_route_counts_requests_against_limits_of_its_own(tmp_path: Any) -> None:
    one, other = routes(tmp_path, route("one"), route("other"), rate_limits=[LIMIT])
    assert [each.address_limits[0].name.split()[0] for each in (one, other)] == ["one", "other"]


def test_routes_with_other_methods_allow_other_methods_across_origins(tmp_path: Any) -> None:
    reads = {"id": "reads", "match": {"path": "/x", "methods": ["GET"]}}
    writes = {"id": "writes", "match": {"path": "/x", "methods": ["POST"]}}
    found = routes(tmp_path, reads, writes, cors={"origins": ["https://app.example"]})
    assert [each.cors.methods for each in found if each.cors is not None] == [("GET",), ("POST",)]
