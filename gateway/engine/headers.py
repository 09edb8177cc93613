"""The identity header contract: which of a client's headers reach an upstream.

* A name that the gateway may set anywhere is removed from every request, on every route, in every spelling that some
  server reads as the same name (case; `_`, `.` or any other sign for `-`).
* A client's `Connection` list removes only what is its own to remove, and cannot touch what the gateway sets.
* The client's token is forwarded only by a route that says so: the one that was checked, and no other beside it. A
  public route that says so checks none and forwards all. Other `Authorization` schemes are forwarded by public routes
  only.
* The gateway's own routes get credentials of every kind as they came. Its own cookies reach nobody else.
* Framing (`Host`, `Content-Length`, `Transfer-Encoding`, `Expect`, `Upgrade`) is written by the data plane, forwarding
  headers by `engine.forwarding`: they are removed here.
"""

import re
from collections.abc import Iterable

from gateway.engine.cors import is_preflight
from gateway.engine.routes import Route
from gateway.mechanisms.base import Credentials
from gateway.model.errors import AmbiguousHeader
from gateway.model.memo import Memo
from gateway.model.request import InboundRequest

CLIENT_ADDRESS = "X-Gateway-Client-Address"
"""Tells the gateway's own routes where a request comes from. Nobody else can set it."""

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)
"""RFC 9110 §7.6.1, RFC 9113 §3.2."""

_FRAMING = frozenset({b"host", b"content-length", b"expect"})
_FORWARDING = frozenset(
    {b"forwarded", b"x-real-ip", b"x-original-url", b"x-rewrite-url", b"x-original-host", b"traceparent", b"tracestate"}
)
_PROXY = frozenset({b"proxy"})
"""CGI programs take it for their own proxy setting (CVE-2016-5385)."""
_FORWARDING_PREFIX = b"x-forwarded-"
_END_TO_END = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"authorization", b"cookie", b"origin", b"expect"}
)
"""Headers whose removal would change what a request means: nobody lists them in `Connection` for a good reason."""

_NOT_ALPHANUMERIC = re.compile(rb"[^a-z0-9]")

_BEARER = re.compile(rb"bearer", re.IGNORECASE)
"""Also without a space after it: a tab, say, is a space to some servers."""

_NOTHING = Credentials()
_DROP = b""
_AUTHORIZATION = b"authorization"
_COOKIE = b"cookie"
_SUBPROTOCOL = b"sec-websocket-protocol"


def spelled(name: bytes) -> bytes:
    """Return the one spelling of all header names that some server reads as the same."""
    return _NOT_ALPHANUMERIC.sub(b"-", name.lower())


def refuse_misused_connection(request: InboundRequest) -> None:
    """Raise AmbiguousHeader if `Connection` lists a header that is not hop-by-hop by nature."""
    if misused := request.connection_options & _END_TO_END:
        raise AmbiguousHeader(f"Connection lists {b', '.join(sorted(misused)).decode('ascii')}")


class HeaderContract:
    """Decides for every header name of a request; compiled once from all routes, so that it holds on each of them."""

    def __init__(
        self, owned: Iterable[str], credentials: Iterable[Credentials], own: Iterable[Credentials] = ()
    ) -> None:
        """`owned` are the names that the gateway sets on any route, in any spelling; `own` names its own cookies."""
        sources = tuple(credentials)
        names = {spelled(name.encode()) for name in (*owned, CLIENT_ADDRESS)}
        self._dropped = HOP_BY_HOP | _FRAMING | _FORWARDING | _PROXY | names
        self._headers = frozenset(name for source in sources for name in source.headers) | {_AUTHORIZATION}
        self._header_spellings = frozenset(spelled(name) for name in self._headers)
        self._own_cookies = frozenset(name for each in own for name in each.cookies)
        self._cookies = frozenset(name for source in sources for name in source.cookies) | self._own_cookies
        self._subprotocols = frozenset(prefix for source in sources for prefix in source.subprotocol_prefixes)
        self._memo: Memo[bytes] = Memo()

    def lines(self, request: InboundRequest, route: Route) -> list[bytes]:
        """Return the client's header lines that the upstream gets, each with its CRLF."""
        memo = self._memo
        listed = request.connection_options
        headers = [each for each in request.headers if each[0].lower() not in listed] if listed else request.headers
        lines = []
        for name, value in headers:
            prefix = memo.get(name)
            if prefix is None:
                prefix = self._classify(name)
            if prefix[-1:] == b" ":
                lines.append(prefix + value + b"\r\n")
            elif prefix and (kept := self._special(prefix, value, request, route)) is not None:
                lines.append(name + b": " + kept + b"\r\n")
        return lines

    def _classify(self, name: bytes) -> bytes:
        """Return `Name: ` to forward a header, nothing to drop it, or the special name that `_special` knows."""
        lower, spelling = name.lower(), spelled(name)
        if spelling in self._dropped or spelling.startswith(_FORWARDING_PREFIX):
            kind = _DROP
        elif spelling in self._header_spellings:
            kind = lower if lower in self._headers else _DROP
        elif spelling == _COOKIE and self._cookies:
            kind = _COOKIE
        elif spelling == _SUBPROTOCOL and self._subprotocols:
            kind = _SUBPROTOCOL
        else:
            kind = name + b": "
        return self._memo.remember(name, kind)

    def _special(self, kind: bytes, value: bytes, request: InboundRequest, route: Route) -> bytes | None:
        if route.is_own:
            return value
        if kind == _AUTHORIZATION and not _BEARER.match(value):
            return value if route.access == "public" else None
        if route.forward_token and route.access == "public":
            return _without(self._own_cookies, value) if kind == _COOKIE and self._own_cookies else value
        checked = _checked_credentials(request, route) if route.forward_token else _NOTHING
        if kind == _COOKIE:
            return _without((self._cookies - checked.cookies) | self._own_cookies, value)
        if kind == _SUBPROTOCOL:
            prefixes = tuple(self._subprotocols - checked.subprotocol_prefixes)
            entries = [entry.strip(b" \t") for entry in value.split(b",")]
            return b", ".join(entry for entry in entries if not entry.startswith(prefixes)) or None
        return value if kind in checked.headers else None


def _without(hidden: frozenset[bytes], value: bytes) -> bytes | None:
    """Return a `Cookie` value without some cookies; None if nothing is left."""
    pairs = [pair.strip(b" \t") for pair in value.split(b";")]
    return b"; ".join(pair for pair in pairs if pair.partition(b"=")[0].strip() not in hidden) or None


def _checked_credentials(request: InboundRequest, route: Route) -> Credentials:
    """Return where the token stands that let the request pass: of several places, the first of the route's list."""
    if route.cors is not None and is_preflight(request):
        return _NOTHING
    return next((source.credentials for source in route.sources if source.find(request) is not None), _NOTHING)
