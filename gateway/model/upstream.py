"""Where requests come in and where they go: addresses as values."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from gateway.model.host import is_loopback


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address (`host`, `port`), or a Unix socket (`path`)."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"unix:{self.path}" if self.path else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class TargetAddress:
    """One place where an upstream listens. The scheme `inside` is for what is served in this process: see INSIDE."""

    scheme: Literal["http", "https", "inside"]
    address: Address

    @property
    def authority(self) -> str:
        """The target's own Host: without the scheme's default port; `localhost` on a Unix socket and inside."""
        if self.address.path or self.scheme == "inside":
            return "localhost"
        default = 443 if self.scheme == "https" else 80
        return str(self.address).removesuffix(f":{default}") if self.address.port == default else str(self.address)

    @property
    def is_protected(self) -> bool:
        """Whether nobody on the way can read or change what is sent: it is TLS, or stays on this host."""
        return self.scheme in ("https", "inside") or bool(self.address.path) or is_loopback(self.address.host)

    def __str__(self) -> str:
        if self.scheme == "inside":
            return "inside"
        return str(self.address) if self.address.path else f"{self.scheme}://{self.address}"


INSIDE: Final = TargetAddress("inside", Address())
"""This process itself."""


_HOST_PORT = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]*)):(?P<port>[0-9]{1,5})")
_TARGET = re.compile(
    r"(?P<scheme>https?)://(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<host>[a-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?(?P<rest>[/?#].*)?",
    re.IGNORECASE,
)


def parse_address(text: str) -> Address:
    """Read `host:port`, `[v6]:port` or `unix:/path`. Raises ValueError."""
    if text.startswith("unix:"):
        return Address(path=_socket_path(text))
    if not (match := _HOST_PORT.fullmatch(text)) or int(match["port"]) > 65535:
        raise ValueError(f'"{text}" is not an address; write 0.0.0.0:8080, [::]:8080 or unix:/run/gateway.sock')
    return Address(host=match["v6"] or match["host"], port=int(match["port"]))


def parse_target(text: str) -> TargetAddress:
    """Read `http://host[:port]`, `https://host[:port]` or `unix:/path`. Raises ValueError."""
    if text.startswith("unix:"):
        return TargetAddress("http", Address(path=_socket_path(text)))
    if "@" in text.partition("://")[2].partition("/")[0]:
        raise ValueError("a target holds no user name and no password; write http://127.0.0.1:9000")
    if not (match := _TARGET.fullmatch(text)) or not 0 < int(match["port"] or 80) <= 65535:
        raise ValueError(
            f'"{text}" is not a target; write http://127.0.0.1:9000, https://orders.internal or unix:/run/app.sock'
        )
    if match["rest"] not in (None, "/"):
        raise ValueError(f'"{text}" must end after the port; use rewrite on the route to change paths')
    scheme: Literal["http", "https"] = "https" if match["scheme"].lower() == "https" else "http"
    port = int(match["port"] or (443 if scheme == "https" else 80))
    return TargetAddress(scheme, Address(host=(match["v6"] or match["host"]).lower(), port=port))


def _socket_path(text: str) -> str:
    path = text.removeprefix("unix:")
    if not path.startswith("/"):
        raise ValueError(f'"{text}" needs an absolute path: unix:/run/app.sock')
    return path
