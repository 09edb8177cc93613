import itertools
import re
from collections.abc import Iterable
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.headers import CLIENT_ADDRESS, HOP_BY_HOP, HeaderContract, refuse_misused_connection, spelled
from gateway.engine.routes import Route
from gateway.mechanisms.base import Credentials, TokenSource
from gateway.mechanisms.sources import CookieSource, HeaderSource
from gateway.model.errors import AmbiguousHeader
from gateway.model.request import InboundRequest
from tests.engine.test_cors import APP, policy, preflight
from tests.judging import ACCESS_TOKEN, COOKIE, HEADER, SUBPROTOCOL, request, route

OWNED = ("X-User-Id", "X-Auth-Claims", "X-Principal-Type", "X-Request-ID")
SOURCES = (HEADER, ACCESS_TOKEN, COOKIE, SUBPROTOCOL)
UPGRADE = ("Connection: Upgrade", "Upgrade: websocket")


def contract(*owned: str, sources: Iterable[TokenSource] = SOURCES) -> HeaderContract:
    return HeaderContract(owned or OWNED, [source.credentials for source in sources])


def forwarded(asked: InboundRequest, route: Route, contract: HeaderContract | None = None) -> list[str]:
    lines = (contract or HeaderContract(OWNED, [s.credentials for s in SOURCES])).lines(asked, route)
    assert all(re.fullmatch(rb"[^\r\n]+: [^\r\n]*\r\n", line) for line in lines)
    return [line.decode("latin-1").removesuffix("\r\n") for line in lines]


PROTECTED = route(sources=SOURCES)
PUBLIC = route(access="public")
FORWARDING = route(sources=SOURCES, forward_token=True)


# --- what is the client's own


def test_headers_of_the_client_reach_the_upstream_as_they_were_sent_and_in_order() -> None:
    lines = ["aCCept: */*", "X-Trace: a", "x-trace: b", "X-Obs: \xe9", "X_Under: 1", "Empty: "]
    assert forwarded(request(*lines), PROTECTED) == lines


def test_what_is_remembered_of_a_name_is_bounded_and_changes_nothing() -> None:
    kept = contract()
    for number in range(5000):
        assert forwarded(request(f"X-{number}: a", f"X_User_Id: {number}"), PROTECTED, kept) == [f"X-{number}: a"]


def test_names_that_clients_make_up_cannot_fill_the_memory() -> None:
    kept = contract()
    for number in range(5000):
        long = f"X-{number:0>100}"
        assert forwarded(request(f"X-{number}: a", f"{long}: b"), PROTECTED, kept) == [f"X-{number}: a", f"{long}: b"]
    assert len(kept._memo.known) <= 4096
    assert max(map(len, kept._memo.known)) <= 64
    forwarded(request("X-After-All: a"), PROTECTED, kept)
    assert b"X-After-All" in kept._memo.known


# --- what only the gateway says


@pytest.mark.parametrize(
    "name",
    ["X-User-Id", "x-user-id", "X_User_Id", "X.User.Id", "X-User_Id", "x~user!id", "X-AUTH_CLAIMS", "x_request_id"],
)
@pytest.mark.parametrize("on", [PROTECTED, PUBLIC, FORWARDING, route(access="optional")])
def test_identity_headers_of_a_client_are_removed_in_every_spelling_on_every_route(name: str, on: Route) -> None:
    """C24, CVE-2025-64484: `X_User_Id` is `X-User-Id` to WSGI and CGI. CVE-2026-31908, CVE-2026-54763."""
    assert forwarded(request(f"{name}: admin"), on) == []


SIGNS = st.sampled_from("-_.!#$%&'*+^`|~")


