"""The identity header contract: which of a client's headers reach an upstream.

* A name that the gateway may set anywhere is removed from every request, on every route, in every spelling that some
  server reads as the same name (case; `_`, `.` or any other sign for `-`).
* A client's `Connection` list removes only what is its own to remove, and cannot touch what the gateway sets.
* The client's token is forwarded only by a route that says so: the one that was checked, and no other beside it. A
  public route that says so checks none and forwards all. Other `Authorization` schemes are forwarded by public routes
  only.
* The gateway's own routes get credentials of every kind as they came. Its own cookies reach nobody else.
* A cookie has the name that the sloppiest server would give it.
* Framing (`Host`, `Content-Length`, `Transfer-Encoding`, `Expect`, `Upgrade`) is written by the data plane, forwarding
  headers by `engine.forwarding`: they are removed here.
"""

import re
from collections.abc import Iterable
from typing import Final

from gateway.engine.cors import is_preflight
from gateway.engine.routes import Route
from gateway.mechanisms.base import Credentials
from gateway.model.errors import AmbiguousHeader
from gateway.model.memo import Memo
from gateway.model.request import InboundRequest

CLIENT_ADDRESS: Final = "X-Gateway-Client-Address"
"""Tells the gateway's own routes where a request comes from. Nobody else can set it."""

