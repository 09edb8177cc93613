"""What the caller sends, without its body."""

from typing import Final

from gateway.model.errors import AmbiguousHeader, Refusal
from gateway.model.host import Host, read_host
from gateway.model.session import Issued

Header = tuple[bytes, bytes]
"""Name as it was sent, value without white space before it: what follows it is left, and means nothing."""


_NO_OPTIONS: Final[frozenset[bytes]] = frozenset()
_USUAL_OPTIONS: Final = frozenset({b"keep-alive", b"close", b"upgrade"})


class Peer:
    """The other end of the connection. `address` is an IP address, or "unix" on a Unix socket."""

    def __init__(self, address: str, *, is_trusted_proxy: bool = False) -> None:
        self.address: Final = address
        self.is_trusted_proxy: Final = is_trusted_proxy


class InboundRequest:
    """One request head. Header names are looked up in lower case; values are bytes as they were sent.

    `target` is the raw request-target; the engine makes the canonical path of it, nobody else reads it.
    """

    issued: Issued | None = None
    """New tokens that were made on the way: the answer carries them, whatever it is."""
    issued_cookie: str | None = None
    """The `Set-Cookie` of the new access token, where the old one came in our own cookie."""
    exchange_refusal: Refusal | None = None
    """Why the refresh token that it carries was not exchanged."""
    is_renewal_tried = False
    """Whether a new access token has been asked for already."""
    is_address_counted = False
    """Whether the rate limits by address have counted it: a request that is decided in several rounds counts once."""
    is_caller_counted = False
    """Whether the rate limits by caller have."""

    def __init__(
        self,
        method: str,
        target: bytes,
        headers: list[Header],
        peer: Peer,
        *,
        secure: bool = False,
        version: str = "1.1",
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.peer = peer
        self.secure = secure
        self.version = version
        self._host: Host | None = None
        self._values = {name.lower(): value for name, value in headers}
        self._repeated = _repeated(headers) if len(self._values) < len(headers) else {}

    def has(self, name: bytes) -> bool:
        """Say whether a header was sent."""
        return name in self._values

    def one(self, name: bytes) -> bytes | None:
        """Return the value of a header that may come once. Raises AmbiguousHeader if it came more often."""
        if self._repeated and name in self._repeated:
            raise AmbiguousHeader(f"{name.decode('latin-1')} was sent {len(self._repeated[name])} times")
        return self._values.get(name)

    def all(self, name: bytes) -> list[bytes]:
        """Return every value of a header, in order."""
        if self._repeated and name in self._repeated:
            return self._repeated[name]
        value = self._values.get(name)
        return [] if value is None else [value]

    def listed(self, name: bytes) -> list[bytes]:
        """Return the members of a comma-separated header (RFC 9110 §5.6.1), stripped, without empty ones."""
        return [member for value in self.all(name) for part in value.split(b",") if (member := part.strip(b" \t"))]

    def forget(self, name: bytes) -> None:
        """Look a header up no more."""
        self._values.pop(name, None)
        self._repeated.pop(name, None)

    @property
    def connection_options(self) -> frozenset[bytes]:
        """The options of `Connection`, in lower case, without those that are usual (RFC 9110 §7.6.1)."""
        if b"connection" not in self._values:
            return _NO_OPTIONS
        if self._values[b"connection"].lower() in _USUAL_OPTIONS and not self._repeated:
            return _NO_OPTIONS
        return frozenset(option.lower() for option in self.listed(b"connection")) - _USUAL_OPTIONS

    @property
    def host(self) -> Host | None:
        """The host, or None where an HTTP/1.0 client names none. Raises AmbiguousHost or AmbiguousHeader."""
        if self._host is None and (value := self.one(b"host")) is not None:
            self._host = read_host(value)
        return self._host

    def remember_host(self, host: Host) -> None:
        """Take what the value of `Host` is known to mean, instead of reading it anew."""
        self._host = host

    @property
    def upgrade(self) -> bytes | None:
        """The protocol asked for, in lower case, if this is an upgrade request (RFC 9110 §7.8)."""
        if b"upgrade" not in self._values:
            return None
        if b"upgrade" not in (option.lower() for option in self.listed(b"connection")):
            return None
        return b",".join(self.listed(b"upgrade")).lower() or None

    @property
    def cookies(self) -> list[tuple[bytes, bytes]]:
        """Name and value of each cookie, in order (RFC 6265 §5.4), values as they were sent."""
        pairs = (pair.partition(b"=") for line in self.all(b"cookie") for pair in line.split(b";"))
        return [(name.strip(b" \t"), value.strip(b" \t")) for name, equals, value in pairs if equals]


def _repeated(headers: list[Header]) -> dict[bytes, list[bytes]]:
    """Return the values of each header that came more than once, in order."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        values.setdefault(name.lower(), []).append(value)
    return {name: several for name, several in values.items() if len(several) > 1}
