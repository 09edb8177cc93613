"""Message heads as bytes: what is written to an upstream and to a client. RFC 9112 §2."""

from http import HTTPStatus
from typing import Final, Literal

from gateway.config.compile_upstreams import UpstreamSpec
from gateway.config.snapshot import Snapshot
from gateway.engine.headers import CLIENT_ADDRESS
from gateway.engine.routes import Route
from gateway.model.decision import Allow
from gateway.model.errors import MalformedMessage, UnsupportedTransferCoding
from gateway.model.request import InboundRequest

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus
}

_METHODS: Final = {name: name.encode() + b" " for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}

LONGEST_BODY: Final = 2**63 - 1
"""Beyond, some servers count from 0 again, or backwards."""


Framing = Literal["none", "length", "chunked", "close"]
"""How the end of a body is marked (RFC 9112 §6.3)."""


def request_framing(request: InboundRequest) -> tuple[Framing, int]:
    """Return how a request's body is framed, and its announced length. llhttp has refused contradictions before."""
    if request.has(b"transfer-encoding"):
        codings = request.all(b"transfer-encoding")
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise UnsupportedTransferCoding("a transfer coding other than chunked")
        if request.version == "1.0":
            raise MalformedMessage("Transfer-Encoding in an HTTP/1.0 request")
        return "chunked", 0
    text = request.one(b"content-length")
    if text is None or (length := int(text)) == 0:
        return "none", 0
    if length > LONGEST_BODY:
        raise MalformedMessage("a Content-Length that many servers cannot count")
    return "length", length


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
        _METHODS.get(request.method) or request.method.encode("ascii") + b" ",
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
    if framing == "chunked":
        lines.append(b"Transfer-Encoding: chunked\r\n")
    elif (length := request.one(b"content-length")) is not None:
        lines.append(b"Content-Length: %d\r\n" % int(length))
    if request.has(b"expect") and expects_continue(request) and not allow.route.is_own:
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
    if protocol is None or framing != "none" or request.version != "1.1":
        return None
    return protocol if protocol in route.upgrades else None


def expects_continue(request: InboundRequest) -> bool:
    """RFC 9110 §10.1.1."""
    values = request.all(b"expect")
    return len(values) == 1 and values[0].lower() == b"100-continue" and request.version == "1.1"


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
