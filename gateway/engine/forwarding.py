"""What the upstream is told about the connection: `X-Forwarded-*`, `Forwarded`, `X-Request-ID`, `traceparent`, and
the headers that some take for the client's address.

The rule. From a peer that is not a trusted proxy nothing is believed: all of these are removed and written anew from
the connection itself; `traceparent`, `Forwarded` and other addresses are just removed. From a trusted proxy they are
kept where they are well-formed, and the peer is appended: to `X-Forwarded-For` always, to `Forwarded` if it came. An
ill-formed one is replaced as if it had not come. The client's address is the last one in `X-Forwarded-For` that is not
a trusted proxy.
"""

import re
from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from gateway.engine.headers import CLIENT_ADDRESSES
from gateway.model.errors import Refusal
from gateway.model.host import read_host
from gateway.model.request import InboundRequest, Peer

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._~+/=:-]{1,128}")
_ADDRESS_AND_PORT: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::[0-9]{1,5})?")
_TRACEPARENT: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context §3.2."""
_TRACESTATE: Final = re.compile(rb"[\x20-\x7e]{1,512}")
_FORWARDED_FOR: Final = re.compile(rb"[0-9A-Za-z.:_\[\], \t-]{1,2048}")
_TOKEN: Final = rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_FORWARDED_PAIR: Final = _TOKEN + rb"=(?:[A-Za-z0-9!#$%&'*+.^_`|~:\[\]-]+|\"(?:[\t !#-\[\]-~]|\\[\t -~])*\")"
_FORWARDED: Final = re.compile(_FORWARDED_PAIR + rb"(?:[ \t]*[;,][ \t]*" + _FORWARDED_PAIR + rb")*")
"""RFC 7239 §4: what is appended must not end up inside a quoted string. Bare addresses and spaces are common."""
_FORWARDED_BYTES: Final = 2048
_KEPT_FROM_PROXY: Final = CLIENT_ADDRESSES | {b"x-forwarded-port", b"x-forwarded-prefix", b"x-forwarded-server"}
_SAFE_VALUE: Final = re.compile(rb"[\x21-\x7e]{1,1024}")
_HOPS: Final = 32
"""Proxies between a client and this one; the address of a client behind more is not looked for."""
_MEMO_SIZE: Final = 4096


class Forwarding:
    """Knows the trusted proxies, and writes the forwarding headers of a request."""

    def __init__(self, trusted: Collection[IPv4Network | IPv6Network | str], request_id_header: str) -> None:
        self._networks = tuple(network for network in trusted if not isinstance(network, str))
        self._trusts_unix = "unix" in trusted
        self._request_id_name = request_id_header.encode()
        self._request_id_key = self._request_id_name.lower()
        self._own_lines: dict[tuple[str, bool, bytes], bytes] = {}
        """Memo of the lines for clients that come often: their address, whether they use TLS, and the host."""

    def peer(self, address: str) -> Peer:
        """Return the peer at an address, which is "unix" on a Unix socket."""
        return Peer(address, is_trusted_proxy=self._trusts(address))

    def _trusts(self, address: str) -> bool:
        if address == "unix":
            return self._trusts_unix
        if not self._networks:
            return False
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks)

    def request_id(self, request: InboundRequest, fresh: str) -> str:
        """Return the id that a trusted proxy gave the request, else `fresh`."""
        if request.peer.is_trusted_proxy:
            ids = request.all(self._request_id_key)
            if len(ids) == 1 and _REQUEST_ID.fullmatch(ids[0]):
                return ids[0].decode()
        return fresh

    def client_address(self, request: InboundRequest) -> str:
        """Return the address of the client itself, as far as trusted proxies vouch for it."""
        if not request.peer.is_trusted_proxy:
            return request.peer.address
        for hop in reversed(request.listed(b"x-forwarded-for")[-_HOPS:]):
            address = _without_port(hop.decode("latin-1"))
            if not self._trusts(address):
                return address if _is_address(address) else request.peer.address
        return request.peer.address

    def lines(self, request: InboundRequest, request_id: str) -> bytes:
        """Return the forwarding header lines that the upstream gets."""
        if request.peer.is_trusted_proxy:
            return self._from_proxy(request, request_id)
        key = (request.peer.address, request.secure, _own_host(request))
        own = self._own_lines.get(key)
        if own is None:
            own = _own_lines(request) + self._request_id_name + b": "
            if len(self._own_lines) >= _MEMO_SIZE:
                self._own_lines.clear()
            self._own_lines[key] = own
        return own + request_id.encode() + b"\r\n"

    def _from_proxy(self, request: InboundRequest, request_id: str) -> bytes:
        scheme = b"https" if request.secure else b"http"
        address = b"" if request.peer.address == "unix" else request.peer.address.encode()
        before = b", ".join(request.all(b"x-forwarded-for")).strip(b", \t")
        hops = [before] if _FORWARDED_FOR.fullmatch(before) else []
        protos = request.all(b"x-forwarded-proto")
        lines = [
            _line(b"X-Forwarded-For", b", ".join([*hops, address] if address else hops)),
            _line(b"X-Forwarded-Proto", protos[0] if len(protos) == 1 and protos[0] in (b"http", b"https") else scheme),
            _line(b"X-Forwarded-Host", _forwarded_host(request) or _own_host(request)),
            _line(self._request_id_name, request_id.encode()),
            self._forwarded(request, address, scheme),
            _trace(request),
        ]
        for name in sorted(_KEPT_FROM_PROXY):
            values = request.all(name)
            if len(values) == 1 and _SAFE_VALUE.fullmatch(values[0]):
                lines.append(_line(name.title(), values[0]))
        return b"".join(lines)

    def _forwarded(self, request: InboundRequest, address: bytes, scheme: bytes) -> bytes:
        before = b", ".join(request.all(b"forwarded"))
        if len(before) > _FORWARDED_BYTES or not _FORWARDED.fullmatch(before):
            return b""
        node = b'"[%s]"' % address if b":" in address else address or b"unknown"
        return _line(b"Forwarded", b'%s, for=%s;host="%s";proto=%s' % (before, node, _own_host(request), scheme))


def _own_lines(request: InboundRequest) -> bytes:
    address = b"" if request.peer.address == "unix" else request.peer.address.encode()
    return b"".join(
        (
            _line(b"X-Forwarded-For", address),
            _line(b"X-Forwarded-Proto", b"https" if request.secure else b"http"),
            _line(b"X-Forwarded-Host", _own_host(request)),
        )
    )


def _line(name: bytes, value: bytes) -> bytes:
    return name + b": " + value + b"\r\n" if value else b""


def _own_host(request: InboundRequest) -> bytes:
    host = request.host
    return b"" if host is None else host.text


def _forwarded_host(request: InboundRequest) -> bytes:
    values = request.all(b"x-forwarded-host")
    if len(values) != 1:
        return b""
    try:
        return read_host(values[0]).text
    except Refusal:
        return b""


def trace_context(request: InboundRequest) -> tuple[bytes, bytes]:
    """Return what a request says of its trace, `traceparent` and `tracestate`: empty unless it is well-formed."""
    parents = request.all(b"traceparent")
    if len(parents) != 1 or not _TRACEPARENT.fullmatch(parents[0]):
        return b"", b""
    state = b",".join(request.all(b"tracestate"))
    return parents[0], state if _TRACESTATE.fullmatch(state) else b""


def _trace(request: InboundRequest) -> bytes:
    parent, state = trace_context(request)
    return _line(b"traceparent", parent) + _line(b"tracestate", state)


def _without_port(hop: str) -> str:
    """Return the address of a hop: some proxies write the client's port behind it."""
    match = _ADDRESS_AND_PORT.fullmatch(hop)
    return hop if match is None else match[1] or match[2]


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
