"""The routes as they work, and what happened on each."""

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from heapq import nlargest
from typing import Any

from gateway.config.snapshot import Snapshot
from gateway.engine.routes import Route, RouteTable
from gateway.insight.counting import route_counts
from gateway.insight.explaining.near import pattern
from gateway.state.rate_limit import RateLimit
from gateway.telemetry.access_log import PASSED


def routes(snapshot: Snapshot, search: str, limit: int, offset: int) -> dict[str, Any]:
    """Return those routes whose id, path, host or upstream has the text in it, by id."""
    found = [route for text, route in _in_order(snapshot.routes) if search in text]
    return {"total": len(found), "routes": [shown_route(route) for route in found[offset : offset + limit]]}


def refusing_routes(snapshot: Snapshot, search: str, most: int) -> dict[str, Any]:
    """Return those of them that have refused something, that with most refusals first."""
    found = [route for text, route in _in_order(snapshot.routes) if search in text and _refusals(route)]
    first = nlargest(most, found, key=_refusals)
    return {"total": len(found), "routes": [shown_route(route) for route in first]}


def refusing_routes_together(answers: Sequence[dict[str, Any]], most: int) -> dict[str, Any]:
    """Return the same of several processes."""
    rows: dict[str, dict[str, Any]] = {}
    for answer in answers:
        for row in answer["routes"]:
            _add(rows.setdefault(row["id"], {**row, "requests": {}, "decisions": {}}), row)
    first = nlargest(most, rows.values(), key=lambda row: _refused(row["decisions"].items()))
    return {"total": max(answer["total"] for answer in answers), "routes": first}


def route(snapshot: Snapshot, route_id: str | None) -> dict[str, Any] | None:
    """Return one route; None if there is none of this id now."""
    return next((shown_route(route) for _, route in _in_order(snapshot.routes) if route.id == route_id), None)


def shown_route(route: Route) -> dict[str, Any]:
    return {
        "id": route.id,
        "path": pattern(route),
        "hosts": list(route.hosts),
        "methods": None if route.methods is None else list(route.methods),
        "access": route.access,
        "upstream": route.upstream,
        "authenticators": [authenticator.name for authenticator in route.authenticators],
        "require": [policy.words for policy in route.policies],
        "token_from": [] if route.access == "public" else [source.place for source in route.sources],
        "rate_limits": [_shown_limit(limit) for limit in (*route.address_limits, *route.caller_limits)],
        "own": route.is_own,
        **route_counts(route.tally),
    }


def routes_together(answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the routes of several processes, with the sums of what happened on them."""
    first, *others = answers
    rows = {row["id"]: row for row in first["routes"]}
    for answer in others:
        for other in answer["routes"]:
            if (row := rows.get(other["id"])) is not None:
                _add(row, other)
    return first


def _add(row: dict[str, Any], other: dict[str, Any]) -> None:
    for counts in ("requests", "decisions"):
        row[counts] = dict(Counter(row[counts]) + Counter(other[counts]))


def _refusals(route: Route) -> int:
    return _refused(route.tally.decisions())


def _refused(decisions: Iterable[tuple[str, int]]) -> int:
    return sum(number for reason, number in decisions if reason not in PASSED)


@lru_cache(1)
def _in_order(table: RouteTable) -> tuple[tuple[str, Route], ...]:
    """Return the routes, by id, with what is searched of each: made once, as there may be thousands."""
    ordered = sorted((*table.routes, *table.own), key=lambda route: (route.is_own, route.id))
    return tuple((" ".join((route.id, pattern(route), *route.hosts, route.upstream)), route) for route in ordered)


def _shown_limit(limit: RateLimit) -> str:
    return f"{limit.requests} in {limit.per:g} s by {limit.by}"
