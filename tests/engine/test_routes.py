from itertools import permutations
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.engine.paths import PathPattern, Target
from gateway.engine.routes import IndistinguishableRoutes, Route, RouteTable
from tests.judging import route


def found(routes: list[Route], path: str, method: str = "GET", host: str = "api.example") -> str | None:
    match = RouteTable(routes).find(host, method, path)
    return None if match is None else match.id


# --- paths


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"),
        ("/orders", "/orders"),
        ("/orders/", "/orders/**"),
        ("/orders/7", "/orders/{id}"),
        ("/orders/new", "/orders/new"),
        ("/orders/7/", "/orders/**"),
        ("/orders/7/lines", "/orders/{id}/lines"),
        ("/orders/new/lines", "/orders/{id}/lines"),
        ("/orders/7/other", "/orders/**"),
        ("/ordersx", "/**"),
        ("/Orders", "/**"),
        ("/slash/", "/slash/"),
        ("/slash", "/**"),
        ("/deep/a/b/c", "/deep/{x}/b/**"),
        ("/deep/a/b", "/deep/{x}/b/**"),
        ("/deep/a", "/**"),
    ],
)
def test_the_most_specific_route_wins(path: str, expected: str) -> None:
    paths = ["/**", "/", "/orders", "/orders/**", "/orders/{id}", "/orders/new", "/orders/{id}/lines", "/slash/"]
    assert found([route(path) for path in [*paths, "/deep/{x}/b/**"]], path) == expected


def test_a_literal_route_that_leads_nowhere_gives_way_to_a_parameter() -> None:
    assert found([route("/a/b/c"), route("/a/{x}/d")], "/a/b/d") == "/a/{x}/d"


@pytest.mark.parametrize("paths", [*permutations(["/a/b/{x}/c", "/a/b", "/a/b/{x}/d/**"])])
def test_ways_that_begin_alike_part_where_they_differ(paths: tuple[str, ...]) -> None:
    routes = [route(path) for path in paths]
    for path in ("/a", "/a/", "/a/b/", "/a/b/1", "/a/b//c", "/a/b/1/e", "/a/c", "/a/b/1/c/d"):
        assert found(routes, path) is None
    assert found(routes, "/a/b") == "/a/b"
    assert found(routes, "/a/b/1/c") == "/a/b/{x}/c"
    assert found(routes, "/a/b/1/d") == found(routes, "/a/b/1/d/e/f") == "/a/b/{x}/d/**"


@pytest.mark.parametrize("path", ["/a", "/a/b", "/a/1/x", "/a//c", "/b/1/c", "/a/1/c/d"])
def test_a_route_alone_takes_no_other_path(path: str) -> None:
    assert found([route("/a/{x}/c")], path) is None


@pytest.mark.parametrize("path", ["/admin/", "/admin/x", "/adminx", "/ADMIN", "/admin.json"])
def test_an_exact_route_takes_its_path_and_no_other(path: str) -> None:
    """Protect `/admin/**`, not `/admin`, where the upstream takes `/admin/` for the same."""
    assert found([route("/admin"), route("/{x}/{y}/{z}")], path) is None
    assert found([route("/admin/**")], "/admin") == "/admin/**"
    assert found([route("/admin/**")], "/admin/") == "/admin/**"


@pytest.mark.parametrize("path", ["/orders/", "/orders"])
def test_a_parameter_is_never_empty(path: str) -> None:
    assert found([route("/orders/{id}")], path) is None


def test_nothing_matches_where_nothing_is_served() -> None:
    assert found([], "/") is None
    assert found([route("/a")], "/") is None


# --- methods


@pytest.mark.parametrize(
    ("method", "expected"), [("GET", "get"), ("HEAD", "get"), ("POST", "post"), ("DELETE", "any"), ("OPTIONS", "any")]
)
def test_a_named_method_wins_and_get_takes_head_along(method: str, expected: str) -> None:
    routes = [route("/a", id="any"), route("/a", id="get", methods=("GET",)), route("/a", id="post", methods=("POST",))]
    assert found(routes, "/a", method) == expected


def test_head_may_have_a_route_of_its_own() -> None:
    routes = [route("/a", id="get", methods=("GET",)), route("/a", id="head", methods=("HEAD", "HEAD"))]
    assert found(routes, "/a", "HEAD") == "head"
    assert found(routes, "/a", "get") is None


