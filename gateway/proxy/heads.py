"""Message heads as bytes: what is written to an upstream and to a client. RFC 9112 §2."""

import re
from enum import Enum, auto
from http import HTTPStatus

from gateway.config.compile import Snapshot, UpstreamSpec
from gateway.engine.headers import HOP_BY_HOP
from gateway.engine.paths import read_host
from gateway.engine.routes import Route
from gateway.model.decision import Allow
from gateway.model.errors import MalformedMessage, UnsupportedTransferCoding, UpstreamMalformed
from gateway.model.request import Header, InboundRequest

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_MEMO_SIZE = 4096
_STATUS_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}
_REASON = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


class Framing(Enum):
    """How the end of a body is marked (RFC 9112 §6.3)."""

    NONE = auto()
    LENGTH = auto()
    CHUNKED = auto()
    CLOSE = auto()


def request_framing(request: InboundRequest) -> tuple[Framing, int]:
    """Return how a request's body is framed, and its length where that is announced. llhttp has refused contradictions before."""
    codings = request.all(b"transfer-encoding")
    if codings:
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise UnsupportedTransferCoding("a transfer coding other than chunked")
        if request.version == "1.0":
            raise MalformedMessage("Transfer-Encoding in an HTTP/1.0 request")
        return Framing.CHUNKED, 0
    length = request.one(b"content-length")
    if length is None or int(length) == 0:
        return Framing.NONE, 0
    return Framing.LENGTH, int(length)


def request_head(
    request: InboundRequest,
    allow: Allow[Route],
    snapshot: Snapshot,
    upstream: UpstreamSpec,
    authority: str,
    request_id: str,
) -> bytes:
    """Return the head that the upstream gets. `authority` is the target's own host and port."""
    framing, _ = request_framing(request)
    lines = [
        f"{request.method} ".encode(),
        allow.target,
        b" HTTP/1.1\r\nHost: ",
        _host(request, upstream, authority),
        b"\r\n",
        *snapshot.contract.lines(request, allow.route),
        allow.identity,
        snapshot.forwarding.lines(request, request_id),
    ]
    if framing is Framing.CHUNKED:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    elif (length := request.one(b"content-length")) is not None:
        lines.append(b"Content-Length: " + length + b"\r\n")
    if expects_continue(request):
        lines.append(b"Expect: 100-continue\r\n")
    if wants_upgrade(request, allow.route):
        lines.append(b"Connection: Upgrade\r\nUpgrade: " + (request.upgrade or b"") + b"\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


def _host(request: InboundRequest, upstream: UpstreamSpec, authority: str) -> bytes:
    if upstream.host == "preserve":
        host = request.one(b"host")
        return authority.encode() if host is None else str(read_host(host)).encode()
    return (authority if upstream.host == "target" else upstream.host).encode()


def expects_continue(request: InboundRequest) -> bool:
    """RFC 9110 §10.1.1."""
    return request.version == "1.1" and [value.lower() for value in request.all(b"expect")] == [b"100-continue"]


def wants_upgrade(request: InboundRequest, route: Route) -> bool:
    """Say whether the request asks for an upgrade that the route allows. Any other is ignored (RFC 9110 §7.8)."""
    return request.upgrade in route.upgrades and request_framing(request)[0] is Framing.NONE


class ResponseHeads:
    """Turns an upstream's answer head into the one the client gets. Remembers what becomes of each header name."""

    def __init__(self) -> None:
        self._memo: dict[bytes, bytes] = {}

    def head(self, status: int, reason: bytes, headers: list[Header], extra: bytes, *, marks_cors: bool) -> bytes:
        """Return the head; `extra` lines are added. With `marks_cors` the upstream's own CORS headers are dropped."""
        memo = self._memo
        line = _STATUS_LINES.get(status)
        if line is None or reason:
            line = b"HTTP/1.1 %d %s\r\n" % (status, reason if _REASON.fullmatch(reason) else b"")
        lines = [line]
        listed = _connection_lists(headers)
        for name, value in headers:
            prefix = memo.get(name)
            if prefix is None:
                prefix = self._classify(name)
            if prefix and (not listed or name.lower() not in listed):
                if marks_cors and prefix[:15].lower() == b"access-control-":
                    continue
                lines.append(prefix + value + b"\r\n")
        lines.append(extra)
        lines.append(b"\r\n")
        return b"".join(lines)

    def _classify(self, name: bytes) -> bytes:
        prefix = b"" if name.lower() in HOP_BY_HOP else name + b": "
        if len(self._memo) < _MEMO_SIZE:
            self._memo[name] = prefix
        return prefix


_KEEPS_NOTHING = (b"keep-alive", b"close", b"Keep-Alive", b"Close")


def _connection_lists(headers: list[Header]) -> set[bytes]:
    listed: set[bytes] = set()
    for name, value in headers:
        if len(name) == 10 and name.lower() == b"connection" and value not in _KEEPS_NOTHING:
            listed.update(option.strip(b" \t").lower() for option in value.split(b","))
    return listed - {b"content-length", b"content-type", b"set-cookie", b"cache-control"}


def response_framing(status: int, headers: list[Header], *, is_head: bool) -> tuple[Framing, int]:
    """Return how an answer's body is framed, and its announced length. Raises UpstreamMalformed."""
    length, codings = None, []
    for name, value in headers:
        size = len(name)
        if size == 14 and name.lower() == b"content-length":
            length = value
        elif size == 17 and name.lower() == b"transfer-encoding":
            codings.append(value.lower())
    if codings and codings != [b"chunked"]:
        raise UpstreamMalformed("the upstream used a transfer coding other than chunked")
    if is_head or status in (204, 304) or status < 200:
        return Framing.NONE, 0
    if codings:
        return Framing.CHUNKED, 0
    if length is not None:
        return Framing.LENGTH, int(length)
    return Framing.CLOSE, 0


def own_response(
    status: int, headers: tuple[tuple[str, str], ...], body: bytes, *, is_head: bool, closes: bool
) -> bytes:
    """Return a whole answer in the gateway's own name."""
    line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
    length = b"" if status == 204 else b"Content-Length: %d\r\n" % len(body)
    connection = b"Connection: close\r\n" if closes else b""
    return b"".join((line, fields, length, connection, b"\r\n", b"" if is_head else body))


def as_lines(headers: tuple[tuple[str, str], ...]) -> bytes:
    """Return headers as they stand on the wire."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
