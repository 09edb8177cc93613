"""Careless upstreams: nothing that a public route lets through is read by any of them as a protected path.

One exception is stated: an upstream that ignores case reads `/ADMIN` as `/admin`, which are two paths to all others.
"""

import pytest
from hypothesis import example, given, settings

from gateway.engine.gatekeeper import Gatekeeper
from gateway.engine.routes import Route, RouteTable
from gateway.mechanisms.policies import RequireScopes
from gateway.model.decision import Allow, Deny
from gateway.model.errors import AmbiguousTarget
from tests.engine.careless import READERS, TARGETS, is_protected
from tests.judging import HEADER, request, route
from tests.minting import NOW


def keeper(*routes: Route) -> Gatekeeper:
    return Gatekeeper(
        RouteTable(routes), lambda: NOW, token_bytes=8192, identity_bytes=8192, principal_type_header="X-Principal-Type"
    )


PUBLIC = route("/**", id="public", access="public")
SLASHED = route("/**", id="public", access="public", encoded_slashes=True)
FILES = route("/public/files/**", id="files", access="public", encoded_slashes=True)
PROTECTED = route("/admin/**", id="protected", sources=(HEADER,))
HOUSES = {
    "encoded slashes nowhere": keeper(PUBLIC, PROTECTED),
    "encoded slashes everywhere": keeper(SLASHED, PROTECTED),
    "encoded slashes on one route": keeper(PUBLIC, FILES, PROTECTED),
}


@pytest.mark.parametrize("house", HOUSES.values(), ids=HOUSES.keys())
@settings(max_examples=600, deadline=None)
@given(TARGETS)
@example(b"/admin")
@example(b"/admin/")
@example(b"/admin%2Fx")
@example(b"/%2e%2e%5Cadmin")
@example(b"/admin%3Fx")
@example(b"/admin%23")
@example(b"/admin%5C%3Fx")
@example(b"/admin%25%33F")
@example(b"/public/..%252fadmin")
@example(b"http://api.example/admin")
def test_no_careless_upstream_reads_a_protected_path_in_what_a_public_route_lets_through(
    house: Gatekeeper, raw: bytes
) -> None:
    decision = house.decide(request(target=raw))
    if isinstance(decision, Deny):
        return
    assert isinstance(decision, Allow)
    assert decision.route.access == "public"
    path = decision.target.partition(b"?")[0]
    for read in READERS.values():
        assert not is_protected(read(path))


@given(TARGETS)
@settings(max_examples=200, deadline=None)
def test_what_was_matched_is_what_the_upstream_sees(raw: bytes) -> None:
    decision = HOUSES["encoded slashes everywhere"].decide(request(target=raw))
    if isinstance(decision, Allow):
        again = HOUSES["encoded slashes everywhere"].decide(request(target=decision.target))
        assert isinstance(again, Allow)
        assert (again.target, again.route) == (decision.target, decision.route)


def test_an_upstream_that_ignores_case_is_the_stated_exception() -> None:
    """docs/security.md: `/admin` protects neither `/Admin` nor, by itself, `/admin/`."""
    for path in ("/Admin", "/ADMIN/x", "/%41dmin"):
        decision = HOUSES["encoded slashes nowhere"].decide(request(target=path))
        assert isinstance(decision, Allow)
        assert is_protected(decision.target.lower())


# --- what a misreading may and may not change


@pytest.mark.parametrize(
    "path", ["/admin%2Fx", "/admin%5Cx", "/admin%3Fx", "/admin%23x", "/x%2Fadmin%2F7", "/x/admin%2F7"]
)
def test_an_encoded_sign_does_not_lead_around_a_protected_route(path: str) -> None:
    protected = route("/x/admin/{n}", sources=(HEADER,))
    decision = keeper(SLASHED, PROTECTED, protected).decide(request(target=path))
    assert isinstance(decision, Deny)
    assert isinstance(decision.error, AmbiguousTarget)


@pytest.mark.parametrize(
    "path", ["/wiki/C%23", "/wiki/What%3F", "/wiki/AC%2FDC", "/admins%2Fx", "/adm%3Fin", "/wiki/100%25"]
)
def test_an_encoded_sign_passes_where_it_makes_no_difference(path: str) -> None:
    decision = keeper(SLASHED, PROTECTED).decide(request(target=path))
    assert isinstance(decision, Allow)
    assert decision.target == path.encode()


def test_an_encoded_slash_passes_where_the_other_route_asks_for_the_same() -> None:
    """As in APIs with `/projects/group%2Fname/issues`."""
    scopes = (RequireScopes(scopes=("read",)),)
    one = route("/projects/{id}", sources=(HEADER,), policies=scopes, encoded_slashes=True)
    same = route("/projects/{id}/issues", sources=(HEADER,), policies=scopes)
    more = route("/projects/{id}/secrets", sources=(HEADER,), policies=(RequireScopes(scopes=("admin",)),))
    house = keeper(one, same, more)
    for path, refuses in {
        "/projects/a%2Fissues": False,
        "/projects/a%2Fb": False,
        "/projects/a%2Fsecrets": True,
    }.items():
        decision = house.decide(request(target=path))
        assert isinstance(decision, Deny)
        assert isinstance(decision.error, AmbiguousTarget) == refuses


def test_the_method_takes_part_in_what_is_misread() -> None:
    """`/**` is public for GET only, `/admin/**` is protected for DELETE only."""
    house = keeper(SLASHED, route("/admin/**", methods=("DELETE",), sources=(HEADER,)))
    assert isinstance(house.decide(request(target="/admin%2Fx")), Allow)
    assert isinstance(house.decide(request(target="/admin%2Fx", method="DELETE")), Deny)


# --- rewriting


@pytest.mark.parametrize(
    "rewrite", [("/public", ""), ("/public", "/v2"), ("", "/v2"), ("/public/files", ""), ("/public/files", "/v2/x")]
)
@settings(max_examples=200, deadline=None)
@given(TARGETS)
@example(b"/public")
@example(b"/public/")
@example(b"/public/files")
@example(b"/public/files/")
@example(b"/public/files/x%2Fy")
def test_a_rewritten_path_is_canonical_too(rewrite: tuple[str, str], raw: bytes) -> None:
    rewritten = route("/public/files/**", access="public", encoded_slashes=True, rewrite=rewrite)
    decision = keeper(rewritten).decide(request(target=raw))
    if isinstance(decision, Allow):
        path = decision.target.partition(b"?")[0]
        again = keeper(SLASHED).decide(request(target=path))
        assert isinstance(again, Allow)
        assert again.target == path
