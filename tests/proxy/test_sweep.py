"""When the sweep goes through the connections, and what it does with what it finds there."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.engine.gatekeeper import Gatekeeper
from gateway.engine.routes import Route, RouteTable
from gateway.model.decision import Allow
from gateway.model.errors import Refusal, RevokedToken, StaleRevocations
from gateway.model.principal import Principal
from gateway.proxy.plane import DataPlane
from gateway.proxy.sweep import Sweep
from tests.issuing import Clock
from tests.judging import principal, request, route
from tests.minting import NOW
from tests.revoking import News, standing_still

ALICE, BOB = principal(marks=((b"session of alice", 1),)), principal(marks=((b"session of bob..", 1),))


@dataclass(eq=False)
class Connection:
    """A connection with a request under way: of a caller, on a route."""

    plane: "Plane"
    principal: Principal | None
    route: Route
    error: Exception | None = None
    cuts: list[Refusal] = field(default_factory=list)
    looks: int = 0
    is_aborted: bool = False
    snapshot: Any = None
    """The one that the request began with; by default that of the plane."""

    @property
    def relay(self) -> Any:
        self.looks += 1
        allow = Allow(self.route, b"/", self.principal, b"")
        return SimpleNamespace(
            principal=self.principal,
            route=self.route,
            allow=allow,
            request=request(),
            snapshot=self.snapshot or self.plane.snapshot,
            cut=self._cut,
        )

    def _cut(self, refusal: Refusal) -> None:
        self.cuts.append(refusal)
        if self.error is not None:
            raise self.error

    def abort(self) -> None:
        self.is_aborted = True


class Plane:
    """What a sweep needs of a data plane."""

    def __init__(self, *routes: Route, news: News | None) -> None:
        table = RouteTable(routes)
        limits: dict[str, Any] = {"token_bytes": 1, "identity_bytes": 1, "principal_type_header": "X-Type"}
        keeper = Gatekeeper(table, Clock(NOW), revocations=None if news is None else news.view, **limits)
        self.snapshot = SimpleNamespace(gatekeeper=keeper, routes=table)
        self.connections: dict[Connection, None] = {}
        self.bugs: list[BaseException | None] = []

    def add(self, principal: Principal | None, route: Route, error: Exception | None = None) -> Connection:
        connection = Connection(self, principal, route, error)
        self.connections[connection] = None
        return connection

    def report_bug(self, place: str, error: BaseException | None) -> None:
        self.bugs.append(error)


@pytest.fixture
def news() -> News:
    return News(standing_still).fresh()


def swept(plane: Plane) -> Sweep:
    """Return a sweep that has had its first look."""
    sweep = Sweep(cast(DataPlane, plane))
    sweep.deadline_passed(0)
    return sweep


def test_it_has_its_turn_at_every_tick() -> None:
    sweep = swept(Plane(news=None))
    assert sweep.deadline <= 0


def test_without_state_nobody_is_looked_at() -> None:
    plane = Plane(news=None)
    connection = plane.add(ALICE, route())
    swept(plane).deadline_passed(1)
    assert connection.looks == 0


def test_while_nothing_is_revoked_nobody_is_looked_at(news: News) -> None:
    plane = Plane(route(), news=news)
    sweep = swept(plane)
    connection = plane.add(ALICE, route())
    news.go_stale(30)
    sweep.deadline_passed(1)
    assert connection.looks == 0


def test_a_revocation_cuts_whom_it_concerns_and_nobody_else(news: News) -> None:
    plane = Plane(route(), news=news)
    connections = [plane.add(who, route()) for who in (ALICE, BOB, None)]
    sweep = swept(plane)
    news.revoke(ALICE)
    sweep.deadline_passed(1)
    sweep.deadline_passed(2)
    assert [[type(each) for each in connection.cuts] for connection in connections] == [[RevokedToken], [], []]
    assert [connection.looks for connection in connections] == [2, 2, 2]


def test_stale_news_cuts_each_route_at_its_own_limit(news: News) -> None:
    early, late, never = (
        route("/a", max_staleness=10),
        route("/b", max_staleness=20, when_stale="hybrid"),
        route("/c", max_staleness=1, when_stale="open"),
    )
    plane = Plane(early, late, never, news=news)
    connections = [plane.add(ALICE, each) for each in (early, late, never)]
    sweep = swept(plane)
    news.go_stale(10.25)
    sweep.deadline_passed(1)
    assert [[type(each) for each in connection.cuts] for connection in connections] == [[StaleRevocations], [], []]


def test_what_was_let_through_between_two_looks_at_stale_news_is_found(news: News) -> None:
    plane = Plane(route(), news=news)
    sweep = swept(plane)
    news.go_stale(31)
    sweep.deadline_passed(1)
    connection = plane.add(ALICE, route())
    sweep.deadline_passed(2)
    assert [type(each) for each in connection.cuts] == [StaleRevocations]


def test_stale_news_cut_by_the_limit_of_the_snapshot_that_a_request_began_with(news: News) -> None:
    """After a reload, a stricter limit of before still holds for what is under way, as long as it is."""
    strict, lax = route(max_staleness=10), route(max_staleness=1000)
    plane = Plane(strict, news=news)
    connection = plane.add(ALICE, strict)
    connection.snapshot = plane.snapshot
    sweep = swept(plane)
    plane.snapshot = Plane(lax, news=news).snapshot
    sweep.remember(plane.snapshot.routes.least_staleness)
    news.go_stale(11)
    sweep.deadline_passed(1)
    assert [type(each) for each in connection.cuts] == [StaleRevocations]
    plane.connections.clear()
    sweep.deadline_passed(2)
    other = plane.add(ALICE, lax)
    sweep.deadline_passed(3)
    assert other.looks == 0


def test_a_bug_in_one_cut_closes_that_connection_and_saves_no_other(news: News) -> None:
    plane = Plane(route(), news=news)
    error = ZeroDivisionError()
    first, second = plane.add(ALICE, route(), error), plane.add(ALICE, route())
    sweep = swept(plane)
    news.revoke(ALICE)
    sweep.deadline_passed(1)
    assert (first.is_aborted, second.is_aborted, plane.bugs) == (True, False, [error])
    assert [type(each) for each in second.cuts] == [RevokedToken]
