"""Message heads as bytes: what is written to an upstream and to a client. RFC 9112 §2."""

import re
from enum import Enum, auto
from http import HTTPStatus
from typing import NamedTuple

from gateway.config.compile import Snapshot, UpstreamSpec
from gateway.engine.headers import HOP_BY_HOP
from gateway.engine.routes import Route
from gateway.model.decision import Allow
from gateway.model.errors import MalformedMessage, UnsupportedTransferCoding, UpstreamMalformed
from gateway.model.request import Header, InboundRequest

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
    """Return how a request's body is framed, and its announced length. llhttp has refused contradictions before."""
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
    framing: Framing,
    allow: Allow[Route],
    snapshot: Snapshot,
    upstream: UpstreamSpec,
    authority: bytes,
    request_id: str,
) -> bytes:
    """Return the head that the upstream gets. `authority` is the target's own host and port."""
    lines = [
        request.method.encode("ascii"),
        b" ",
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
    if framing is Framing.NONE and (protocol := wanted_upgrade(request, allow.route)) is not None:
        lines.append(b"Connection: Upgrade\r\nUpgrade: " + protocol + b"\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


def _host(request: InboundRequest, upstream: UpstreamSpec, authority: bytes) -> bytes:
    if upstream.host == "preserve" and request.host is not None:
        return request.host.text
    return authority if upstream.host in ("target", "preserve") else upstream.host.encode()


def expects_continue(request: InboundRequest) -> bool:
    """RFC 9110 §10.1.1."""
    return request.version == "1.1" and [value.lower() for value in request.all(b"expect")] == [b"100-continue"]


def wanted_upgrade(request: InboundRequest, route: Route) -> bytes | None:
    """Return the protocol that the request asks for, if the route allows it. Any other is ignored (RFC 9110 §7.8)."""
    protocol = request.upgrade
    return protocol if protocol in route.upgrades else None


class AnswerShape(NamedTuple):
    """What an answer's head says about its body and its connection. `listed`: the headers that `Connection` names."""

    framing: Framing
    closes: bool
    listed: frozenset[bytes]


_NOTHING: frozenset[bytes] = frozenset()
_NEVER_LISTED = frozenset({b"content-length", b"content-type", b"set-cookie", b"cache-control"})
"""Headers that an upstream's `Connection` cannot take away."""


def answer_shape(status: int, version: str, headers: list[Header], *, is_head: bool) -> AnswerShape:
    """Return the shape of a final answer (RFC 9112 §6.3, §9.3). Raises UpstreamMalformed."""
    length, codings, options = False, [], _NOTHING
    for name, value in headers:
        match len(name):  # most headers are told apart by their length alone
            case 10 if name.lower() == b"connection":
                options |= {option.strip(b" \t").lower() for option in value.split(b",")}
            case 14 if name.lower() == b"content-length":
                length = True
            case 17 if name.lower() == b"transfer-encoding":
                codings.append(value.lower())
    framing = _answer_framing(status, codings, has_length=length, is_head=is_head)
    keeps_alive = b"close" not in options and (version == "1.1" or b"keep-alive" in options)
    return AnswerShape(framing, framing is Framing.CLOSE or not keeps_alive, options - _NEVER_LISTED)


def _answer_framing(status: int, codings: list[bytes], *, has_length: bool, is_head: bool) -> Framing:
    if codings and codings != [b"chunked"]:
        raise UpstreamMalformed("the upstream used a transfer coding other than chunked")
    if is_head or status in (204, 304):
        return Framing.NONE
    if codings:
        return Framing.CHUNKED
    return Framing.LENGTH if has_length else Framing.CLOSE


class ResponseHeads:
    """Turns an upstream's answer head into the one the client gets. Remembers what becomes of each header name."""

    def __init__(self) -> None:
        self._memo: dict[bytes, bytes] = {}

    def head(
        self,
        status: int,
        reason: bytes,
        headers: list[Header],
        extra: bytes,
        *,
        listed: frozenset[bytes] = _NOTHING,
        marks_cors: bool = False,
    ) -> bytes:
        """Return the head; `extra` lines are added, headers named in `listed` dropped.

        With `marks_cors` the upstream's own CORS headers are dropped.
        """
        memo = self._memo
        line = _STATUS_LINES.get(status)
        if line is None or not line.endswith(reason, 13, -2):
            line = b"HTTP/1.1 %d %s\r\n" % (status, reason if _REASON.fullmatch(reason) else b"")
        lines = [line]
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


def own_response(
    status: int, date: bytes, headers: tuple[tuple[str, str], ...], body: bytes, *, is_head: bool, closes: bool
) -> bytes:
    """Return a whole answer in the gateway's own name. `date` is a `Date` line (RFC 9110 §6.6.1)."""
    line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
    length = b"" if status == 204 else b"Content-Length: %d\r\n" % len(body)
    connection = b"Connection: close\r\n" if closes else b""
    return b"".join((line, date, fields, length, connection, b"\r\n", b"" if is_head else body))


def as_lines(headers: tuple[tuple[str, str], ...]) -> bytes:
    """Return headers as they stand on the wire."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