HOP_BY_HOP: Final = frozenset(
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

_FRAMING: Final = frozenset({b"host", b"content-length", b"expect"})
CLIENT_ADDRESSES: Final = frozenset(
    {b"x-real-ip", b"x-client-ip", b"client-ip", b"true-client-ip", b"x-cluster-client-ip"}
)
"""Headers that servers and frameworks take for the client's address. `engine.forwarding` keeps a trusted proxy's."""
_FORWARDING: Final = CLIENT_ADDRESSES | {
    *(b"forwarded", b"traceparent", b"tracestate", b"x-rewrite-url", b"x-scheme", b"x-url-scheme", b"x-host"),
    *(b"x-original-" + what for what in (b"url", b"uri", b"host", b"method", b"for", b"proto", b"forwarded-for")),
}
_PROXY: Final = frozenset({b"proxy"})
"""CGI programs take it for their own proxy setting (CVE-2016-5385)."""
_FORWARDING_PREFIXES: Final = (b"x-forwarded-", b"x-envoy-")
"""An Envoy in front of the upstream would obey `X-Envoy-…`, as it comes from within (CVE-2024-45806)."""
_END_TO_END: Final = frozenset(
    {
        *(b"host", b"content-length", b"transfer-encoding", b"authorization", b"cookie", b"origin", b"expect"),
        *(b"access-control-request-method", b"sec-fetch-site"),
    }
)
"""Headers whose removal would change what a request means: nobody lists them in `Connection` for a good reason."""

_NOT_ALPHANUMERIC: Final = re.compile(rb"[^a-z0-9]")

_BEARER: Final = re.compile(rb"[^a-z0-9]*bearer", re.IGNORECASE)
"""Also behind what is white space to some servers (U+00A0), and without a space after it: a tab is one to some."""

_PERCENT: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_COOKIE_EDGES: Final = bytes(range(0x21)) + bytes(range(0x7F, 0x100)) + b'"=+'
"""What servers strip off the name of a cookie: white space, that of Unicode too, and `+` that is decoded to it."""
_COOKIE_BREAK: Final = re.compile(rb"[,\s]+")
"""Where a cookie ends to some servers, beside `;`: a comma (RFC 2965 §3.2.2), white space (Python's SimpleCookie)."""

_NOTHING: Final = Credentials()
_NO_NAMES: Final[frozenset[bytes]] = frozenset()
_DROP: Final = b""
_AUTHORIZATION: Final = b"authorization"
_COOKIE: Final = b"cookie"
_SUBPROTOCOL: Final = b"sec-websocket-protocol"


def spelled(name: bytes) -> bytes:
    """Return the one spelling of all header names that some server reads as the same."""
    return _NOT_ALPHANUMERIC.sub(b"-", name.lower())


def cookie_spelled(name: bytes) -> bytes:
    """Return the one spelling of all cookie names that some server reads as the same.

    Servers decode percent-encodings, strip white space, ignore case (.NET), and take signs for `_` and what follows a
    `[` for an index (PHP).
    """
    decoded = _PERCENT.sub(lambda match: bytes((int(match[1], 16),)), name).strip(_COOKIE_EDGES)
    return spelled(decoded.partition(b"[")[0] or decoded)


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
        own_cookies = frozenset(name for each in own for name in each.cookies)
        self._own_cookies = frozenset(cookie_spelled(name) for name in own_cookies)
        cookies = frozenset(name for source in sources for name in source.cookies)
        self._cookies = frozenset(cookie_spelled(name) for name in cookies) | self._own_cookies
        self._subprotocols = tuple({prefix.lower() for source in sources for prefix in source.subprotocol_prefixes})
        self._memo: Memo[bytes] = Memo()
        self._cookie_memo: Memo[bytes] = Memo()

    def lines(self, request: InboundRequest, route: Route) -> list[bytes]:
        """Return the client's header lines that the upstream gets, each with its CRLF."""
        known = self._memo.known
        headers = request.headers
        if listed := request.connection_options:
            headers = [each for each in headers if each[0].lower() not in listed]
        lines: list[bytes] = []
        for name, value in headers:
            prefix = known.get(name)
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
        if spelling in self._dropped or spelling.startswith(_FORWARDING_PREFIXES):
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
        if kind == _AUTHORIZATION and route.access != "public" and not route.forward_token:
            return None
        if kind == _AUTHORIZATION and not _BEARER.match(value):
            return value if route.access == "public" else None
        if route.forward_token and route.access == "public":
            has_hidden = kind == _COOKIE and self._own_cookies
            return self._without(self._own_cookies, _NO_NAMES, value) if has_hidden else value
        checked = _checked_credentials(request, route) if route.forward_token else _NOTHING
        if kind == _COOKIE:
            return self._without(self._cookies, checked.cookies, value)
        if kind == _SUBPROTOCOL:
            good, hidden = tuple(checked.subprotocol_prefixes), self._subprotocols
            entries = (entry.strip(b" \t") for entry in value.split(b","))
            return b", ".join(e for e in entries if e.startswith(good) or not e.lower().startswith(hidden)) or None
        return value if kind in checked.headers else None

    def _without(self, hidden: frozenset[bytes], checked: frozenset[bytes], value: bytes) -> bytes | None:
        """Return a `Cookie` value without the cookies that are hidden, unless checked; None if nothing is left."""
        known = self._cookie_memo.known
        kept = []
        for each in value.split(b";"):
            pair = each.strip(b" \t")
            spelling = known.get(pair.partition(b"=")[0])
            if spelling in hidden and not checked:
                continue
            is_usual = spelling and spelling not in hidden and b"," not in pair and b" " not in pair
            if (is_usual and b"\t" not in pair) or self._passes(hidden, checked, pair):
                kept.append(pair)
        return b"; ".join(kept) or None

    def _passes(self, hidden: frozenset[bytes], checked: frozenset[bytes], pair: bytes) -> bool:
        name, equals, _ = pair.partition(b"=")
        if equals and name.strip(b" \t") in checked and self._spelled(name) not in self._own_cookies:
            return True  # its source has seen that it holds one token, which nothing can end early
        names = [piece.lstrip(b"=").partition(b"=")[0] for piece in _COOKIE_BREAK.split(pair)]
        return all(self._spelled(name) not in hidden for name in names)

    def _spelled(self, name: bytes) -> bytes:
        spelling = self._cookie_memo.known.get(name)
        return self._cookie_memo.remember(name, cookie_spelled(name)) if spelling is None else spelling


def _checked_credentials(request: InboundRequest, route: Route) -> Credentials:
    """Return where the token stands that let the request pass: of several places, the first of the route's list."""
    if route.cors is not None and is_preflight(request):
        return _NOTHING
    return next((source.credentials for source in route.sources if source.find(request) is not None), _NOTHING)
