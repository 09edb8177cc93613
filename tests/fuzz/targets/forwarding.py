"""What is said about the connection: nothing of what an untrusted peer says; from a trusted one, what is well-formed.

An input is the header lines of a client.
"""

import re
from ipaddress import ip_address, ip_network

from gateway.engine.forwarding import Forwarding
from gateway.model.errors import Refusal
from gateway.model.host import read_host
from gateway.model.request import InboundRequest, Peer
from tests.fuzz.heads import Header, parsed_headers

FORWARDING = Forwarding([ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"), "unix"], "X-Request-ID")
HOST = (b"Host", b"api.example:8080")
_LINE = re.compile(rb"([A-Za-z-]+): ([\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)")
_ADDRESS_LIST = re.compile(rb"[0-9A-Za-z.:_\[\], \t-]+")
_NAMES = {
    *(b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host", b"X-Forwarded-Port", b"X-Forwarded-Prefix"),
    *(b"X-Forwarded-Server", b"X-Real-Ip", b"X-Request-ID", b"Forwarded", b"traceparent", b"tracestate"),
}


def check(data: bytes) -> None:
    headers = parsed_headers(data)
    if headers is None:
        return
    headers = [HOST, *(header for header in headers if header[0].lower() != b"host")]
    _check_untrusted(headers)
    for address in ("10.0.0.1", "2001:db8::1", "unix"):
        _check_trusted(headers, address)


def _request(headers: list[Header], peer: Peer) -> InboundRequest:
    return InboundRequest("GET", b"/", headers, peer)


def _check_untrusted(headers: list[Header]) -> None:
    peer = FORWARDING.peer("192.0.2.7")
    said, silent = _request(headers, peer), _request([HOST], peer)
    assert FORWARDING.request_id(said, "fresh") == "fresh"
    assert FORWARDING.client_address(said) == "192.0.2.7"
    assert FORWARDING.lines(said, "fresh") == FORWARDING.lines(silent, "fresh")


def _check_trusted(headers: list[Header], address: str) -> None:
    request = _request(headers, FORWARDING.peer(address))
    request_id = FORWARDING.request_id(request, "fresh")
    client = FORWARDING.client_address(request)
    assert client == address or ip_address(client)
    lines = FORWARDING.lines(request, request_id)
    assert lines.endswith(b"\r\n")
    values: dict[bytes, bytes] = {}
    for line in lines.removesuffix(b"\r\n").split(b"\r\n"):
        match = _LINE.fullmatch(line)
        assert match, line
        assert match[1] not in values, "a name twice"
        values[match[1]] = match[2]
    assert values.keys() <= _NAMES
    assert values[b"X-Forwarded-Proto"] in (b"http", b"https")
    assert read_host(values[b"X-Forwarded-Host"]).text == values[b"X-Forwarded-Host"]
    assert values[b"X-Request-ID"] == request_id.encode()
    hops = values.get(b"X-Forwarded-For", b"")
    assert _ADDRESS_LIST.fullmatch(hops) or (not hops and address == "unix")
    if address != "unix":
        assert hops.split(b",")[-1].strip() == address.encode()
        assert client == address or client.encode() in b",".join(request.all(b"x-forwarded-for"))
    if b"Forwarded" in values:
        _check_forwarded(values[b"Forwarded"], request)


def _check_forwarded(value: bytes, request: InboundRequest) -> None:
    """The last element, as a reader of RFC 7239 sees it, is ours."""
    elements = _split(value.decode("ascii"), ",")
    pairs = [tuple(pair.strip().partition("=")[::2]) for pair in _split(elements[-1], ";")]
    address = request.peer.address
    node = {"unix": "unknown"}.get(address, f'"[{address}]"' if ":" in address else address)
    assert pairs == [("for", node), ("host", f'"{_own_host(request)}"'), ("proto", "http")], pairs
    for element in elements:
        for pair in _split(element, ";"):
            assert re.fullmatch(r'\s*[!-~]+?=(?:"(?:[^"\\]|\\.)*"|[!#-\[\]-~]+)\s*', pair), pair


def _own_host(request: InboundRequest) -> str:
    host = request.host
    if host is None:
        raise Refusal
    return str(host)


def _split(text: str, separator: str) -> list[str]:
    """Split where the separator stands outside quotes."""
    parts, is_quoted, start, place = [], False, 0, 0
    while place < len(text):
        if is_quoted and text[place] == "\\":
            place += 1
        elif text[place] == '"':
            is_quoted = not is_quoted
        elif text[place] == separator and not is_quoted:
            parts.append(text[start:place])
            start = place + 1
        place += 1
    assert not is_quoted
    return [*parts, text[start:]]
