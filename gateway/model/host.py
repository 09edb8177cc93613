"""A host as requests name it, in one canonical form: lower case, without a trailing dot, IPv6 as in RFC 5952."""

import re
from ipaddress import IPv6Address, ip_address
from typing import Final

from gateway.model.errors import AmbiguousHost

_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)(?:(?<!\])\.)?(?::([0-9]{1,5}))?")
_LONGEST = 253
"""RFC 1035 §2.3.4."""


class Host:
    """`port` is as it was sent, or None. Routes match the name; the port takes no part.

    `text` is the host as it stands in a header.
    """

    def __init__(self, name: str, port: int | None = None) -> None:
        self.name: Final = name
        self.port: Final = port
        self.text: Final = name.encode() if port is None else b"%b:%d" % (name.encode(), port)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Host) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Host({self})"

    def __str__(self) -> str:
        return self.text.decode()


def read_host(value: bytes) -> Host:
    """Return the host of a Host header or an authority (RFC 9110 §7.2). Raises AmbiguousHost."""
    if len(value) > _LONGEST + len(b".:65535") or not (match := _HOST.fullmatch(value)) or match.end(1) > _LONGEST:
        raise AmbiguousHost("the Host header is not a host name")
    name, digits = match.groups()
    port = None if digits is None else int(digits)
    if port is not None and not 0 < port <= 65535:
        raise AmbiguousHost("the Host header has an impossible port")
    lower = name.lower().decode()
    return Host(_ipv6(lower) if lower[0] == "[" else lower, port)


def is_loopback(name: str) -> bool:
    """Say whether a host of a URL is this one: `localhost`, or an address of the loopback."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _ipv6(literal: str) -> str:
    try:
        return f"[{IPv6Address(literal[1:-1])}]"
    except ValueError as error:
        raise AmbiguousHost("the Host header is not an IPv6 address") from error
