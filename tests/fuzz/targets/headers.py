"""The identity header contract: whatever a client sends, no spelling of an owned name and no token gets through.

An input is the header lines of a client. What comes out is read again, as an upstream would.
"""

import re
from itertools import product
from urllib.parse import unquote, unquote_plus

from gateway.engine.headers import HeaderContract, refuse_misused_connection
from gateway.engine.routes import Route
from gateway.mechanisms.base import Credentials
from gateway.model.errors import Refusal
from gateway.model.request import InboundRequest
from tests.fuzz.heads import Header, parsed_headers
from tests.judging import ACCESS_TOKEN, CLIENT, COOKIE, HEADER, SUBPROTOCOL, route

SOURCES = (HEADER, ACCESS_TOKEN, COOKIE, SUBPROTOCOL)
OWNED = ("X-User-Id", "X-Roles", "X-Request-ID", "X-Principal-Type")
OWN_COOKIE = "__Host-refresh"
CONTRACT = HeaderContract(
    OWNED, [source.credentials for source in SOURCES], [Credentials(cookies=frozenset({OWN_COOKIE.encode()}))]
)
ROUTES = tuple(
    route(access=access, sources=SOURCES, forward_token=forward_token)
    for access, forward_token in product(("public", "optional", "protected"), (False, True))
)
OWN_ROUTE = route(access="public", sources=(), is_own=True)
_NEVER = re.compile(
    r"(?:x-user-id|x-roles|x-request-id|x-principal-type|x-gateway-client-address|x-forwarded-.*|forwarded|x-real-ip"
    r"|x-original-url|x-rewrite-url|x-original-host|traceparent|tracestate|connection|keep-alive|proxy-connection"
    r"|proxy-authenticate|proxy-authorization|te|trailer|transfer-encoding|upgrade|http2-settings|host|content-length"
    r"|expect|proxy)"
)
_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ([\t\x20-\x7e\x80-\xff]*)\r\n")


def check(data: bytes) -> None:
    headers = parsed_headers(data)
    if headers is None:
        return
    request = InboundRequest("GET", b"/", headers, CLIENT)
    try:
        refuse_misused_connection(request)
    except Refusal:
        return
    for each in (*ROUTES, OWN_ROUTE):
        try:
            lines = CONTRACT.lines(request, each)
        except Refusal:
            assert each.forward_token
            continue
        sent = [_header(line) for line in lines]
        _check_names(sent, headers)
        _check_credentials(sent, each)


def _header(line: bytes) -> Header:
    match = _LINE.fullmatch(line)
    assert match, line
    return match[1], match[2]


def _check_names(sent: list[Header], headers: list[Header]) -> None:
    assert len(sent) <= len(headers)
    came = iter(headers)
    for name, value in sent:
        spelling = re.sub(r"[^a-z0-9]", "-", name.decode("ascii").lower())
        assert not _NEVER.fullmatch(spelling), name
        is_filtered = spelling in ("cookie", "sec-websocket-protocol")
        assert any(each == (name, value) or (is_filtered and each[0] == name) for each in came), (
            f"{name!r} was not sent so, or not in this order"
        )


def _check_credentials(sent: list[Header], on: Route) -> None:
    if on.is_own:
        return
    request = InboundRequest("GET", b"/", [*sent, (b"Connection", b"upgrade"), (b"Upgrade", b"websocket")], CLIENT)
    assert not any(name == OWN_COOKIE.encode() for name, _ in request.cookies), "a cookie of the gateway's own"
    found = 0
    for source in SOURCES:
        try:
            found += source.find(request) is not None
        except Refusal:
            found += source is not HEADER or any(
                value[:6].lower() == b"bearer" for value in request.all(b"authorization")
            )
    if not on.forward_token:
        assert found == 0, sent
        names = {name for value in request.all(b"cookie") for name in _names_for_someone(value.decode("latin-1"))}
        assert not names & {"at", OWN_COOKIE.lower()}, names
    elif on.access != "public":
        assert found <= 1, sent
    if on.access != "public":
        values = request.all(b"authorization")
        assert all(value[:6].lower() == b"bearer" for value in values), values


def _names_for_someone(value: str) -> set[str]:
    """Return the names of cookies that one server or another reads in a value."""
    pairs = [pair.partition("=")[0] for pair in re.split("[;,]", value)]
    return {name.strip().lower() for pair in pairs for name in (pair, unquote(pair), unquote_plus(pair))}