def test_a_route_that_does_not_take_the_method_is_no_candidate() -> None:
    routes = [route("/a", methods=("GET",)), route("/{x}", methods=("POST",)), route("/**")]
    assert found(routes, "/a", "POST") == "/{x}"
    assert found(routes, "/a", "PUT") == "/**"
    assert found([route("/a/**", methods=("GET",))], "/a", "POST") is None


# --- hosts


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("api.example", "exact"),
        ("x.example", "wild"),
        ("a.b.example", "wild"),
        ("x.deep.example", "deeper"),
        ("deep.example", "wild"),
        ("example", "any"),
        ("notexample", "any"),
        ("", "any"),
        ("[::1]", "any"),
    ],
)
def test_an_exact_host_wins_over_the_longest_wildcard_over_any(host: str, expected: str) -> None:
    routes = [
        route("/a", id="any"),
        route("/a", id="wild", hosts=("*.example",)),
        route("/a", id="deeper", hosts=("*.deep.example",)),
        route("/a", id="exact", hosts=("api.example", "other.example", "api.example")),
    ]
    assert found(routes, "/a", host=host) == expected


def test_a_host_without_a_route_for_the_path_gives_way_to_a_less_specific_one() -> None:
    routes = [
        route("/a", hosts=("api.example",)),
        route("/b", hosts=("*.api.example",)),
        route("/c", hosts=("*.example",)),
        route("/d"),
    ]
    assert found(routes, "/c") == "/c"
    assert found(routes, "/d") == "/d"
    assert found(routes, "/c", host="x.api.example") == "/c"
    assert found(routes, "/e") is None


# --- routes of the gateway itself


def test_routes_of_the_gateway_itself_win_on_every_host() -> None:
    own = route("/.well-known/keys", id="own", methods=("GET",))
    table = RouteTable([route("/**"), route("/.well-known/keys", hosts=("api.example",))], own=[own])
    assert table.find("api.example", "GET", "/.well-known/keys") is own
    assert table.find("", "HEAD", "/.well-known/keys") is own
    assert table.find("api.example", "POST", "/.well-known/keys") is table.routes[1]
    assert own not in table.routes


# --- contradictions


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"path": "/a"}, {"path": "/a"}),
        ({"path": "/a/{x}"}, {"path": "/a/{y}"}),
        ({"path": "/a/**"}, {"path": "/a/**"}),
        ({"path": "/a", "methods": ("GET", "POST")}, {"path": "/a", "methods": ("POST",)}),
        ({"path": "/a", "hosts": ("a", "b")}, {"path": "/a", "hosts": ("b", "c")}),
        ({"path": "/a", "hosts": ("*.a",)}, {"path": "/a", "hosts": ("*.a",)}),
        ({"path": "/%61"}, {"path": "/a"}),
    ],
)
def test_two_routes_that_nothing_tells_apart_are_refused(first: dict[str, Any], second: dict[str, Any]) -> None:
    one, other = route(**first, id="one"), route(**second, id="other")
    with pytest.raises(IndistinguishableRoutes, match='routes "one" and "other" match the same requests') as caught:
        RouteTable([one, other])
    assert (caught.value.first, caught.value.second) == (one, other)


# --- the whole specification, naively

SEGMENT = st.sampled_from(["a", "b", "{x}"])
HOSTS = ["a.b", "c.a.b", "b", "x", ""]


@st.composite
def routes_of(draw: st.DrawFn) -> list[Route]:
    routes = []
    for number in range(draw(st.integers(1, 8))):
        parts = draw(st.lists(SEGMENT, max_size=4)) + draw(st.sampled_from([[], ["**"], [""]]))
        routes.append(
            route(
                "/" + "/".join(parts),
                id=str(number),
                methods=draw(st.sampled_from([None, None, ("GET",), ("POST", "HEAD"), ("OPTIONS",)])),
                hosts=draw(st.sampled_from([(), (), ("a.b",), ("*.b",), ("*.a.b", "x")])),
            )
        )
    return routes


