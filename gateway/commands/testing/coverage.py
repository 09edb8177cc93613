"""Which routes the cases have tried, and which routes no request can come to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.commands.testing.judging import Outcome
from gateway.config.snapshot import Snapshot
from gateway.engine.routes import Route
from gateway.insight.explaining.near import pattern
from gateway.model.errors import Refusal
from gateway.model.request import InboundRequest, Peer

_USUAL_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_SEGMENT = "any-0f3c9a"
"""Stands for a segment or a label that no route names."""


@dataclass(frozen=True, slots=True)
class Covered:
    """How often cases came to a route. `lacks` says in words what none of them has shown."""

    route: str
    allowed: int
    refused: int
    lacks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Shadowed:
    """A route, or a method of it, whose requests are all taken by others."""

    route: str
    method: str | None
    by: tuple[str, ...]

    def __str__(self) -> str:
        what = "no request" if self.method is None else f"no {self.method}"
        others = ", ".join(self.by) or "nothing: they are refused before"
        return f"{what} comes to route {self.route}: all are taken by {others}"


def coverage(routes: Iterable[Route], outcomes: Iterable[Outcome]) -> list[Covered]:
    """Return what the cases have shown of each route. One for everybody cannot refuse, but to misfits."""
    seen = [(outcome.route, outcome.decision) for outcome in outcomes]
    found = []
    for route in routes:
        allowed, refused = seen.count((route.id, "allow")), seen.count((route.id, "refuse"))
        lacks = () if allowed else ("nobody was allowed",)
        if not refused and route.access == "protected":
            lacks = (*lacks, "nobody was refused")
        found.append(Covered(route.id, allowed, refused, lacks))
    return found


def shadowed(snapshot: Snapshot) -> Iterator[Shadowed]:
    """Yield the routes and methods that are of no use: for every kind of request that they match, there is another
    route that is more specific.
    """
    for route in snapshot.routes.routes:
        methods = route.methods or _USUAL_METHODS
        takers = {method: _takers(snapshot, route, method) for method in methods}
        missed = [method for method, by in takers.items() if route.id not in by]
        if len(missed) == len(methods):
            yield Shadowed(route.id, None, tuple(dict.fromkeys(by for found in takers.values() for by in found)))
        elif route.methods is not None:
            for method in missed:
                yield Shadowed(route.id, method, takers[method])


def _takers(snapshot: Snapshot, route: Route, method: str) -> tuple[str, ...]:
    """Return the ids of the routes that take the requests with this method that a route matches."""
    taken = (_taker(snapshot, host, method, path) for host in _hosts(route) for path in _paths(route))
    return tuple(dict.fromkeys(name for name in taken if name is not None))


def _taker(snapshot: Snapshot, host: str, method: str, path: str) -> str | None:
    request = InboundRequest(method, path.encode(), [(b"Host", host.encode())], Peer("192.0.2.1"))
    keeper = snapshot.gatekeeper
    try:
        return keeper.match(request, *keeper.locate(request)).id
    except Refusal:
        return None


def _hosts(route: Route) -> Iterator[str]:
    for host in route.hosts or (f"{_SEGMENT}.test",):
        yield host.replace("*", _SEGMENT)


def _paths(route: Route) -> Iterator[str]:
    """Yield one path of each kind that a pattern matches."""
    fixed = pattern(route).removesuffix("/**").replace("{}", _SEGMENT)
    if not route.path.rest:
        yield fixed
        return
    for below in ("", "/", f"/{_SEGMENT}", f"/{_SEGMENT}/", f"/{_SEGMENT}/{_SEGMENT}"):
        yield fixed + below or "/"