@given(st.sampled_from(OWNED), st.data())
def test_no_spelling_of_an_owned_name_passes(name: str, data: st.DataObject) -> None:
    """A server that turns signs into underscores, or ignores case, reads each of these as the same name."""
    spelling = "".join(
        data.draw(SIGNS) if char == "-" else data.draw(st.sampled_from([char.upper(), char.lower()])) for char in name
    )
    listed = data.draw(st.lists(st.sampled_from([spelling, name, "close", "x-other", "keep-alive"]), max_size=3))
    lines = [f"{spelling}: admin", "X-Mine: a", *(f"Connection: {option}" for option in listed)]
    asked = request(*data.draw(st.permutations(lines)))
    assert forwarded(asked, data.draw(st.sampled_from([PROTECTED, PUBLIC, FORWARDING]))) == ["X-Mine: a"]


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1, max_size=12))
def test_one_spelling_stands_for_all_that_some_server_confuses(name: str) -> None:
    as_cgi = re.sub(r"[^A-Z0-9]", "_", name.upper())
    assert spelled(name.encode()) == spelled(as_cgi.encode())


# --- Connection


@pytest.mark.parametrize("option", ["X-User-Id", "x-real-ip", "X-Forwarded-For", "x-request-id", "X-Forwarded-Host"])
def test_a_connection_header_cannot_delete_what_the_gateway_writes(option: str) -> None:
    """GHSA-w9mr-28mw-j8hg, CVE-2024-45410, CVE-2026-29054: those lines are not the client's to remove."""
    asked = request(f"Connection: close, {option}", f"{option}: evil", "X-Mine: a")
    refuse_misused_connection(asked)
    assert forwarded(asked, PROTECTED) == ["X-Mine: a"]


@pytest.mark.parametrize(
    "lines", [["Connection: x-mine"], ["Connection: close", "connection: keep-alive, X-MINE"], ["Connection:X-Mine,"]]
)
def test_a_client_may_take_back_a_header_of_its_own(lines: list[str]) -> None:
    """RFC 9110 §7.6.1."""
    assert forwarded(request(*lines, "X-Mine: a", "X-Other: b"), PROTECTED) == ["X-Other: b"]


@pytest.mark.parametrize(
    "option",
    [
        *("authorization", "Cookie", "host", "Content-Length", "transfer-encoding", "Origin", "expect"),
        *("Access-Control-Request-Method", "sec-fetch-site"),
    ],
)
@pytest.mark.parametrize("before", [[], ["Connection: close"], ["Connection: keep-alive, x"]])
def test_a_connection_header_that_changes_what_the_request_means_is_refused(before: list[str], option: str) -> None:
    """Also where it stands on the second of several lines."""
    with pytest.raises(AmbiguousHeader, match=option.lower()):
        refuse_misused_connection(request(*before, f"Connection: x-a , {option}"))


@pytest.mark.parametrize("value", ["close", "keep-alive", "Upgrade", "keep-alive, Upgrade", "TE", "", ","])
def test_an_ordinary_connection_header_is_fine(value: str) -> None:
    refuse_misused_connection(request(f"Connection: {value}"))
    refuse_misused_connection(request())


@pytest.mark.parametrize("name", sorted(name.decode() for name in HOP_BY_HOP))
def test_hop_by_hop_headers_end_here(name: str) -> None:
    assert forwarded(request(f"{name}: x", f"{name.replace('-', '_').upper()}: x"), PROTECTED) == []


@pytest.mark.parametrize(
    "name",
    [
        *("Host", "Content-Length", "content_length", "Transfer_Encoding", "Expect"),
        *("Forwarded", "X-Forwarded-For", "x_forwarded_for", "X-Forwarded-User", "X-Real-IP", "x_real_ip"),
        *("X-Original-URL", "X-Rewrite-URL", "X-Original-Host", "traceparent", "TraceState", "Proxy"),
    ],
)
def test_framing_and_forwarding_headers_are_written_by_others(name: str) -> None:
    """CVE-2026-35051, CVE-2026-54764, CVE-2016-5385 (`Proxy`)."""
    assert forwarded(request(f"{name}: x", host=None), PUBLIC) == []


# --- the client's token


