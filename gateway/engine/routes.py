"""Routes, and the table that finds the one for a request.

The most specific route wins: exact host before the longest wildcard before any host; then, segment by segment, a
literal before a parameter before `**`; then a named method before any. A route that does not take the method is no
candidate. The cost of a look-up grows with the depth of the path, not with the number of routes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import inf
from sys import intern
from typing import Literal

from gateway.engine.cors import CorsPolicy
from gateway.engine.paths import PathPattern, Target
from gateway.mechanisms.base import Authenticator, Mutator, Policy, TokenSource
from gateway.model.tally import RouteTally
from gateway.state.rate_limit import RateLimit

Access = Literal["protected", "optional", "public"]
WhenStale = Literal["closed", "open", "hybrid"]


@dataclass(frozen=True, eq=False)
class Route:
    """One compiled route. `inject_key` is the same for routes with the same `inject` list, now and after a reload.

    Durations are seconds. `rewrite` is (prefix, replacement). `renew_below` is a share of an access token's life: with
    less of it left, the answer carries a new one. `is_own`: it is served by the gateway itself. Rate limits by address
    are apart from those by subject or client. `tally` counts its requests, before and after a reload.
    """

    id: str
    path: PathPattern
    upstream: str
    hosts: tuple[str, ...] = ()
    methods: tuple[str, ...] | None = None
    access: Access = "protected"
    sources: tuple[TokenSource, ...] = ()
    authenticators: tuple[Authenticator, ...] = ()
    allow_several_credentials: bool = False
    policies: tuple[Policy, ...] = ()
    mutators: tuple[Mutator, ...] = ()
    inject_key: str = ""
    forward_token: bool = False
    rewrite: tuple[str, str] | None = None
    encoded_slashes: bool = False
    upgrades: frozenset[bytes] = frozenset()
    cors: CorsPolicy | None = None
    body_bytes: int | None = None
    first_byte_timeout: float = 60
    idle_timeout: float = 300
    expiry_grace: float = 0
    max_staleness: float = 30
    when_stale: WhenStale = "closed"
    renew_below: float = 0
    refresh_inline: bool = False
    is_own: bool = False
    address_limits: tuple[RateLimit, ...] = ()
    caller_limits: tuple[RateLimit, ...] = ()
    tally: RouteTally = field(default_factory=RouteTally)

    @property
    def refuses_when_stale(self) -> bool:
        """Whether there are callers whom it refuses when the news of revocations is too old."""
        return self.access != "public" and self.when_stale != "open"

    def asks_for_other_things_than(self, other: "Route") -> bool:
        """Whether a caller that the other route lets through is not sure to be let through by this one."""
        if self is other or self.access == "public":
            return False
        mine = (self.access, self.authenticators, self.policies, self.max_staleness, self.when_stale)
        return mine != (other.access, other.authenticators, other.policies, other.max_staleness, other.when_stale)

    def forwarded(self, target: Target) -> bytes:
        """Return path and query as the upstream shall see them."""
        if self.rewrite is None:
            return target.text
        prefix, replacement = self.rewrite
        return ((replacement + target.path.removeprefix(prefix)) or "/").encode() + target.query


class IndistinguishableRoutes(Exception):
    """Two routes of which neither is ever more specific than the other."""

    def __init__(self, first: Route, second: Route) -> None:
        super().__init__(f'routes "{first.id}" and "{second.id}" match the same requests')
        self.first = first
        self.second = second


@dataclass
class _Methods:
    """Routes for the same paths. `any` takes the methods that no other takes."""

    any: Route | None = None
    by_name: dict[str, Route] = field(default_factory=dict)

    def add(self, route: Route) -> None:
        if route.methods is None:
            if self.any is not None:
                raise IndistinguishableRoutes(self.any, route)
            self.any = route
            return
        for method in route.methods:
            if (other := self.by_name.setdefault(method, route)) is not route:
                raise IndistinguishableRoutes(other, route)

    def get(self, method: str) -> Route | None:
        route = self.by_name.get(method)
        if route is None and method == "HEAD":
            route = self.by_name.get("GET")
        return route or self.any


def _with(routes: Route | _Methods | None, route: Route) -> Route | _Methods:
    """Return the routes for some paths and one more. One that takes all methods stands for itself."""
    if routes is None and route.methods is None:
        return route
    methods = routes if isinstance(routes, _Methods) else _Methods(routes)
    methods.add(route)
    return methods


def _for_method(routes: Route | _Methods | None, method: str) -> Route | None:
    return routes.get(method) if isinstance(routes, _Methods) else routes


_Way = tuple[str | None, ...]
"""Segments to pass, None for a parameter."""


@dataclass
class _Node:
    """Where a way through the tree has come to: the routes whose paths `end` here, and those for all the `rest`.

    Where nothing branches any more, one node stands for all that follows: its routes are at the end of the `tail`, and
    it has none below. Most other nodes have one literal below them: that takes no dictionary.
    """

    tail: _Way = ()
    segment: str | None = None
    child: "_Node | None" = None
    more: dict[str, "_Node"] | None = None
    parameter: "_Node | None" = None
    end: Route | _Methods | None = None
    rest: Route | _Methods | None = None

    def add(self, route: Route, tails: dict[_Way, _Way]) -> None:
        """Add a route below. `tails` are those of the whole table: what is the same is kept once."""
        node, left = self, route.path.segments
        while left != node.tail:
            node._grow()
            if not left:
                break
            segment, left = left[0], left[1:]
            below = node.parameter if segment is None else node.literal(segment)
            if below is None:
                below = _Node(tails.setdefault(left, left))
                node._put(segment, below)
            node = below
        if route.path.rest:
            node.rest = _with(node.rest, route)
        else:
            node.end = _with(node.end, route)

    def literal(self, segment: str) -> "_Node | None":
        """Return the node below this one for a literal segment."""
        if segment == self.segment:
            return self.child
        return None if self.more is None else self.more.get(segment)

    def _put(self, segment: str | None, node: "_Node") -> None:
        if segment is None:
            self.parameter = node
        elif self.child is None:
            self.segment, self.child = intern(segment), node
        else:
            self.more = self.more or {}
            self.more[intern(segment)] = node

    def _grow(self) -> None:
        """Let the first segment of the tail be a node of its own: something is to be added beside what follows."""
        if self.tail:
            segment, tail = self.tail[0], self.tail[1:]
            self._put(segment, _Node(tail, end=self.end, rest=self.rest))
            self.tail, self.end, self.rest = (), None, None

    def _passes(self, segments: list[str], position: int) -> bool:
        """Say whether a path has the tail at this position."""
        if len(segments) - position < len(self.tail):
            return False
        for wanted in self.tail:
            segment = segments[position]
            if segment != wanted and (wanted is not None or not segment):
                return False
            position += 1
        return True

    def find(self, segments: list[str], position: int, method: str) -> Route | None:
        """Return the most specific route at or below this node, for what is left of the path."""
        node = self
        passed = []
        route = None
        while True:
            if node.tail:
                if not node._passes(segments, position):
                    break
                position += len(node.tail)
            if node.rest is not None:
                passed.append(node.rest)
            if position == len(segments) or node.parameter is not None:
                route = node._choose(segments, position, method)
                break
            child = node.literal(segments[position])
            if child is None:
                break
            node = child
            position += 1
        while route is None and passed:
            route = _for_method(passed.pop(), method)
        return route

    def _choose(self, segments: list[str], position: int, method: str) -> Route | None:
        """Look here at the end of the path; elsewhere try both ways on, the literal first."""
        if position == len(segments):
            return _for_method(self.end, method)
        segment = segments[position]
        child = self.literal(segment)
        route = child.find(segments, position + 1, method) if child is not None else None
        if route is None and self.parameter is not None and segment:
            route = self.parameter.find(segments, position + 1, method)
        return route


class RouteTable:
    """Finds the route for a canonical host, method and path. Raises IndistinguishableRoutes when built.

    `own` are the routes of the gateway itself: they win over all others.
    """

    def __init__(self, routes: Iterable[Route], own: Iterable[Route] = ()) -> None:
        self.routes = tuple(routes)
        self.least_staleness = min((each.max_staleness for each in self.routes if each.refuses_when_stale), default=inf)
        """How old the news of revocations may be before the first route refuses somebody for that."""
        self.own = tuple(own)
        self._own: _Node | None = None
        tails: dict[_Way, _Way] = {}
        for route in self.own:
            self._own = self._own or _Node()
            self._own.add(route, tails)
        self._exact: dict[str, _Node] = {}
        self._wildcard: dict[str, _Node] = {}
        self._any = _Node()
        for route in self.routes:
            for tree in self._trees(route.hosts):
                tree.add(route, tails)

    def _trees(self, hosts: tuple[str, ...]) -> list[_Node]:
        if not hosts:
            return [self._any]
        return [
            self._wildcard.setdefault(host[2:], _Node())
            if host.startswith("*.")
            else self._exact.setdefault(host, _Node())
            for host in dict.fromkeys(hosts)
        ]

    def find(self, host: str, method: str, path: str) -> Route | None:
        """Return the most specific route, or None."""
        segments = path[1:].split("/")
        if self._own is not None and (route := self._own.find(segments, 0, method)) is not None:
            return route
        if (tree := self._exact.get(host)) is not None and (route := tree.find(segments, 0, method)) is not None:
            return route
        if self._wildcard and (route := self._find_wildcard(host, segments, method)) is not None:
            return route
        return self._any.find(segments, 0, method)

    def _find_wildcard(self, host: str, segments: list[str], method: str) -> Route | None:
        _, dot, parent = host.partition(".")
        while dot:
            if (tree := self._wildcard.get(parent)) is not None and (
                route := tree.find(segments, 0, method)
            ) is not None:
                return route
            _, dot, parent = parent.partition(".")
        return None
