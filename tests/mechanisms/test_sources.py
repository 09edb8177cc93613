import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.mechanisms.authorization import AuthorizationHeader
from gateway.mechanisms.base import Credentials, TokenSource
from gateway.mechanisms.sources import (
    CookieSource,
    HeaderSource,
    SubprotocolSource,
    TokenSourceSettings,
    token_source,
)
from gateway.model.errors import (
    AmbiguousHeader,
    CrossSiteRequest,
    MalformedCredentials,
    SeveralCredentials,
)
from tests.judging import ACCESS_TOKEN, COOKIE, HEADER, SUBPROTOCOL, request

SETTINGS: TypeAdapter[TokenSourceSettings] = TypeAdapter(TokenSourceSettings)
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")


# --- Authorization


@pytest.mark.parametrize("line", ["Authorization: Bearer t.o-k_e~n+/=", "authorization: bEaReR   t.o-k_e~n+/="])
def test_a_bearer_token_is_found_whatever_the_case_of_the_scheme(line: str) -> None:
    """C3, C4."""
    assert HEADER.find(request(line)) == "t.o-k_e~n+/="


def test_without_authorization_there_is_no_token() -> None:
    """C1."""
    assert HEADER.find(request()) is None


@pytest.mark.parametrize("value", ["Basic dTpw", "DPoP t", "Bearertoken", "Bearer\ttoken", ""])
def test_another_scheme_is_no_bearer_token(value: str) -> None:
    """C2."""
    assert HEADER.find(request(f"Authorization: {value}")) is None


@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer a b", "Bearer a,b", "Bearer =", "Bearer tök", 'Bearer "a"', "Bearer \ta", "Bearer a=b"]
)
def test_a_bearer_header_holds_exactly_one_token68(value: str) -> None:
    """C5, C6."""
    with pytest.raises(MalformedCredentials) as caught:
        HEADER.find(request(f"Authorization: {value}"))
    assert "a b" not in str(caught.value)


@pytest.mark.parametrize("second", ["Bearer a", "Bearer b", "Basic dTpw", ""])
def test_two_authorization_headers_are_refused_identical_or_not(second: str) -> None:
    """C7."""
    with pytest.raises(SeveralCredentials):
        HEADER.find(request("Authorization: Bearer a", f"authorization: {second}"))


def test_a_token_in_the_query_is_not_looked_for() -> None:
    """C9, OAuth 2.1 §5.1."""
    asked = request(target="/api/orders?access_token=a")
    assert all(source.find(asked) is None for source in (HEADER, ACCESS_TOKEN, COOKIE, SUBPROTOCOL))


# --- another header


def test_a_header_may_hold_the_token_and_nothing_else() -> None:
    assert ACCESS_TOKEN.find(request("x-access-TOKEN: a.b.c")) == "a.b.c"
    assert ACCESS_TOKEN.find(request()) is None


@pytest.mark.parametrize("name", ["X_Access_Token", "X.Access.Token", "XAccessToken"])
def test_another_spelling_of_the_header_is_not_the_header(name: str) -> None:
    """CVE-2025-64484."""
    assert ACCESS_TOKEN.find(request(f"{name}: a")) is None


@pytest.mark.parametrize("value", ["", "Bearer a", "a, b"])
def test_a_header_that_is_not_one_token68_is_refused(value: str) -> None:
    with pytest.raises(MalformedCredentials):
        ACCESS_TOKEN.find(request(f"X-Access-Token: {value}"))


def test_a_header_with_a_token_comes_once() -> None:
    with pytest.raises(SeveralCredentials, match="2 X-Access-Token headers"):
        ACCESS_TOKEN.find(request("X-Access-Token: a", "x-access-token: a"))


# --- a cookie


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_a_safe_request_may_carry_the_cookie_from_anywhere(method: str) -> None:
    asked = request("Cookie: theme=dark; at=a.b.c", "Origin: https://evil.example", method=method)
    assert COOKIE.find(asked) == "a.b.c"


@pytest.mark.parametrize("cookie", ["theme=dark", "AT=a", "at", "xat=a", "at_=a"])
def test_other_cookies_are_not_the_token(cookie: str) -> None:
    assert COOKIE.find(request(f"Cookie: {cookie}")) is None
    assert COOKIE.find(request()) is None


def test_the_cookie_comes_once_so_that_nobody_can_toss_another_before_it() -> None:
    with pytest.raises(SeveralCredentials, match="2 cookies named at"):
        COOKIE.find(request("Cookie: at=theirs; at=mine"))
    with pytest.raises(SeveralCredentials):
        COOKIE.find(request("Cookie: at=theirs", "Cookie: at=mine"))


@pytest.mark.parametrize("value", ["", '"a"', "a b", "tök"])
def test_a_cookie_that_is_not_one_token68_is_refused(value: str) -> None:
    with pytest.raises(MalformedCredentials):
        COOKIE.find(request(f"Cookie: at={value}"))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "TRACE"])
@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Origin: https://evil.example"],
        ["Origin: null"],
        ["Origin:"],
        ["Origin: https://app.example.evil.example"],
        ["Origin: https://APP.example"],
        ["Origin: http://app.example"],
        ["Sec-Fetch-Site: same-site"],
        ["Sec-Fetch-Site: none"],
        ["Sec-Fetch-Site: cross-site", "Referer: https://app.example/"],
    ],
)
def test_cross_site_request_forgery_is_refused(method: str, lines: list[str]) -> None:
    with pytest.raises(CrossSiteRequest):
        COOKIE.find(request("Cookie: at=a", *lines, method=method))