@pytest.mark.parametrize("on", [PROTECTED, PUBLIC, route(access="optional"), route(sources=(HEADER,))])
def test_no_token_reaches_an_upstream_that_did_not_ask_for_it(on: Route) -> None:
    asked = request(
        "Authorization: Bearer a",
        "X-Access-Token: b",
        "Cookie: theme=dark; at=c; x=1",
        "Cookie: at=d",
        *UPGRADE,
        "Sec-WebSocket-Protocol: chat, bearer.e, v2",
        "Sec-WebSocket-Protocol: bearer.f",
    )
    assert forwarded(asked, on) == ["Cookie: theme=dark; x=1", "Sec-WebSocket-Protocol: chat, v2"]


@pytest.mark.parametrize(
    "line",
    ["AUTHORIZATION: Bearer a", "X_Access_Token: a", "x.access.token: a", "COOKIE: at=a", "cookie:at =a", "Cookie: at"],
)
def test_no_spelling_of_a_tokens_place_reaches_an_upstream(line: str) -> None:
    assert forwarded(request(line), PROTECTED) == []


@pytest.mark.parametrize("value", ["Bearer a", "bearer a", "Bearer\ta", "BEARER", "Bearer,a", "Bearer  a"])
def test_a_public_route_forwards_no_bearer_token_whatever_follows_the_word(value: str) -> None:
    """C25: what nobody has checked must not look checked."""
    assert forwarded(request(f"Authorization: {value}"), PUBLIC) == []


def test_other_schemes_pass_on_public_routes_only() -> None:
    asked = request("Authorization: Basic dTpw")
    assert forwarded(asked, PUBLIC) == ["Authorization: Basic dTpw"]
    for on in (PROTECTED, FORWARDING, route(access="optional"), route(access="optional", forward_token=True)):
        assert forwarded(asked, on) == []


@pytest.mark.parametrize(
    "lines",
    [
        ["Authorization: Bearer a"],
        ["x-access-token: a"],
        ["Cookie: theme=dark; at=a"],
        [*UPGRADE, "Sec-WebSocket-Protocol: bearer.a, chat"],
    ],
)
def test_a_route_that_forwards_the_token_forwards_it_from_where_it_was(lines: list[str]) -> None:
    assert forwarded(request(*lines), FORWARDING) == lines[-1:]


def test_a_token_that_nobody_checked_is_not_forwarded_beside_the_one_that_was() -> None:
    """An upstream that trusts the gateway would take the wrong one for good."""
    forged = ("Authorization: Bearer forged", "X-Access-Token: forged", "Cookie: at=forged; x=1")
    cookie_only = route(sources=(COOKIE,), forward_token=True)
    assert forwarded(request("Cookie: at=good", *forged[:2]), cookie_only) == ["Cookie: at=good"]
    first_wins = route(sources=(HEADER, COOKIE), allow_several_credentials=True, forward_token=True)
    assert forwarded(request("Authorization: Bearer good", *forged[1:]), first_wins) == [
        "Authorization: Bearer good",
        "Cookie: x=1",
    ]
    upgrade = request("Authorization: Bearer good", *UPGRADE, "Sec-WebSocket-Protocol: bearer.forged, chat")
    assert forwarded(upgrade, first_wins) == ["Authorization: Bearer good", "Sec-WebSocket-Protocol: chat"]


def test_a_preflight_that_passes_carries_no_token_since_nobody_checked_one() -> None:
    on = route(sources=SOURCES, forward_token=True, cors=policy(answers_preflight=False))
    asked = preflight(APP, "POST", "Authorization: Bearer a", "Authorization: Bearer b", "Cookie: at=c; x=1")
    assert forwarded(asked, on) == [f"Origin: {APP}", "Access-Control-Request-Method: POST", "Cookie: x=1"]


def test_a_public_route_may_forward_all_tokens_for_the_upstream_to_check() -> None:
    lines = ["Authorization: Bearer a", "X-Access-Token: b", "Cookie: at=c"]
    assert forwarded(request(*lines), route(access="public", forward_token=True)) == lines


def test_a_token_header_with_dots_in_its_name_can_be_forwarded() -> None:
    source = HeaderSource(header="X.Access.Token")
    on = route(sources=(source,), forward_token=True)
    asked = request("x.access.token: a", "X-Access-Token: b")
    assert forwarded(asked, on, contract(sources=[source])) == ["x.access.token: a"]