def specificity(route: Route, host: str, method: str, path: str) -> tuple[Any, ...] | None:
    """Return what the route is sorted by, or None if it does not match."""
    segments = path[1:].split("/")
    pattern = route.path.segments
    if len(segments) < len(pattern) or (len(segments) > len(pattern) and not route.path.rest):
        return None
    if any((want is None and not got) or want not in (None, got) for want, got in zip(pattern, segments, strict=False)):
        return None
    if route.hosts:
        fitting = [
            (2, 0) if want == host else (1, len(want))
            for want in route.hosts
            if want == host or (want.startswith("*.") and host.endswith(want[1:]))
        ]
    else:
        fitting = [(0, 0)]
    if route.methods is None:
        by_method = 0
    elif method in route.methods:
        by_method = 2
    elif method == "HEAD" and "GET" in route.methods:
        by_method = 1
    else:
        return None
    by_segment = [2 if want is not None else 1 for want in pattern]
    end = 0 if route.path.rest else 3  # an end is more specific than a rest
    return (max(fitting), [*by_segment, end], by_method) if fitting else None


@settings(max_examples=600, deadline=None)
@given(
    routes_of(),
    st.lists(st.sampled_from(["a", "b", "z"]), max_size=5),
    st.booleans(),
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS"]),
    st.sampled_from(HOSTS),
    st.randoms(use_true_random=False),
)
def test_the_tree_finds_what_sorting_by_specificity_finds_in_whatever_order(
    routes: list[Route], segments: list[str], slash: bool, method: str, host: str, random: Any
) -> None:
    path = "/" + "/".join(segments) + ("/" if slash and segments else "")
    try:
        table = RouteTable(routes)
    except IndistinguishableRoutes:
        return
    ranked = [(key, route) for route in routes if (key := specificity(route, host, method, path)) is not None]
    expected = max(ranked, key=lambda pair: pair[0])[1] if ranked else None
    assert table.find(host, method, path) is expected
    shuffled = list(routes)
    random.shuffle(shuffled)
    assert RouteTable(shuffled).find(host, method, path) is expected


@given(routes_of(), st.randoms(use_true_random=False))
def test_a_contradiction_is_one_in_whatever_order(routes: list[Route], random: Any) -> None:
    def contradicts(routes: list[Route]) -> bool:
        try:
            RouteTable(routes)
        except IndistinguishableRoutes:
            return True
        return False

    shuffled = list(routes)
    random.shuffle(shuffled)
    assert contradicts(routes) == contradicts(shuffled)


# --- what the upstream sees


@pytest.mark.parametrize(
    ("rewrite", "path", "rewritten"),
    [
        (None, "/api/orders", "/api/orders"),
        (("/api", ""), "/api/orders", "/orders"),
        (("/api", ""), "/api", "/"),
        (("/api", ""), "/api/", "/"),
        (("/api", "/v2"), "/api/orders", "/v2/orders"),
        (("/api", "/v2"), "/api", "/v2"),
        (("", "/v2"), "/orders", "/v2/orders"),
        (("/api", ""), "/api/api/x", "/api/x"),
    ],
)
def test_a_prefix_may_be_rewritten(rewrite: tuple[str, str] | None, path: str, rewritten: str) -> None:
    assert route("/api/**", rewrite=rewrite).forwarded(Target(path.encode())) == rewritten.encode()


def test_a_public_route_asks_for_nothing_and_equal_rules_for_nothing_else() -> None:
    public, other = route("/a", access="public"), route("/b", access="public")
    protected, same, longer = route("/c"), route("/d"), route("/e", max_staleness=60.0)
    assert not public.asks_for_other_things_than(other)
    assert not public.asks_for_other_things_than(protected)
    assert protected.asks_for_other_things_than(public)
    assert not protected.asks_for_other_things_than(protected)
    assert not protected.asks_for_other_things_than(same)
    assert protected.asks_for_other_things_than(longer)


def test_routes_are_compared_by_identity() -> None:
    assert route("/a") != route("/a")
    assert route("/a").path == PathPattern(("a",), False)


def test_the_table_knows_when_the_first_route_refuses_for_stale_news() -> None:
    routes = [
        route("/a", max_staleness=20),
        route("/b", max_staleness=10, when_stale="hybrid"),
        route("/c", max_staleness=5, when_stale="open"),
        route("/d", max_staleness=1, access="public"),
    ]
    assert RouteTable(routes).least_staleness == 10
    assert RouteTable(routes[2:]).least_staleness == inf