@pytest.mark.parametrize("line", ["Origin: https://app.example", "Sec-Fetch-Site: same-origin"])
def test_an_unsafe_request_of_an_own_page_may_carry_the_cookie(line: str) -> None:
    assert COOKIE.find(request("Cookie: at=a", line, method="POST")) == "a"


def test_cross_site_websocket_hijacking_is_refused_although_the_method_is_get() -> None:
    with pytest.raises(CrossSiteRequest):
        COOKIE.find(request("Cookie: at=a", "Origin: https://evil.example", *UPGRADE))
    with pytest.raises(CrossSiteRequest):
        COOKIE.find(request("Cookie: at=a", "Connection: x, Upgrade", "Upgrade: other"))
    assert COOKIE.find(request("Cookie: at=a", "Origin: https://app.example", *UPGRADE)) == "a"


def test_two_origins_are_refused() -> None:
    with pytest.raises(AmbiguousHeader):
        COOKIE.find(
            request("Cookie: at=a", "Origin: https://app.example", "Origin: https://evil.example", method="POST")
        )


def test_an_unsafe_request_without_the_cookie_needs_no_origin() -> None:
    assert COOKIE.find(request(method="POST")) is None


def test_a_forged_origin_does_not_flood_the_log() -> None:
    with pytest.raises(CrossSiteRequest) as caught:
        COOKIE.find(request("Cookie: at=secret", f"Origin: {'x' * 5000}\n", method="POST"))
    assert len(str(caught.value)) < 200
    assert "secret" not in str(caught.value)


# --- a WebSocket subprotocol


def test_a_websocket_may_carry_the_token_among_its_subprotocols() -> None:
    asked = request(*UPGRADE, "Sec-WebSocket-Protocol: chat, bearer.a.b.c", "sec-websocket-protocol: v2")
    assert SUBPROTOCOL.find(asked) == "a.b.c"


@pytest.mark.parametrize(
    "lines", [["Sec-WebSocket-Protocol: bearer.a"], [*UPGRADE], [*UPGRADE, "Sec-WebSocket-Protocol: chat, Bearer.a"]]
)
def test_there_is_no_subprotocol_token_elsewhere(lines: list[str]) -> None:
    assert SUBPROTOCOL.find(request(*lines)) is None


def test_a_subprotocol_token_comes_once_and_is_one_token68() -> None:
    with pytest.raises(SeveralCredentials, match="2 subprotocols start with bearer"):
        SUBPROTOCOL.find(request(*UPGRADE, "Sec-WebSocket-Protocol: bearer.a", "Sec-WebSocket-Protocol: bearer.a"))
    for value in ("bearer.", "bearer.a b"):
        with pytest.raises(MalformedCredentials):
            SUBPROTOCOL.find(request(*UPGRADE, f"Sec-WebSocket-Protocol: {value}"))


# --- what must not reach an upstream


@pytest.mark.parametrize(
    ("source", "credentials"),
    [
        (HEADER, Credentials(headers=frozenset({b"authorization"}))),
        (ACCESS_TOKEN, Credentials(headers=frozenset({b"x-access-token"}))),
        (COOKIE, Credentials(cookies=frozenset({b"at"}))),
        (SUBPROTOCOL, Credentials(subprotocol_prefixes=frozenset({b"bearer."}))),
    ],
)
def test_a_source_says_what_it_reads(source: TokenSource, credentials: Credentials) -> None:
    assert source.credentials == credentials


# --- settings


@pytest.mark.parametrize(
    ("written", "source"),
    [
        ({"header": "X-Access-Token"}, HeaderSource(header="X-Access-Token")),
        ({"cookie": "__Host-at", "origins": ["https://a"]}, CookieSource(cookie="__Host-at", origins={"https://a"})),
        ({"subprotocol": "jwt."}, SubprotocolSource(subprotocol="jwt.")),
    ],
)
def test_a_setting_is_a_source(written: object, source: TokenSource) -> None:
    settings = SETTINGS.validate_python(written)
    assert token_source(settings) == source
    assert SETTINGS.validate_python(settings) == settings


def test_the_word_authorization_names_the_header() -> None:
    assert isinstance(token_source(SETTINGS.validate_python("authorization")), AuthorizationHeader)


@pytest.mark.parametrize("written", ["bearer", 7, None, {}, {"query": "access_token"}, [], AuthorizationHeader()])
def test_there_are_no_other_sources(written: object) -> None:
    with pytest.raises(ValidationError, match="authorization"):
        SETTINGS.validate_python(written)


@pytest.mark.parametrize(
    "written",
    [{"header": "X_Token"}, {"cookie": "a b"}, {"cookie": "a=b"}, {"subprotocol": "x"}, {"subprotocol": "a,b"}],
)
def test_names_that_cannot_be_sent_are_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        SETTINGS.validate_python(written)


# --- where a source looks, in words


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("authorization", "Authorization"),
        ({"header": "X-Access-Token"}, "X-Access-Token"),
        ({"cookie": "session"}, "cookie session"),
        ({"subprotocol": "bearer."}, "subprotocol bearer.<token>"),
    ],
)
def test_a_source_says_where_it_looks(written: object, place: str) -> None:
    source: TokenSource = token_source(SETTINGS.validate_python(written))
    assert source.place == place


def test_a_cookie_without_an_origin_is_told_from_one_with_a_foreign_origin() -> None:
    for lines, told in (([], "a request without Origin"), (["Origin: https://evil.example"], "'https://evil.example'")):
        with pytest.raises(CrossSiteRequest, match=told):
            CookieSource(cookie="at").find(request("Cookie: at=a", *lines, method="POST"))
