"""A host as requests name it, in one canonical form: lower case, without a trailing dot."""

import re
from dataclasses import dataclass

from gateway.model.errors import AmbiguousHost

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)\.?(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Host:
    """`port` is as it was sent, or None. Routes match the name; the port takes no part."""

    name: str
    port: int | None = None

    def __str__(self) -> str:
        return self.name if self.port is None else f"{self.name}:{self.port}"


def read_host(value: bytes) -> Host:
    """Return the host of a Host header or an authority (RFC 9110 §7.2). Raises AmbiguousHost."""
    if not (match := _HOST.fullmatch(value.decode("latin-1"))) or len(match[1]) > 253:
        raise AmbiguousHost("the Host header is not a host name")
    port = None if match[2] is None else int(match[2])
    if port is not None and not 0 < port <= 65535:
        raise AmbiguousHost("the Host header has an impossible port")
    return Host(match[1].lower(), port)
