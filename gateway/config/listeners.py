"""The settings of listeners: where requests come in, and their TLS."""

from typing import Annotated, Literal

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from gateway.config.text import from_text
from gateway.model.settings import FilePath, Settings
from gateway.model.upstream import Address, parse_address

ListenAddress = Annotated[
    Address, PlainValidator(from_text(parse_address)), PlainSerializer(str), WithJsonSchema({"type": "string"})
]
"""`host:port`, `[::1]:port`, or `unix:/path`."""


class ListenerTls(Settings):
    """TLS on a listener. Files are PEM."""

    certificate: FilePath
    """The certificate chain."""
    key: FilePath
    """The private key, unencrypted."""
    client_ca: FilePath | None = None
    """Certificate authorities of clients. If set, a client certificate is required."""
    min_version: Literal["1.2", "1.3"] = "1.2"
    """The oldest TLS version spoken."""


class Listener(Settings):
    """One address that takes requests."""

    address: ListenAddress
    """`0.0.0.0:8080`, `[::]:8080` or `unix:/run/gateway.sock`."""
    tls: ListenerTls | None = None
    """TLS; plain HTTP without it."""
    connections: Annotated[int, Field(ge=1)] | None = None
    """Connections held at once through this listener, within `limits.connections` (503)."""
    requests: Annotated[int, Field(ge=1)] | None = None
    """Requests of this listener being answered at once, within `limits.requests` (503)."""