def test_cookies_and_subprotocols_are_untouched_where_no_source_reads_them() -> None:
    lines = ["Cookie: at=a;;b", "Sec-WebSocket-Protocol: bearer.a"]
    assert forwarded(request(*lines), PROTECTED, contract(sources=[HEADER])) == lines


def test_an_owned_header_stays_the_gateways_even_if_a_token_is_read_from_it() -> None:
    kept = contract("X-Access-Token", "Authorization")
    asked = request("X-Access-Token: a", "Authorization: Basic dTpw")
    for on in (PUBLIC, FORWARDING, route(access="public", forward_token=True)):
        assert forwarded(asked, on, kept) == []


COOKIES = st.lists(st.sampled_from(["at=t0ken", "at=", "at", "AT=x", "a=1", "at2=b", "", " b = 2 "]), max_size=6)


@given(COOKIES, st.sampled_from([PROTECTED, PUBLIC, route(sources=(HEADER,), forward_token=True)]))
def test_other_cookies_survive_in_order(pairs: list[str], on: Route) -> None:
    kept = forwarded(request("Cookie: " + ";".join(pairs)), on)
    expected = [pair.strip() for pair in pairs or [""] if pair.partition("=")[0].strip().lower() != "at"]
    assert kept == ([f"Cookie: {'; '.join(expected)}"] if "; ".join(expected) else [])


def test_spellings_are_of_names_not_of_values() -> None:
    values = ["X-User-Id: 1", "at=a", "Bearer a"]
    lines = [f"X-{number}: {value}" for number, value in zip(itertools.count(), values, strict=False)]
    assert forwarded(request(*lines), PUBLIC) == lines


WHITE = st.text(st.sampled_from("\t \xa0\x85\u2000\u3000\u2028"), max_size=2)


def cookies_of_some_server(header: str) -> set[str]:
    """Return the names that servers see that split at commas and spaces, strip Unicode white space, and fold case."""
    pairs = [piece for pair in header.split(";") for piece in (pair, *re.split(r"[,\s]+", pair))]
    names = {unquote(pair.lstrip("=").partition("=")[0]).strip().lower() for pair in pairs}
    with suppress(CookieError):
        names |= set(SimpleCookie(header))
    return names | {name.partition("[")[0] for name in names}


@given(st.data())
def test_no_server_finds_a_token_cookie_in_what_is_forwarded(data: st.DataObject) -> None:
    def spelling() -> str:
        name = data.draw(st.sampled_from(["at", "AT", "At", "%61t", "a%74", "+at", "at[x]", "at[]"]))
        return data.draw(WHITE) + name + data.draw(WHITE) + "=secret"

    seps = st.sampled_from([";", "; ", ",", ", ", " ", ";\t", ";;", ";="])
    pieces = [
        spelling() if data.draw(st.booleans()) else data.draw(st.sampled_from(["a=1", "b", "c=d"])) for _ in range(4)
    ]
    value = "".join(piece + data.draw(seps) for piece in pieces)
    asked = InboundRequest("GET", b"/", [(b"Cookie", value.encode())], request().peer)
    for on in (PROTECTED, PUBLIC, route(sources=(HEADER,), forward_token=True)):
        for line in HeaderContract(OWNED, [s.credentials for s in SOURCES]).lines(asked, on):
            kept = line.removeprefix(b"Cookie: ").removesuffix(b"\r\n").decode("utf-8")
            assert "at" not in cookies_of_some_server(kept)
            assert "secret" not in kept


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("a=1,2; b=x y", "a=1,2; b=x y"),
        ("a=1, at=x; b", "b"),
        ("a=at; b=, ; c= at2", "a=at; b=,; c= at2"),
        ("at2=a; att=b; a-t=c; a_t=d", "at2=a; att=b; a-t=c; a_t=d"),
    ],
)
def test_cookies_that_only_look_odd_are_kept(sent: str, kept: str) -> None:
    assert forwarded(request(f"Cookie: {sent}"), PROTECTED) == [f"Cookie: {kept}"]


