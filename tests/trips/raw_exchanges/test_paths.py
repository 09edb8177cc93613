"""One canonical path, from end to end: what was matched is what the upstream sees, byte for byte."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings

from tests.engine.careless import READERS, TARGETS, is_protected
from tests.trips.raw_exchanges.house import House, Opened, opened_house
from tests.trips.raw_exchanges.strict import read_answers, read_requests
from tests.trips.raw_exchanges.test_requests import answer_whole_requests
from tests.trips.running import token

ROUTES = """
routes:
  - {id: public, match: {path: "/**"}, upstream: app, access: public, encoded_slashes: true}
  - {id: admin, match: {path: "/admin/**"}, upstream: app}
  - {id: read, match: {path: "/notes/**", methods: [GET]}, upstream: app, access: public}
  - {id: write, match: {path: "/notes/**"}, upstream: app}
  - {id: exact, match: {path: /exact}, upstream: app}
  - {id: item, match: {path: "/items/{id}"}, upstream: app}
  - {id: old, match: {path: "/old/**"}, upstream: app, access: public, rewrite: {replace_prefix: [/old, /new]}}
  - {id: stripped, match: {path: "/cut/**"}, upstream: app, access: public, rewrite: {strip_prefix: /cut}}
  - {id: rooted, match: {path: "/root/**"}, upstream: app, access: public, rewrite: {replace_prefix: [/root, /]}}
  - {id: tenants, match: {path: "/**", hosts: ["*.tenants.example"]}, upstream: app}
  - {id: inner, match: {path: "/**", hosts: [inner.example]}, upstream: app}
"""


@pytest.fixture(scope="module")
def opened(runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with opened_house(runner, tmp_path_factory.mktemp("house"), answer_whole_requests, ROUTES) as opened:
        yield opened


async def ask(house: House, target: bytes, method: str = "GET", host: str = "a", *lines: str) -> tuple[int, list[str]]:
    """Return the status, and the targets that the upstream saw."""
    house.begin()
    fields = "".join(f"{line}\r\n" for line in lines).encode()
    head = method.encode() + b" " + target + b" HTTP/1.1\r\nHost: " + host.encode() + b"\r\nConnection: close\r\n"
    heard = await house.ask(head + fields + b"\r\n", finish=True)
    await house.settle()
    [answer], rest = read_answers(heard, [method])
    assert not rest
    seen = [request.start for connection in house.connections for request in read_requests(connection.heard)[0]]
    assert {each for each, _ in seen} <= {method}
    return answer.status, [each for _, each in seen]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TARGETS)
@example(b"/admin%2Fx")
@example(b"/admin%3Fx")
@example(b"/public/..%2fadmin")
@example(b"http://api.example/%61dmin")
def test_no_spelling_of_a_protected_path_reaches_the_upstream_without_a_token(opened: Opened, target: bytes) -> None:
    status, seen = opened.run(ask(opened.house, target, "GET", "api.example"))
    if status != 200:
        assert seen == []
        return
    [path] = seen
    for read in READERS.values():
        assert not is_protected(read(path.encode().partition(b"?")[0]))
    assert opened.run(ask(opened.house, path.encode(), "GET", "api.example")) == (200, [path])


@pytest.mark.parametrize(
    ("target", "status", "seen"),
    [
        ("/admin", 401, None),
        ("/admin/", 401, None),
        ("/%61dmin/x", 401, None),
        ("/admin?/public", 401, None),
        ("/admin/../x", 400, None),
        ("/x/../admin", 400, None),
        ("/admin%2Fx", 400, None),
        ("/admins", 200, "/admins"),
        ("/Admin", 200, "/Admin"),
        ("/exact", 401, None),
        ("/exact/", 200, "/exact/"),
        ("/items/7", 401, None),
        ("/items/%E2%82%AC@:", 401, None),
        ("/items/{id}", 401, None),
        ("/items/", 200, "/items/"),
        ("/items/7/more", 200, "/items/7/more"),
        ("/old", 200, "/new"),
        ("/old/", 200, "/new/"),
        ("/old/x", 200, "/new/x"),
        ("/older", 200, "/older"),
        ("/cut", 200, "/"),
        ("/cut/", 200, "/"),
        ("/cut/x/", 200, "/x/"),
        ("/cut?x", 200, "/?x"),
        ("/cut//x", 400, None),
        ("/cut/%2Fx", 400, None),
        ("/cut/..", 400, None),
        ("/root", 200, "/"),
        ("/root/", 200, "/"),
        ("/root/x", 200, "/x"),
        ("/%63ut/%78", 200, "/x"),
    ],
)
def test_the_route_decides_by_the_path_that_it_forwards(
    opened: Opened, target: str, status: int, seen: str | None
) -> None:
    expected = (status, [] if seen is None else [seen])
    assert opened.run(ask(opened.house, target.encode())) == expected


@pytest.mark.parametrize(
    ("method", "status"), [("GET", 200), ("HEAD", 200), ("POST", 401), ("DELETE", 401), ("OPTIONS", 401), ("PUT", 401)]
)
def test_a_public_reading_makes_nothing_else_public(opened: Opened, method: str, status: int) -> None:
    seen = ["/notes/1"] if status == 200 else []
    assert opened.run(ask(opened.house, b"/notes/1", method)) == (status, seen)


@pytest.mark.parametrize(
    "line",
    [
        "X-HTTP-Method-Override: GET",
        "X-HTTP-Method: GET",
        "X-Method-Override: GET",
        "Access-Control-Request-Method: GET",
        "X-Original-Method: GET",
        "X-Forwarded-Method: GET",
        "X-Original-URL: /public",
        "X-Forwarded-Uri: /public",
    ],
)
def test_no_header_changes_the_method_or_the_path_that_is_judged(opened: Opened, line: str) -> None:
    for method, target in (("DELETE", b"/notes/1"), ("OPTIONS", b"/admin"), ("POST", b"/admin/x")):
        assert opened.run(ask(opened.house, target, method, "a", line)) == (401, [])


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("inner.example", 401),
        ("INNER.EXAMPLE", 401),
        ("inner.example.", 401),
        ("inner.example:8080", 401),
        ("inner.example.:80", 401),
        ("a.tenants.example", 401),
        ("a.b.tenants.example", 401),
        ("A.Tenants.Example.:443", 401),
        ("tenants.example", 200),
        ("atenants.example", 200),
        ("inner.example.evil", 200),
        ("inner.example..", 400),
        ("inner.example%2e", 400),
        ("inner.example,a", 400),
        (".tenants.example", 400),
    ],
)
def test_no_spelling_of_a_host_leads_around_its_routes(opened: Opened, host: str, status: int) -> None:
    assert opened.run(ask(opened.house, b"/x", "GET", host)) == (status, ["/x"] if status == 200 else [])
    if status != 400:
        target = f"http://{host}/x".encode()
        assert opened.run(ask(opened.house, target, "GET", host)) == (status, ["/x"] if status == 200 else [])


def test_with_a_token_the_same_path_passes_as_it_was_judged(opened: Opened) -> None:
    line = f"Authorization: Bearer {token()}"
    for target, seen in {b"/%61dmin/%7e": "/admin/~", b"/items/%e2%82%ac": "/items/%E2%82%AC"}.items():
        assert opened.run(ask(opened.house, target, "GET", "a", line)) == (200, [seen])
