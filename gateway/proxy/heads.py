"""Message heads as bytes: what is written to an upstream and to a client. RFC 9112 §2."""

from enum import Enum, auto
from http import HTTPStatus
from typing import NamedTuple

from gateway.config.compile import Snapshot
from gateway.config.compile_upstreams import UpstreamSpec
from gateway.engine.answer_contract import AnswerContract
from gateway.engine.headers import CLIENT_ADDRESS, HOP_BY_HOP, spelled
from gateway.engine.routes import Route
from gateway.model.decision import Allow
from gateway.model.errors import MalformedMessage, UnsupportedTransferCoding, UpstreamMalformed
from gateway.model.memo import Memo
from gateway.model.request import Header, InboundRequest

_STATUS_LINES = {status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}

_LONGEST_BODY = 2**63 - 1
"""Beyond, some servers count from 0 again, or backwards."""


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
    text = request.one(b"content-length")
    if text is None or (length := int(text)) == 0:
        return Framing.NONE, 0
    if length > _LONGEST_BODY:
        raise MalformedMessage("a Content-Length that many servers cannot count")
    return Framing.LENGTH, length


def request_head(
    request: InboundRequest,
    framing: Framing,
    upgrade: bytes | None,
    allow: Allow[Route],
    snapshot: Snapshot,
    upstream: UpstreamSpec,
    authority: bytes,
    request_id: str,
) -> bytes:
    """Return the head that the upstream gets. `upgrade` is a protocol that may be switched to, `authority` the
    target's own host and port.
    """
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
    if allow.route.is_own:
        lines.append(f"{CLIENT_ADDRESS}: {snapshot.forwarding.client_address(request)}\r\n".encode("latin-1"))
    if framing is Framing.CHUNKED:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    elif (length := request.one(b"content-length")) is not None:
        lines.append(b"Content-Length: %d\r\n" % int(length))
    if expects_continue(request) and not allow.route.is_own:
        lines.append(b"Expect: 100-continue\r\n")
    if upgrade is not None:
        lines.append(b"Connection: Upgrade\r\nUpgrade: " + upgrade + b"\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


def _host(request: InboundRequest, upstream: UpstreamSpec, authority: bytes) -> bytes:
    if upstream.host == "preserve" and (host := request.host) is not None:
        return host.text
    return authority if upstream.host in ("target", "preserve") else upstream.host.encode()


def granted_upgrade(request: InboundRequest, framing: Framing, route: Route) -> bytes | None:
    """Return the protocol that the request asks for, if the route allows it. Any other is ignored, as is an upgrade
    of HTTP/1.0 (RFC 9110 §7.8).
    """
    protocol = request.upgrade
    if protocol is None or framing is not Framing.NONE or request.version != "1.1":
        return None
    return protocol if protocol in route.upgrades else None


def expects_continue(request: InboundRequest) -> bool:
    """RFC 9110 §10.1.1."""
    values = request.all(b"expect")
    return len(values) == 1 and values[0].lower() == b"100-continue" and request.version == "1.1"


class AnswerHead(NamedTuple):
    """An answer's head as it was read: the end of its body, the end of its connection, and the lines to pass on."""

    framing: Framing
    closes: bool
    lines: bytes


_CORS = b"access-control-"
_LENGTH = b"content-length"
_USUAL_DIGITS = 18
_SPECIAL = {each: each for each in (b"connection", b"content-length", b"transfer-encoding")}
_SPECIAL[b"proxy-connection"] = b"connection"  # as llhttp reads it
"""Headers of an answer that mean something to the connection, beside what they mean to the client."""
_NOTHING: frozenset[bytes] = frozenset()
_KEEP_ALIVE = frozenset({b"keep-alive"})
_USUAL = ([b"keep-alive"], [b"Keep-Alive"])
_NEVER_LISTED = frozenset({b"content-length", b"content-type", b"set-cookie", b"cache-control"})
"""Headers that an upstream's `Connection` cannot take away."""


class AnswerHeads:
    """Reads the heads of answers. Remembers what becomes of each header name."""

    def __init__(self, contract: AnswerContract) -> None:
        self._contract = contract
        self._owned = contract.owned
        self._memo: Memo[tuple[bytes, bytes]] = Memo()

    def read(
        self,
        status: int,
        version: str,
        headers: list[Header],
        *,
        is_head: bool = False,
        marks_cors: bool = False,
        is_own: bool = False,
    ) -> AnswerHead:
        """Return the head of an answer (RFC 9112 §6.3, §9.3). Raises UpstreamMalformed.

        With `marks_cors` the upstream's own CORS headers are not passed on. `is_own`: the gateway itself answers, which
        may set what no upstream may.
        """
        memo = self._memo
        lines: list[bytes] = []
        special: dict[bytes, list[bytes]] = {}
        for name, value in headers:
            prefix, kind = memo.get(name) or self._classify(name)
            if kind:
                special.setdefault(kind, []).append(value)
                if (marks_cors and kind == _CORS) or (
                    kind in self._owned and not is_own and not self._contract.keeps(kind, value)
                ):
                    continue
                if kind == _LENGTH and (value[:1] == b"0" or len(value) > _USUAL_DIGITS):
                    value = _one_spelling(value)
            if prefix:
                lines.append(prefix + value + b"\r\n")
        framing = _answer_framing(status, version, special, is_head=is_head)
        if (status < 200 or status == 204) and _LENGTH in special:
            lines = [line for line in lines if line[:15].lower() != b"content-length:"]  # RFC 9110 §8.6
        options = _options(special[b"connection"]) if b"connection" in special else _NOTHING
        if not _KEEP_ALIVE.issuperset(options):
            lines = [line for line in lines if line.partition(b":")[0].lower() not in options - _NEVER_LISTED]
        keeps_alive = b"close" not in options and (version == "1.1" or b"keep-alive" in options)
        return AnswerHead(framing, framing is Framing.CLOSE or not keeps_alive, b"".join(lines))

    def _classify(self, name: bytes) -> tuple[bytes, bytes]:
        """Return `Name: ` or nothing to drop a header, and its special name or nothing."""
        lower = name.lower()
        if (spelling := spelled(name)) in self._owned:
            kind = spelling
        else:
            kind = _SPECIAL.get(lower) or (_CORS if lower.startswith(_CORS) else b"")
        prefix = b"" if lower in HOP_BY_HOP else name + b": "
        return self._memo.remember(name, (prefix, kind))


def _options(values: list[bytes]) -> frozenset[bytes]:
    if values in _USUAL:
        return _KEEP_ALIVE
    return frozenset(option.strip(b" \t").lower() for value in values for option in value.split(b","))


def _answer_framing(status: int, version: str, special: dict[bytes, list[bytes]], *, is_head: bool) -> Framing:
    codings = special.get(b"transfer-encoding")
    if codings is not None and version == "1.0":
        raise UpstreamMalformed("the upstream used Transfer-Encoding in an HTTP/1.0 answer")
    if codings is not None and [coding.lower() for coding in codings] != [b"chunked"]:
        raise UpstreamMalformed("the upstream used a transfer coding other than chunked")
    if is_head or status in (204, 304):
        return Framing.NONE
    if codings is not None:
        return Framing.CHUNKED
    return Framing.LENGTH if b"content-length" in special else Framing.CLOSE


def _one_spelling(length: bytes) -> bytes:
    if (number := int(length)) > _LONGEST_BODY:
        raise UpstreamMalformed("a Content-Length that many clients cannot count")
    return b"%d" % number


def refuse_interim_body(headers: list[Header]) -> None:
    """Raise UpstreamMalformed if a 1xx answer announces a body: it has none, but llhttp may read one."""
    for name, value in headers:
        lower = name.lower()
        if lower == b"transfer-encoding" or (lower == _LENGTH and value.strip(b"0")):
            raise UpstreamMalformed("an interim answer announces a body")


def status_line(status: int) -> bytes:
    """Return the first line of an answer. Reason phrases mean nothing (RFC 9112 §4): it has the usual one."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


def own_response(
    status: int, date: bytes, headers: tuple[tuple[str, str], ...], body: bytes, *, is_head: bool, closes: bool
) -> bytes:
    """Return a whole answer in the gateway's own name. `date` is a `Date` line (RFC 9110 §6.6.1)."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
    length = b"" if status == 204 else b"Content-Length: %d\r\n" % len(body)
    connection = b"Connection: close\r\n" if closes else b""
    return b"".join((status_line(status), date, fields, length, connection, b"\r\n", b"" if is_head else body))


def as_lines(headers: tuple[tuple[str, str], ...]) -> bytes:
    """Return headers as they stand on the wire."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
