from typing import Any

import pytest

from gateway.engine.cors import CorsPolicy, is_preflight
from gateway.model.errors import AmbiguousHeader, OriginNotAllowed
from gateway.model.request import InboundRequest
from tests.judging import request

APP = "https://app.example"


def policy(*origins: str, **changes: Any) -> CorsPolicy:
    values: dict[str, Any] = {
        "origins": frozenset(origins or {APP}),
        "credentials": False,
        "answers_preflight": True,
        "methods": ("GET", "POST"),
        "headers": ("Authorization", "Content-Type"),
        "expose": ("WWW-Authenticate", "Retry-After"),
        "max_age": 600,
        **changes,
    }
    return CorsPolicy(**values)


def preflight(origin: str = APP, method: str = "POST", *lines: str) -> InboundRequest:
    return request(f"Origin: {origin}", f"Access-Control-Request-Method: {method}", *lines, method="OPTIONS")


# --- what a preflight is


def test_a_preflight_asks_for_a_method_from_an_origin() -> None:
    assert is_preflight(preflight())
    assert is_preflight(preflight(APP, "POST", "Content-Length: 0"))


@pytest.mark.parametrize(
    "other",
    [
        request(f"Origin: {APP}", "Access-Control-Request-Method: POST", method="GET"),
        request("Access-Control-Request-Method: POST", method="OPTIONS"),
        request(f"Origin: {APP}", method="OPTIONS"),
        preflight(method=""),
        preflight(method="GET, POST"),
        preflight(method="GET\xff"),
        preflight(APP, "POST", "Content-Length: 7"),
        preflight(APP, "POST", "Transfer-Encoding: chunked"),
    ],
)
def test_no_other_request_passes_for_a_preflight(other: InboundRequest) -> None:
    """OPTIONS is no way around the token: what no browser sends as a preflight is an ordinary request."""
    assert not is_preflight(other)


# --- preflights


def test_a_preflight_is_answered_with_what_is_allowed() -> None:
    assert policy(credentials=True).preflight(preflight()) == (
        ("Vary", "Origin"),
        ("Access-Control-Allow-Origin", APP),
        ("Access-Control-Allow-Credentials", "true"),
        ("Access-Control-Allow-Methods", "GET, POST"),
        ("Access-Control-Allow-Headers", "Authorization, Content-Type"),
        ("Access-Control-Max-Age", "600"),
    )


def test_without_a_list_of_methods_the_one_asked_for_is_allowed() -> None:
    assert ("Access-Control-Allow-Methods", "PATCH") in policy(methods=()).preflight(preflight(method="PATCH"))


def test_any_origin_gets_a_star_and_is_not_reflected() -> None:
    headers = policy("*").preflight(preflight("https://evil.example"))
    assert ("Access-Control-Allow-Origin", "*") in headers
    assert "evil" not in str(headers)


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "null",
        "",
        f"{APP}.evil.example",
        "https://APP.example",
        f"{APP}:443",
        "http://app.example",
    ],
)
def test_an_origin_that_is_not_listed_is_refused(origin: str) -> None:
    with pytest.raises(OriginNotAllowed) as caught:
        policy().preflight(preflight(origin))
    assert caught.value.status == 403


def test_a_long_origin_does_not_flood_the_log() -> None:
    with pytest.raises(OriginNotAllowed) as caught:
        policy().preflight(preflight("x" * 5000))
    assert len(str(caught.value)) < 200


def test_a_preflight_with_two_origins_or_methods_is_refused() -> None:
    with pytest.raises(AmbiguousHeader):
        policy().preflight(preflight(APP, "POST", f"Origin: {APP}"))
    with pytest.raises(AmbiguousHeader):
        policy().preflight(preflight(APP, "POST", "Access-Control-Request-Method: GET"))


# --- answers


def test_a_page_of_a_listed_origin_may_read_the_answer_and_its_challenge() -> None:
    """C21."""
    assert policy().readable(request(f"Origin: {APP}")) == (
        ("Vary", "Origin"),
        ("Access-Control-Allow-Origin", APP),
        ("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After"),
    )
    assert ("Access-Control-Allow-Credentials", "true") in policy(credentials=True).readable(request(f"Origin: {APP}"))
    assert ("Access-Control-Allow-Origin", "*") in policy("*").readable(request("Origin: null"))


@pytest.mark.parametrize("lines", [[], ["Origin: https://evil.example"], ["Origin: null"], [f"Origin: {APP}"] * 2])
def test_nobody_else_may_and_caches_know_it(lines: list[str]) -> None:
    assert policy().readable(request(*lines)) == (("Vary", "Origin"),)