def test_the_cookie_that_was_checked_passes_and_none_that_is_spelled_like_it() -> None:
    asked = request("Cookie: at=good; AT=forged; x, at=forged; \xa0at=forged; b=1")
    assert forwarded(asked, FORWARDING) == ["Cookie: at=good; b=1"]
    assert forwarded(request("Cookie: at=good; at; b=1"), FORWARDING) == ["Cookie: at=good; b=1"]


def test_names_of_cookies_that_clients_make_up_cannot_fill_the_memory() -> None:
    kept = contract()
    for number in range(5000):
        assert forwarded(request(f"Cookie: c{number}=a"), PROTECTED, kept) == [f"Cookie: c{number}=a"]
    assert len(kept._cookie_memo.known) <= 4096


@pytest.mark.parametrize(
    "value", ["\xa0Bearer a", "\x85bearer a", '"Bearer a"', ",Bearer a", "=bearer a", "- Bearer a"]
)
def test_a_bearer_token_behind_what_some_server_strips_is_one(value: str) -> None:
    assert forwarded(request(f"Authorization: {value}"), PUBLIC) == []


def test_a_token_among_subprotocols_is_one_in_whatever_case() -> None:
    asked = request(*UPGRADE, "Sec-WebSocket-Protocol: chat, BEARER.a, Bearer.b , v2")
    assert forwarded(asked, PROTECTED) == ["Sec-WebSocket-Protocol: chat, v2"]


@pytest.mark.parametrize("name", ["X-Client-IP", "client_ip", "True-Client-IP", "X-Original-URI", "x-envoy-internal"])
def test_what_steers_or_misleads_those_behind_is_not_a_strangers_to_say(name: str) -> None:
    """CVE-2024-45806; servers and frameworks take the first three for the client's address."""
    assert forwarded(request(f"{name}: x"), PUBLIC) == []


# --- the gateway's own routes and cookies

OWN = route(access="public", is_own=True)
OWN_COOKIES = (Credentials(cookies=frozenset({b"__Host-at", b"__Secure-rt"})),)
ALL_COOKIES = "Cookie: theme=dark; __Host-at=a; __Secure-rt=r; lang=ko"


@pytest.mark.parametrize(
    "line", ["Authorization: Basic Zm9vOmJhcg==", "Authorization: Bearer t", ALL_COOKIES, "X-Access-Token: t"]
)
def test_the_gateways_own_routes_get_credentials_as_they_came(line: str) -> None:
    assert forwarded(request(line), OWN, HeaderContract(OWNED, [s.credentials for s in SOURCES], OWN_COOKIES)) == [line]


@pytest.mark.parametrize(
    "on", [PROTECTED, PUBLIC, FORWARDING, route(access="public", forward_token=True), route(access="optional")]
)
def test_the_gateways_own_cookies_reach_no_upstream(on: Route) -> None:
    kept = HeaderContract(OWNED, [s.credentials for s in SOURCES], OWN_COOKIES)
    assert forwarded(request(ALL_COOKIES), on, kept) == ["Cookie: theme=dark; lang=ko"]
    assert forwarded(request("Cookie: __Secure-rt=r"), on, kept) == []


def test_not_even_one_that_proves_the_caller_to_a_route_that_forwards_tokens() -> None:
    cookie = CookieSource(cookie="__Host-at")
    kept = HeaderContract(OWNED, [cookie.credentials], OWN_COOKIES)
    on = route(sources=(cookie,), forward_token=True)
    assert forwarded(request("Cookie: theme=dark; __Host-at=a"), on, kept) == ["Cookie: theme=dark"]


@pytest.mark.parametrize("name", [CLIENT_ADDRESS, "x_gateway.client-address"])
@pytest.mark.parametrize("on", [OWN, PROTECTED, PUBLIC])
def test_no_client_can_say_where_it_comes_from(name: str, on: Route) -> None:
    assert forwarded(request(f"{name}: 192.0.2.1"), on) == []
